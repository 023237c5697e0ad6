import type { NamePrefix, OpenOptions, RedisConnection, RedisDriver } from '../driver.js';
import type { RedisSocket, RedisSocketOptions } from '../redis-socket.js';
import { needsOf, ReconnectingConnection } from '../reconnecting-connection.js';
import { NodeRedisSocket, type NodeRedisClient } from './node-redis-socket.js';

/** node-redis 4.7, 5 and 6, with a single server. */
export class NodeRedisDriver implements RedisDriver {
  readonly name = 'redis';
  readonly isCluster = false;
  readonly prefix: NamePrefix;
  readonly database: number;

  constructor(private readonly client: NodeRedisClient) {
    this.prefix = nodeRedisPrefix(client.options?.keyPrefix);
    this.database = client.options?.database ?? 0;
  }

  open(options: OpenOptions): RedisConnection {
    const connect = (socket: RedisSocketOptions): RedisSocket => new NodeRedisSocket(this.client, socket);
    return new ReconnectingConnection(connect, { ...options, ...needsOf(options) });
  }
}

/** node-redis (since 6) has a prefix for keys only. */
export function nodeRedisPrefix(keyPrefix = ''): NamePrefix {
  return { keys: keyPrefix, shardedChannels: '' };
}
