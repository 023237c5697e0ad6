import type { ConnectionOptions as TlsOptions } from 'node:tls';
import type { IoAdapter } from '@nestjs/platform-socket.io';
import type { RedisStreamsAdapterOptions } from '../cluster/options.js';

/** Where Redis is, and how to log in. One of `url`, `host`, `port`, `path`, `sentinels` and `cluster` must be given. */
interface RedisAddress {
  /**
   * `redis://user:password@host:6379/0`, or `rediss://…` for TLS.
   */
  url?: string;
  /**
   * @default "localhost"
   */
  host?: string;
  /**
   * @default 6379
   */
  port?: number;
  /** The path of a Unix socket, instead of host and port. */
  path?: string;
  /** The user of Redis' ACL. Without it, the password is that of the user `default`. */
  username?: string;
  password?: string;
  /**
   * The number of the logical database.
   * @default 0
   */
  db?: number;
  /**
   * `true`, or options of Node's `tls.connect` such as `ca` and `servername`.
   * @default false
   */
  tls?: boolean | TlsOptions;
  /** Redis Sentinel: the sentinels' addresses. Needs `name`. */
  sentinels?: { host: string; port: number }[];
  /** Redis Sentinel: the name of the group of servers, such as `mymaster`. */
  name?: string;
  /** Redis Cluster. `username`, `password` and `tls` beside it are those of every node. */
  cluster?: RedisClusterOptions;
}

/**
 * A Redis Cluster.
 *
 * @publicApi
 */
export interface RedisClusterOptions {
  /** Some of the cluster's nodes, as URLs or addresses; the others are found through them. */
  nodes: (string | { host: string; port: number })[];
  /** Further options of ioredis' `Cluster`, such as `natMap`. */
  [option: string]: unknown;
}

/**
 * A connection that the module opens, with the application's ioredis, and closes.
 *
 * @publicApi
 */
export interface RedisConnectionOptions extends RedisAddress {
  /** Further options of ioredis, such as `connectTimeout` or `sentinelPassword`. */
  [option: string]: unknown;
}

/**
 * Options of the Socket.IO server, as `@WebSocketGateway` takes them.
 *
 * @publicApi
 */
export type RedisStreamsServerOptions = Partial<NonNullable<Parameters<IoAdapter['createIOServer']>[1]>>;

interface CommonModuleOptions extends RedisStreamsAdapterOptions {
  /**
   * Options of every Socket.IO server of the application, such as `connectionStateRecovery`. Those of a gateway come
   * before them. Nest makes one server for each port and path, with the options of the first gateway it finds there; so
   * what is meant for all gateways is best given here.
   * @default none
   */
  serverOptions?: RedisStreamsServerOptions;
}

/**
 * Options of the module: those of the adapter, and one of `client` and `connection`.
 *
 * @publicApi
 */
export type RedisStreamsModuleOptions = CommonModuleOptions &
  (
    | {
        /** A client of ioredis or node-redis. It is duplicated, and never used, reconfigured or closed. */
        client: object;
        connection?: undefined;
      }
    | {
        /** A connection for the module to open, with ioredis, and to close. */
        connection: RedisConnectionOptions;
        client?: undefined;
      }
  );

/**
 * What a class given as `useClass` or `useExisting` implements.
 *
 * @publicApi
 */
export interface RedisStreamsOptionsFactory {
  createRedisStreamsOptions(): RedisStreamsModuleOptions | Promise<RedisStreamsModuleOptions>;
}
