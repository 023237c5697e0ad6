import type { Address } from '../cluster/cluster-slots.js';
import type { NamePrefix, OpenOptions, RedisConnection, RedisDriver } from '../driver.js';
import type { RedisSocket, RedisSocketOptions } from '../redis-socket.js';
import { mapAddress, optionsOf, type AddressMap } from './node-redis-options.js';
import { nodeRedisPrefix } from './node-redis.driver.js';
import { NodeRedisSocket, type NodeRedisClient } from './node-redis-socket.js';
import { NodeRedisMasterSearch, type NodeRedisSentinel } from './node-redis-master-search.js';
import { NodeRedisSentinelSocket } from './node-redis-sentinel-socket.js';
import { needsOf } from '../reconnecting-connection.js';
import { SentinelConnection } from '../sentinel/sentinel-connection.js';
import { SentinelWatch } from '../sentinel/sentinel-watch.js';

/** Milliseconds after which a search leaves a sentinel, or a master, that says nothing. Less than a connection has to be opened. */
const SEARCH_SILENCE_MS = 3_000;

interface SentinelOptions {
  name?: string;
  sentinelRootNodes?: Address[];
  nodeClientOptions?: { socket?: object; database?: number };
  sentinelClientOptions?: { socket?: object };
  nodeAddressMap?: AddressMap;
  keyPrefix?: string;
}

/** `createSentinel` of node-redis 5 and 6. */
export class NodeRedisSentinelDriver implements RedisDriver {
  readonly name = 'redis';
  readonly isCluster = false;
  readonly prefix: NamePrefix;
  readonly database: number;

  private readonly search = new NodeRedisMasterSearch(() => this.createSeed());
  private readonly watch: SentinelWatch;
  /** A client for the master, made by the sentinel client. */
  private template: NodeRedisClient | undefined;

  /** @param create - makes a sentinel client with these options */
  constructor(
    private readonly create: (options: object) => NodeRedisSentinel,
    private readonly options: SentinelOptions,
  ) {
    const { name, sentinelRootNodes = [], nodeClientOptions, nodeAddressMap, keyPrefix } = options;
    this.prefix = nodeRedisPrefix(keyPrefix);
    this.database = nodeClientOptions?.database ?? 0;
    this.watch = new SentinelWatch({
      name: String(name),
      sentinels: sentinelRootNodes,
      connect: (sentinel, socket) =>
        new NodeRedisSocket(this.template!, socket, mapAddress(sentinel, nodeAddressMap), {
          ...{ username: undefined, password: undefined, credentialsProvider: undefined, database: undefined },
          socket: {},
          ...options.sentinelClientOptions,
        }),
    });
  }

  /** @param client - of node-redis 6; that of 5 cannot be duplicated */
  static of(client: NodeRedisSentinel & Required<Pick<NodeRedisSentinel, 'duplicate'>>): NodeRedisSentinelDriver {
    return new NodeRedisSentinelDriver((options) => client.duplicate(options), optionsOf<SentinelOptions>(client));
  }

  open(options: OpenOptions): RedisConnection {
    const connect = (socket: RedisSocketOptions): RedisSocket =>
      new NodeRedisSentinelSocket(() => this.findMaster(), socket);
    return new SentinelConnection(this.watch, connect, { ...options, ...needsOf(options) });
  }

  private async findMaster(): Promise<NodeRedisClient> {
    this.template = await this.search.findMaster();
    this.watch.start();
    return this.template;
  }

  /** A client that looks for the master once. */
  private createSeed(): NodeRedisSentinel {
    const { nodeClientOptions, sentinelClientOptions } = this.options;
    return this.create({
      ...this.options,
      sentinelRootNodes: this.watch.sentinels,
      nodeClientOptions: {
        ...nodeClientOptions,
        socket: { ...nodeClientOptions?.socket, reconnectStrategy: false, socketTimeout: SEARCH_SILENCE_MS },
      },
      sentinelClientOptions: {
        ...sentinelClientOptions,
        socket: { ...sentinelClientOptions?.socket, socketTimeout: SEARCH_SILENCE_MS },
      },
      masterPoolSize: 1,
      replicaPoolSize: 0,
      reserveClient: false,
      scanInterval: 0,
      maxCommandRediscovers: 0,
    });
  }
}

/**
 * The driver of a Redis that is watched by sentinels, with node-redis 5, whose sentinel clients cannot be duplicated:
 * `createAdapter(redisSentinelDriver(createSentinel, { name: 'mymaster', sentinelRootNodes }))`.
 *
 * @param createSentinel - that of `redis`
 * @param options - what it is called with
 */
export function redisSentinelDriver<T extends object>(
  createSentinel: (options: T) => unknown,
  options: T,
): RedisDriver {
  return new NodeRedisSentinelDriver((given) => createSentinel(given as T) as NodeRedisSentinel, options);
}
