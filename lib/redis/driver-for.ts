import type { RedisDriver } from './driver.js';
import { RedisClientError } from './errors.js';
import { IoredisClusterDriver, type IoredisCluster } from './drivers/ioredis-cluster.driver.js';
import { IoredisDriver } from './drivers/ioredis.driver.js';
import type { IoredisClient } from './drivers/ioredis-socket.js';
import { NodeRedisClusterDriver, type NodeRedisCluster } from './drivers/node-redis-cluster.driver.js';
import { NodeRedisSentinelDriver } from './drivers/node-redis-sentinel.driver.js';
import type { NodeRedisSentinel } from './drivers/node-redis-master-search.js';
import { NodeRedisDriver } from './drivers/node-redis.driver.js';
import type { NodeRedisClient } from './drivers/node-redis-socket.js';

const SUPPORTED =
  'Pass a client of ioredis 5 or 6 (Redis or Cluster), of iovalkey, of redis 4.7, 5 or 6 (createClient, createCluster ' +
  'or createSentinel), or an object with the methods of RedisDriver.';

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
  if (isIoredisCluster(client)) {
    return new IoredisClusterDriver(client);
  }
  if (isIoredis(client)) {
    return new IoredisDriver(client);
  }
  if (isNodeRedisCluster(client)) {
    return new NodeRedisClusterDriver(client);
  }
  if (isNodeRedisSentinel(client)) {
    if (!hasMethods(client, 'duplicate')) {
      throw new RedisClientError(
        'client: a client of createSentinel cannot be duplicated in redis 5. Pass redisSentinelDriver(createSentinel, ' +
          'options), or use redis 6.',
      );
    }
    return NodeRedisSentinelDriver.of(client as Parameters<typeof NodeRedisSentinelDriver.of>[0]);
  }
  if (isNodeRedis(client)) {
    return new NodeRedisDriver(client);
  }
  throw new RedisClientError(`client: ${describe(client)} is not a Redis client that is known here. ${SUPPORTED}`);
}

function isDriver(client: unknown): client is RedisDriver {
  return (
    hasMethods(client, 'open') && 'isCluster' in client && typeof client.isCluster === 'boolean' && 'name' in client
  );
}

function isIoredisCluster(client: unknown): client is IoredisCluster {
  return (
    hasMethods(client, 'duplicate', 'connect', 'disconnect', 'nodes', 'on') &&
    'isCluster' in client &&
    client.isCluster === true
  );
}

function isIoredis(client: unknown): client is IoredisClient {
  return (
    hasMethods(client, 'duplicate', 'connect', 'disconnect', 'call', 'subscribe', 'unsubscribe', 'on') &&
    'options' in client &&
    'status' in client
  );
}

function isNodeRedisCluster(client: unknown): client is NodeRedisCluster {
  return hasMethods(client, 'duplicate', 'connect', 'nodeClient', 'on') && 'masters' in client;
}

function isNodeRedisSentinel(client: unknown): client is NodeRedisSentinel {
  return hasMethods(client, 'connect', 'destroy', 'getSentinelNode', '_execute', 'on');
}

function isNodeRedis(client: unknown): client is NodeRedisClient {
  return hasMethods(client, 'duplicate', 'connect', 'sendCommand', 'subscribe', 'unsubscribe', 'sSubscribe', 'on');
}

function hasMethods(value: unknown, ...methods: string[]): value is object {
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
