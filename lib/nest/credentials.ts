import { setTimeout as sleep } from 'node:timers/promises';
import type { RedisCredentials, RedisCredentialsProvider } from './redis-streams-options.interface.js';

/** Milliseconds from a failure of the function to the next call of it. */
const RETRY_INTERVAL_MS = 1_000;

/** What makes the sockets of a client of ioredis. */
interface Connector {
  connect: (...args: unknown[]) => Promise<unknown>;
  disconnect: () => void;
}

/** What is used of a `Redis` of ioredis here. */
interface Client {
  readonly options: { username?: string | null; password?: string | null; retryStrategy?: unknown };
  readonly connector: Connector;
  /** Made anew for each connection, before the connector is asked for a socket. */
  readonly condition?: { auth?: unknown };
  connect: () => Promise<unknown>;
  duplicate: (override?: object) => Client;
}

/** What is used of a `Cluster` of ioredis here. */
interface ClusterClient {
  on(event: '+node', listener: (node: Client) => void): unknown;
  duplicate: (nodes?: unknown[], override?: object) => ClusterClient;
}

/** Credentials as options of ioredis. */
interface Login {
  username: string | null;
  password: string;
}

/**
 * Has a client ask for its credentials before each connection: when it connects, reconnects, and when a duplicate of it
 * does. ioredis itself keeps those that it was made with.
 */
export function withCredentials<T extends object>(client: T, provide: RedisCredentialsProvider): T {
  const target = client as unknown as Client;
  const { connector, duplicate } = target;
  const { connect, disconnect } = connector;
  /** Ends the asking for credentials, if they are being asked for. */
  let stop = (): void => undefined;
  connector.connect = async (...args) => {
    const stopped = new Promise<undefined>((resolve) => (stop = () => resolve(undefined)));
    const login = await Promise.race([askUntilGiven(target, provide, stopped), stopped]);
    if (!login) {
      throw new Error('Connection is closed.');
    }
    const { username, password } = login;
    Object.assign(target.options, login);
    Object.assign(target.condition ?? {}, { auth: username === null ? password : [username, password] });
    return connect.apply(connector, args);
  };
  connector.disconnect = () => {
    stop();
    disconnect.call(connector);
  };
  target.duplicate = (override) => {
    // Sentinels, for example, have credentials of their own.
    if (override && 'password' in override) {
      return duplicate.call(target, override);
    }
    const copy = withCredentials(duplicate.call(target, { ...override, lazyConnect: true }), provide);
    if (override && 'lazyConnect' in override && override.lazyConnect === false) {
      copy.connect().catch(() => undefined); // emitted as 'error', too
    }
    return copy;
  };
  return client;
}

/** ioredis does not try again after a failure that comes before its own attempt. */
async function askUntilGiven(
  { options }: Client,
  provide: RedisCredentialsProvider,
  stopped: Promise<undefined>,
): Promise<Login | undefined> {
  let isStopped = false;
  void stopped.then(() => (isStopped = true));
  while (!isStopped) {
    try {
      return await ask(provide);
    } catch (error) {
      if (options.retryStrategy === null) {
        throw error; // the caller tries again
      }
      await Promise.race([sleep(RETRY_INTERVAL_MS, undefined, { ref: false }), stopped]);
    }
  }
  return undefined;
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
