export interface UntilOptions {
  /** What is waited for, as the failure's message will name it. */
  what: string;
  /** Milliseconds. @default 10_000 */
  timeout?: number;
  /** Milliseconds from one look to the next. @default 10 */
  interval?: number;
}

/**
 * Waits for a condition and returns what it returned first that was neither false nor undefined. A condition that throws
 * is not met yet; its last error becomes the failure's cause.
 */
export async function until<T>(
  condition: () => T | false | undefined | Promise<T | false | undefined>,
  { what, timeout = 10_000, interval = 10 }: UntilOptions,
): Promise<T> {
  const deadline = performance.now() + timeout;
  let cause: unknown;
  do {
    try {
      const value = await condition();
      if (value !== false && value !== undefined) return value;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    await new Promise((resolve) => setTimeout(resolve, interval));
  } while (performance.now() < deadline);
  const last = cause instanceof Error ? `; the last try failed: ${cause.message}` : '';
  throw new Error(`Waited ${timeout} ms in vain for ${what}${last}`, { cause });
}
