import { Cluster as Ioredis6Cluster, Redis as Ioredis6 } from 'ioredis';
import { Cluster as Ioredis5Cluster, Redis as Ioredis5 } from 'ioredis-5';
import { Cluster as IovalkeyCluster, Redis as Iovalkey } from 'iovalkey';
import * as redis6 from 'redis';
import * as redis4 from 'redis-4';
import * as redis5 from 'redis-5';
import { redisSentinelDriver } from '../../lib/redis/drivers/node-redis-sentinel.driver.js';

export type RedisClientKind = 'ioredis 5' | 'ioredis 6' | 'iovalkey' | 'redis 4' | 'redis 5' | 'redis 6';

/** Where Redis is, as a client is told it. It can be sent to another process. */
export type RedisAddress =
  | { topology: 'single'; port: number }
  | { topology: 'cluster'; nodes: { host: string; port: number }[] }
  | { topology: 'sentinel'; name: string; sentinels: { host: string; port: number }[] };

/** A client as an application makes it. */
export interface OpenRedisClient {
  client: unknown;
  close(): Promise<void>;
}

export async function openRedisClient(kind: RedisClientKind, address: RedisAddress): Promise<OpenRedisClient> {
  switch (kind) {
    case 'ioredis 5':
      return ofIoredis(Ioredis5, Ioredis5Cluster, address);
    case 'ioredis 6':
      return ofIoredis(Ioredis6, Ioredis6Cluster, address);
    case 'iovalkey':
      return ofIoredis(Iovalkey, IovalkeyCluster, address);
    case 'redis 4':
      return ofNodeRedis(redis4, address);
    case 'redis 5':
      return ofNodeRedis(redis5, address);
    case 'redis 6':
      return ofNodeRedis(redis6, address);
  }
}

// The libraries' classes are of no common type; what is called here, all of them have.
function ofIoredis(Redis: any, Cluster: any, address: RedisAddress): OpenRedisClient {
  const make = (): any => {
    switch (address.topology) {
      case 'single':
        return new Redis(address.port, '127.0.0.1');
      case 'cluster':
        return new Cluster(address.nodes);
      case 'sentinel':
        return new Redis({ name: address.name, sentinels: address.sentinels });
    }
  };
  const client = make();
  client.on('error', () => undefined);
  return { client, close: async () => void (await client.quit().catch(() => client.disconnect())) };
}

async function ofNodeRedis(redis: any, address: RedisAddress): Promise<OpenRedisClient> {
  if (redis === redis5 && address.topology === 'sentinel') {
    // Its sentinel client cannot be duplicated: it is made by a driver from its options.
    const options = { name: address.name, sentinelRootNodes: address.sentinels };
    return { client: redisSentinelDriver(redis5.createSentinel as never, options as never), close: async () => {} };
  }
  const make = (): any => {
    switch (address.topology) {
      case 'single':
        return redis.createClient({ socket: { host: '127.0.0.1', port: address.port } });
      case 'cluster':
        return redis.createCluster({ rootNodes: address.nodes.map((socket) => ({ socket })) });
      case 'sentinel':
        return redis.createSentinel({ name: address.name, sentinelRootNodes: address.sentinels });
    }
  };
  const client = make();
  client.on('error', () => undefined);
  await client.connect();
  // The cluster client of redis 4 waits in quit() for a node that is gone.
  return { client, close: async () => void (await (client.close ?? client.disconnect).call(client)) };
}
