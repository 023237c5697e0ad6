import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Redis } from 'ioredis';
import type { ServerOptions } from 'socket.io';
import type { createAdapter } from '../../lib/adapter/index.js';

/**
 * A Socket.IO adapter that can be measured: `memory` is Socket.IO's own, `ours` this package as its sources are now,
 * `before` another build of it, such as that of an older commit.
 */
export type SocketIoAdapter = 'memory' | 'ours' | 'before' | 'reference' | 'pubsub';

/** Modules that export `createAdapter`, for the two that are this package. */
export interface Builds {
  ours?: string | undefined;
  before?: string | undefined;
}

interface Own {
  createAdapter: typeof createAdapter;
}

/** What `new Server({ adapter })` takes. Only the modules of that adapter are loaded. */
export async function adapterOf(
  adapter: SocketIoAdapter,
  redis: Redis | undefined,
  build: string | undefined,
): Promise<ServerOptions['adapter'] | undefined> {
  switch (adapter) {
    case 'memory':
      return undefined;
    case 'ours':
    case 'before': {
      const own = (await import(build ?? '../../lib/adapter/index.js')) as Own;
      const factory = own.createAdapter(redis);
      await factory.node.start();
      return factory as never;
    }
    case 'reference': {
      const { createAdapter } = await import('@socket.io/redis-streams-adapter');
      return createAdapter(redis, {}) as never;
    }
    case 'pubsub': {
      const { createAdapter } = await import('@socket.io/redis-adapter');
      return createAdapter(redis, redis!.duplicate()) as never;
    }
  }
}

/** The module of `createAdapter` in a build of this package: its `dist`, `dist/esm` or `dist/cjs`. */
export function moduleOf(option: string, folder: string | undefined): string | undefined {
  if (folder === undefined) {
    return undefined;
  }
  const candidates = ['esm/adapter/index.js', 'adapter/index.js'].map((path) => resolve(folder, path));
  const found = candidates.find((path) => existsSync(path));
  if (found === undefined) {
    throw new Error(
      `${option} is "${folder}", where there is no build of this package: give the folder "dist" that "npm run build" makes`,
    );
  }
  return pathToFileURL(found).href;
}
