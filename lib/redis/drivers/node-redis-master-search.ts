import { destroyQuietly, type NodeRedisClient } from './node-redis-socket.js';

/** Milliseconds in which sockets that are opened share one search for the master. */
const SHARED_SEARCH_MS = 1_000;

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

/**
 * Finds the master for connections that are opened together, at the start and after a failover, once for all of them: to
 * make a sentinel client keeps node-redis busy for a tenth of a second and more. A connection that is opened later begins
 * a search of its own: what an older one has seen may be past.
 */
export class NodeRedisMasterSearch {
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
