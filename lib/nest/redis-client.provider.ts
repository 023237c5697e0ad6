import type { FactoryProvider } from '@nestjs/common';
import { InvalidOptionError } from '../cluster/options.js';
import { openClient } from './redis-connection.js';
import type { RedisConnectionOptions } from './redis-streams-options.interface.js';
import { REDIS_STREAMS_CLIENT, REDIS_STREAMS_OPTIONS } from './redis-streams.constants.js';

/** Which Redis a module's options name, not checked yet. */
export interface GivenRedis {
  client?: object;
  connection?: string | RedisConnectionOptions;
  enabled?: boolean;
}

/** @throws InvalidOptionError, RedisClientError */
export const redisClientProvider: FactoryProvider<object | undefined> = {
  provide: REDIS_STREAMS_CLIENT,
  inject: [REDIS_STREAMS_OPTIONS],
  useFactory: (options: GivenRedis | undefined) => clientOf('RedisStreamsAdapterModule', options),
};

/**
 * The client that a module was given, or one made from its connection; none if it is disabled and was given neither.
 *
 * @throws InvalidOptionError, RedisClientError
 */
export async function clientOf(module: string, options: GivenRedis | undefined): Promise<object | undefined> {
  const { client, connection, enabled } = options ?? {};
  if (isMissing(client) && isMissing(connection)) {
    if (enabled === false) {
      return undefined;
    }
    throw new InvalidOptionError(
      'client',
      client,
      `${module} a client of ioredis or node-redis or, instead, a "connection" such as { url: "redis://localhost:6379" }`,
    );
  }
  if (!isMissing(client) && !isMissing(connection)) {
    throw new InvalidOptionError('connection', {}, 'either "client" or "connection", not both');
  }
  return client ?? (await openClient(connection!));
}

function isMissing(value: unknown): value is undefined | null {
  return value === undefined || value === null;
}
