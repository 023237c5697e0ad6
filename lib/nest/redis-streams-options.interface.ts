import type { ConnectionOptions as TlsOptions } from 'node:tls';
import type { IoAdapter } from '@nestjs/platform-socket.io';
import type { RedisStreamsAdapterOptions } from '../cluster/options.js';

/**
 * What a connection logs in with.
 *
 * @publicApi
 */
export interface RedisCredentials {
  /** The user of Redis' ACL. Without it, the password is that of the user `default`. */
  username?: string;
  /** Of the user; a token, with cloud services. */
  password: string;
}

/**
 * Asked for credentials before each connection.
 *
 * @publicApi
 */
export type RedisCredentialsProvider = () => RedisCredentials | Promise<RedisCredentials>;

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
  port?: number | string;
  /** The path of a Unix socket, instead of host and port. */
  path?: string;
  /** The user of Redis' ACL. Without it, the password is that of the user `default`. */
  username?: string;
  /** Of the user. */
  password?: string;
  /**
   * Instead of `username` and `password`: a function that is asked for them before each connection is opened, for
   * passwords that expire (tokens of AWS IAM or Microsoft Entra). When it throws or rejects, the connection counts as
   * failed, and the next attempt asks again.
   */
  credentials?: RedisCredentialsProvider;
  /**
   * The number of the logical database.
   * @default 0
   */
  db?: number | string;
  /**
   * `true`, or options of Node's `tls.connect` such as `ca` and `servername`. With Sentinel, it is for the connections to
   * the sentinels too, unless `sentinelTLS` is given.
   * @default false, or `true` with a URL that begins with "rediss://"
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

/**
 * What the module takes besides Redis: the options of the adapter, and these.
 *
 * @publicApi
 */
export interface RedisStreamsCommonModuleOptions extends RedisStreamsAdapterOptions {
  /**
   * Options of every Socket.IO server of the application, such as `connectionStateRecovery`. Those of a gateway come
   * before them. Nest makes one server for each port and path, with the options of the first gateway it finds there; so
   * what is meant for all gateways is best given here.
   * @default none
   */
  serverOptions?: RedisStreamsServerOptions;
  /**
   * What this process is in the cluster. `node`: it serves sockets and reads the whole log. `observer`: it serves no
   * sockets (a microservice, a command, a cron job); it sees the nodes and what happens to them, answers health, counts
   * as no node and reads no log.
   * @default "node"
   */
  role?: 'node' | 'observer';
  /**
   * `false`: no Redis is used. Sockets are served in memory, as without this package; health is up, and the monitor shows
   * this node alone. For tests, code generators and migrations, and for a single node in development.
   * @default true
   */
  enabled?: boolean;
}

/**
 * Which Redis to use: one of both.
 *
 * @publicApi
 */
export type RedisStreamsSource =
  | {
      /** A client of ioredis or node-redis. It is duplicated, and never used, reconfigured or closed. */
      client: object;
      connection?: undefined;
    }
  | {
      /** A connection for the module to open, with ioredis, and to close: a URL, or an object. */
      connection: string | RedisConnectionOptions;
      client?: undefined;
    };

/**
 * Options of the module: those of the adapter, and one of `client` and `connection`, which may both be missing only with
 * `enabled: false`.
 *
 * @publicApi
 */
export type RedisStreamsModuleOptions =
  | (RedisStreamsCommonModuleOptions & RedisStreamsSource)
  | (RedisStreamsCommonModuleOptions & {
      enabled: false;
      client?: object;
      connection?: string | RedisConnectionOptions;
    });

/**
 * What a class given as `useClass` or `useExisting` implements.
 *
 * @publicApi
 */
export interface RedisStreamsOptionsFactory {
  /** Called once, when the application is created. */
  createRedisStreamsOptions(): RedisStreamsModuleOptions | Promise<RedisStreamsModuleOptions>;
}
