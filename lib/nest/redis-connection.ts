import type * as Ioredis from 'ioredis';
import { InvalidOptionError } from '../cluster/options.js';
import { RedisClientError } from '../redis/driver.js';
import type { RedisConnectionOptions } from './redis-streams-options.interface.js';

/** What this file needs of a client of ioredis. */
interface OwnClient {
  readonly status: string;
  on(event: 'error', listener: (error: Error) => void): unknown;
  once(event: 'end', listener: () => void): unknown;
  disconnect(): void;
}

const ADDRESSES = ['url', 'host', 'port', 'path', 'sentinels', 'cluster'] as const;
/** Milliseconds to wait for the end of a socket. */
const CLOSE_TIMEOUT = 2_000;
/** In which states of a client there is a socket, whose end it tells. */
const WITH_SOCKET = new Set(['connecting', 'connect', 'ready']);
const own = new WeakSet<object>();

/**
 * A client of the application's ioredis. It is not connected: it serves to be duplicated, and connects only if the
 * application uses it.
 *
 * @throws InvalidOptionError, RedisClientError if ioredis is not installed
 */
export async function openClient(connection: RedisConnectionOptions): Promise<object> {
  validate(connection);
  const { Redis, Cluster } = await importIoredis();
  const { url, cluster, tls, ...rest } = connection;
  const options = { ...rest, ...(tls && { tls: tls === true ? {} : tls }) };
  const lazy = { lazyConnect: true, connectionName: 'redis-streams:client' };
  let client: OwnClient;
  if (cluster) {
    const { nodes, redisOptions, ...further } = cluster;
    client = new Cluster(nodes, { ...further, ...lazy, redisOptions: { ...options, ...(redisOptions as object) } });
  } else {
    client = url === undefined ? new Redis({ ...lazy, ...options }) : new Redis(url, { ...lazy, ...options });
  }
  client.on('error', () => undefined); // whoever uses the client has it from the command, and the node tells its own
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
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([ended, new Promise<void>((resolve) => (timer = setTimeout(resolve, CLOSE_TIMEOUT)))]);
    clearTimeout(timer);
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

/** A missing setting must not lead to a Redis on localhost by ioredis' defaults. Values are not shown: they hold secrets. */
function validate(connection: RedisConnectionOptions): void {
  const reject = (option: string, value: unknown, allowed: string): never => {
    throw new InvalidOptionError(`connection${option}`, typeof value === 'string' ? {} : value, allowed);
  };
  if (typeof connection !== 'object' || connection === null) {
    reject('', connection, 'an object such as { url: "redis://localhost:6379" }');
  }
  const given = ADDRESSES.filter((name) => name in connection);
  if (given.length === 0) {
    reject('', connection, `one of ${ADDRESSES.join(', ')}`);
  }
  for (const name of given) {
    if (connection[name] === undefined || connection[name] === null || connection[name] === '') {
      reject(`.${name}`, connection[name], 'a value, or leave it out; is the setting that it comes from missing?');
    }
  }
  const { url, sentinels, name, cluster } = connection;
  if (url !== undefined && (typeof url !== 'string' || (url.includes('://') && !/^rediss?:\/\//i.test(url)))) {
    throw new InvalidOptionError('connection.url', schemeOf(url), 'a URL that begins with "redis://" or "rediss://"');
  }
  if (url !== undefined && given.length > 1) {
    reject('', connection, `either url or ${given.filter((other) => other !== 'url').join(', ')}, not both`);
  }
  if (cluster !== undefined && (!Array.isArray(cluster.nodes) || cluster.nodes.length === 0)) {
    reject('.cluster.nodes', cluster.nodes, 'at least one node, as a URL or as { host, port }');
  }
  if (cluster !== undefined && given.length > 1) {
    reject('', connection, `either cluster or ${given.filter((other) => other !== 'cluster').join(', ')}, not both`);
  }
  if (sentinels !== undefined && (!Array.isArray(sentinels) || sentinels.length === 0)) {
    reject('.sentinels', sentinels, 'at least one sentinel as { host, port }');
  }
  if (sentinels !== undefined && (typeof name !== 'string' || name === '')) {
    reject('.name', name, 'the name of the group of servers that the sentinels watch');
  }
}

/** All of a URL that is no secret. */
function schemeOf(url: unknown): unknown {
  return typeof url === 'string' ? `${url.slice(0, url.indexOf('://'))}://…` : url;
}
