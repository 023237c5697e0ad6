import type * as Ioredis from 'ioredis';
import type { ClusterNode } from 'ioredis';
import { RedisClientError } from '../redis/errors.js';
import { within } from '../time/within.js';
import { resolveConnection } from './connection-options.js';
import { withClusterCredentials, withCredentials } from './credentials.js';
import type { RedisConnectionOptions } from './redis-streams-options.interface.js';

/** What this file needs of a client of ioredis. */
interface OwnClient {
  readonly status: string;
  on(event: 'error', listener: (error: Error) => void): unknown;
  once(event: 'end', listener: () => void): unknown;
  disconnect(): void;
}

/** Milliseconds to wait for the end of a socket. */
const CLOSE_TIMEOUT_MS = 2_000;
/** In which states of a client there is a socket, whose end it emits. */
const WITH_SOCKET = new Set(['connecting', 'connect', 'ready']);
const own = new WeakSet<object>();

/**
 * A client of the application's ioredis. It is not connected: it serves to be duplicated, and connects only if the
 * application uses it.
 *
 * @throws InvalidOptionError, RedisClientError if ioredis is not installed
 */
export async function openClient(connection: string | RedisConnectionOptions): Promise<object> {
  const { url, options, cluster, credentials } = resolveConnection(connection);
  const { Redis, Cluster } = await importIoredis();
  const lazy = { lazyConnect: true, connectionName: 'redis-streams:client' };
  let client: OwnClient;
  if (cluster) {
    const made = new Cluster(cluster.nodes as ClusterNode[], { ...cluster.options, ...lazy, redisOptions: options });
    client = credentials ? withClusterCredentials(made, credentials) : made;
  } else {
    const made = url === undefined ? new Redis({ ...lazy, ...options }) : new Redis(url, { ...lazy, ...options });
    client = credentials ? withCredentials(made, credentials) : made;
  }
  client.on('error', () => undefined); // commands that fail are rejected, and the node emits events of its own
  own.add(client);
  return client;
}

/** Closes a client that was opened here; one that was passed in is left as it is. */
export async function closeClient(client: unknown): Promise<void> {
  if (typeof client !== 'object' || client === null || !own.delete(client)) {
    return;
  }
  const { status } = client as OwnClient;
  const ended = new Promise<void>((resolve) => (client as OwnClient).once('end', resolve));
  (client as OwnClient).disconnect();
  if (WITH_SOCKET.has(status)) {
    await within(CLOSE_TIMEOUT_MS, ended);
  }
}

async function importIoredis(): Promise<Pick<typeof Ioredis, 'Redis' | 'Cluster'>> {
  try {
    return await import('ioredis');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ERR_MODULE_NOT_FOUND' && code !== 'MODULE_NOT_FOUND') {
      throw error;
    }
    throw new RedisClientError(
      'connection: the package "ioredis", with which it would be opened, is not installed. Run "npm install ioredis", ' +
        'or give "client" instead, a client of your own.',
      { cause: error },
    );
  }
}
