import { setTimeout as sleep } from 'node:timers/promises';
import type { RedisCredentials, RedisCredentialsProvider } from './redis-streams-options.interface.js';

/** Milliseconds from a failure of the function to the next call of it. */
const RETRY_INTERVAL_MS = 1_000;

/** What is used of a `Redis` of ioredis here. */
interface Client {
  readonly options: { username?: string | null; password?: string | null; retryStrategy?: unknown };
  connect: (callback?: unknown) => Promise<unknown>;
  disconnect: (...args: unknown[]) => void;
  duplicate: (override?: object) => Client;
}

/** Credentials as options of ioredis. */
interface Login {
  username: string | null;
  password: string;
}

/** What is used of a `Cluster` of ioredis here. */
interface ClusterClient {
  on(event: '+node', listener: (node: Client) => void): unknown;
  duplicate: (nodes?: unknown[], override?: object) => ClusterClient;
}

/**
 * Has a client ask for its credentials before each connection: when it connects, reconnects, and when a duplicate of it
 * does. ioredis itself keeps those that it was made with.
 */
export function withCredentials<T extends object>(client: T, provide: RedisCredentialsProvider): T {
  const target = client as unknown as Client;
  const { connect, disconnect, duplicate } = target;
  let connecting: Promise<unknown> | undefined;
  /** Counts calls of `disconnect`, which may come while the credentials are awaited. */
  let epoch = 0;
  /** ioredis would not try again after a failure that comes before its own attempt. */
  const askUntil = async (isOver: () => boolean): Promise<Login | undefined> => {
    while (!isOver()) {
      try {
        return await ask(provide);
      } catch (error) {
        if (target.options.retryStrategy === null) {
          throw error; // it is tried again by who called
        }
        await sleep(RETRY_INTERVAL_MS, undefined, { ref: false });
      }
    }
    return undefined;
  };
  Object.assign(target, {
    connect(callback?: unknown): Promise<unknown> {
      // Each command of a client that waits would connect it.
      connecting ??= (async () => {
        const before = epoch;
        const credentials = await askUntil(() => before !== epoch);
        if (before !== epoch || !credentials) {
          throw new Error('Connection is closed.');
        }
        Object.assign(target.options, credentials);
        return connect.call(target, callback);
      })().finally(() => (connecting = undefined));
      return connecting;
    },
    disconnect(...args: unknown[]): void {
      epoch++;
      disconnect.apply(target, args);
    },
    duplicate(override?: object): Client {
      const copy = duplicate.call(target, override);
      // Sentinels, for example, have credentials of their own.
      return override && 'password' in override ? copy : withCredentials(copy, provide);
    },
  });
  return client;
}

/** The same for a client of a Redis Cluster, whose connections are clients of one node each. */
export function withClusterCredentials<T extends object>(client: T, provide: RedisCredentialsProvider): T {
  const target = client as unknown as ClusterClient;
  const { duplicate } = target;
  target.on('+node', (node) => withCredentials(node, provide));
  target.duplicate = (nodes, override) => withClusterCredentials(duplicate.call(target, nodes, override), provide);
  return client;
}

async function ask(provide: RedisCredentialsProvider): Promise<Login> {
  const credentials = (await provide()) as Partial<RedisCredentials> | null | undefined;
  const { username, password } = credentials ?? {};
  if (typeof password !== 'string' || (username !== undefined && username !== null && typeof username !== 'string')) {
    throw new TypeError(
      'connection.credentials: what the function returned is not allowed. Give { username, password }, both strings; ' +
        '"username" may be left out.',
    );
  }
  return { username: username ?? null, password };
}
