import type { NamePrefix, OpenOptions, RedisConnection, RedisDriver } from '../driver.js';
import type { RedisSocket, RedisSocketOptions } from '../redis-socket.js';
import { needsOf, ReconnectingConnection } from '../reconnecting-connection.js';
import { SentinelConnection } from '../sentinel/sentinel-connection.js';
import { SentinelWatch, type SentinelAccess } from '../sentinel/sentinel-watch.js';
import { IoredisSocket, type IoredisClient } from './ioredis-socket.js';

/** ioredis 5 and 6 and iovalkey, with a single server or through Sentinel. */
export class IoredisDriver implements RedisDriver {
  readonly name = 'ioredis';
  readonly isCluster = false;

  readonly prefix: NamePrefix;
  readonly database: number;
  private readonly watch: SentinelWatch | undefined;

  constructor(private readonly client: IoredisClient) {
    const { keyPrefix, db = 0, sentinels } = client.options;
    this.prefix = ioredisPrefix(keyPrefix);
    this.database = db;
    this.watch = sentinels?.length ? new SentinelWatch(sentinelAccess(client)) : undefined;
  }

  open(options: OpenOptions): RedisConnection {
    const { client, watch } = this;
    const needs = { ...options, ...needsOf(options) };
    if (!watch) {
      return new ReconnectingConnection((socket) => new IoredisSocket(client, socket), needs);
    }
    const connect = (socket: RedisSocketOptions): RedisSocket =>
      new IoredisSocket(client, socket, { sentinels: watch.sentinels });
    const connection = new SentinelConnection(watch, connect, needs);
    watch.start();
    return connection;
  }
}

function sentinelAccess(client: IoredisClient): SentinelAccess {
  const { name, sentinels } = client.options;
  return {
    name: String(name),
    sentinels: sentinels!,
    connect: ({ host, port }, socket) => {
      // Read again each time: the password may have been changed.
      const { sentinelUsername, sentinelPassword, sentinelTLS } = client.options;
      return new IoredisSocket(client, socket, {
        ...{ sentinels: null, name: null, host, port, db: 0, tls: sentinelTLS },
        username: sentinelUsername ?? null,
        password: sentinelPassword ?? null,
      });
    },
  };
}

/** ioredis takes the channels of SSUBSCRIBE and SPUBLISH for keys, but not those of SUBSCRIBE, PUBLISH and PUBSUB. */
export function ioredisPrefix(keyPrefix = ''): NamePrefix {
  return { keys: keyPrefix, shardedChannels: keyPrefix };
}
