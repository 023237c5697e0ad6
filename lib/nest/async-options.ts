import { InvalidOptionError } from '../cluster/options.js';

interface AsyncOptions {
  useFactory?: unknown;
  useClass?: unknown;
  useExisting?: unknown;
}

/**
 * What a module's `forRootAsync` was given says where its options come from.
 *
 * @throws InvalidOptionError if it says nothing of it
 */
export function checkAsyncOptions(module: string, options: AsyncOptions | undefined): void {
  if (typeof options?.useFactory !== 'function' && !options?.useClass && !options?.useExisting) {
    throw new InvalidOptionError(
      'useFactory',
      options?.useFactory,
      `${module}.forRootAsync a function that returns the options, or "useClass" or "useExisting"`,
    );
  }
}
