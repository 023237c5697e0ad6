import type { Address } from '../cluster/cluster-slots.js';
import type { Command, NamePrefix, OpenOptions, RedisConnection, RedisDriver } from '../driver.js';
import type { RedisSocket, RedisSocketOptions } from '../redis-socket.js';
import { mapAddress, optionsOf, type AddressMap } from './node-redis-options.js';
import { destroyQuietly, NodeRedisSocket, nodeRedisPrefix, type NodeRedisClient } from './node-redis.driver.js';
import { needsOf } from '../reconnecting-connection.js';
import { SentinelConnection } from '../sentinel/sentinel-connection.js';
import { SentinelWatch } from '../sentinel/sentinel-watch.js';

/** Milliseconds in which sockets that are opened share one search for the master. */
const SHARED_SEARCH_MS = 1_000;
/** Milliseconds after which a search leaves a sentinel, or a master, that says nothing. Less than a connection has to be opened. */
const SEARCH_SILENCE_MS = 3_000;

/** What a client of node-redis, made with `createSentinel`, offers and this package uses. */
export interface NodeRedisSentinel {
  connect(): Promise<unknown>;
  /** Since node-redis 6. */
  duplicate?(overrides?: object): NodeRedisSentinel;
  /** Runs a function with the client of the master. Within node-redis itself all commands go this way. */
  _execute<T>(isReadonly: boolean, run: (master: NodeRedisClient) => Promise<T>): Promise<T>;
  destroy(): Promise<unknown>;
  on(event: string, listener: (...args: never[]) => void): unknown;
}

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

  private readonly search = new MasterSearch(() => this.createSeed());
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
    const connect = (socket: RedisSocketOptions): RedisSocket => new SentinelSocket(() => this.findMaster(), socket);
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

/**
 * Finds the master for connections that are opened together, at the start and after a failover, once for all of them: to
 * make a sentinel client keeps node-redis busy for a tenth of a second and more. A connection that is opened later begins
 * a search of its own: what an older one has seen may be past.
 */
class MasterSearch {
  /** The search that is under way, and when it was begun by `performance.now()`. */
  private running: { startedAt: number; master: Promise<NodeRedisClient> } | undefined;

  constructor(private readonly createSeed: () => NodeRedisSentinel) {}

  /** A client for the master. */
  findMaster(): Promise<NodeRedisClient> {
    const startedAt = performance.now();
    if (!this.running || startedAt - this.running.startedAt > SHARED_SEARCH_MS) {
      const search = { startedAt, master: this.ask() };
      const forget = (): void => {
        if (this.running === search) {
          this.running = undefined;
        }
      };
      search.master.then(forget, forget);
      this.running = search;
    }
    return this.running.master;
  }

  private async ask(): Promise<NodeRedisClient> {
    const seed = this.createSeed();
    let lastError: Error | undefined;
    seed.on('error', (error: Error) => (lastError = error));
    // Errors of the client of the master, which are not among the former.
    seed.on('client-error', ({ error }: { error: Error }) => (lastError = error));
    try {
      await seed.connect();
      return await seed._execute(false, (client) => Promise.resolve(client));
    } catch (error) {
      throw lastError ?? error; // the library's says only that no sentinel is available
    } finally {
      destroyQuietly(seed);
    }
  }
}

/** A socket to the server that the sentinels name as the master when it is opened. */
class SentinelSocket implements RedisSocket {
  /** The socket to the master; undefined until that is known. */
  private inner: NodeRedisSocket | undefined;
  /** Set by `destroy`: a master that is found later is not connected to. */
  private isDestroyed = false;

  constructor(
    private readonly findMaster: () => Promise<NodeRedisClient>,
    private readonly options: RedisSocketOptions,
  ) {}

  async open(): Promise<void> {
    const master = await this.findMaster();
    if (!this.isDestroyed) {
      this.inner = new NodeRedisSocket(master, this.options);
      await this.inner.open();
    }
  }

  call(command: Command): Promise<unknown> {
    return this.inner!.call(command);
  }

  read(command: Command): Promise<unknown> {
    return this.inner!.read(command);
  }

  send(commands: readonly Command[]): Promise<unknown>[] {
    return this.inner!.send(commands);
  }

  subscribe(channels: readonly string[]): Promise<unknown> {
    return this.inner!.subscribe(channels);
  }

  unsubscribe(channels: readonly string[]): Promise<unknown> {
    return this.inner!.unsubscribe(channels);
  }

  destroy(): void {
    this.isDestroyed = true;
    this.inner?.destroy();
  }
}
