import { RedisClientError, type RedisDriver } from './driver.js';
import { IoredisDriver, type IoredisClient } from './ioredis.driver.js';

/**
 * The driver of a client, which is recognised by its shape: the application's copy of a client library is often
 * another one than ours.
 *
 * @throws RedisClientError if the client is of no known kind
 */
export function driverFor(client: unknown): RedisDriver {
  if (isDriver(client)) {
    return client;
  }
  if (isIoredis(client)) {
    return new IoredisDriver(client);
  }
  throw new RedisClientError(
    `client: ${describe(client)} is not a Redis client that is known here. Pass a client of ioredis 5 or 6, or an ` +
      'object with the methods of RedisDriver.',
  );
}

function isDriver(client: unknown): client is RedisDriver {
  return hasMethods(client, ['open']) && 'isCluster' in client && typeof client.isCluster === 'boolean' && 'name' in client;
}

function isIoredis(client: unknown): client is IoredisClient {
  return (
    hasMethods(client, ['duplicate', 'call', 'multi', 'subscribe', 'publish', 'disconnect', 'on']) &&
    'options' in client &&
    'status' in client
  );
}

function hasMethods(value: unknown, methods: string[]): value is object {
  return (
    typeof value === 'object' &&
    value !== null &&
    methods.every((method) => typeof (value as Record<string, unknown>)[method] === 'function')
  );
}

function describe(value: unknown): string {
  if (value === null || value === undefined) {
    return String(value);
  }
  return typeof value === 'object' ? `an object of ${value.constructor?.name || 'no class'}` : `a ${typeof value}`;
}
