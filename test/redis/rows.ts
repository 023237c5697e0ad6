import { createRequire } from 'node:module';
import type { ConnectionListener, OpenOptions, RedisConnection } from '../../lib/redis/driver.js';
import { driverFor } from '../../lib/redis/driver-for.js';
import { redisSentinelDriver } from '../../lib/redis/drivers/node-redis-sentinel.driver.js';
import { closeAfterwards, until } from '../kit/index.js';

// As an application has them: each a copy of its own, of CommonJS.
const require = createRequire(import.meta.url);
const ioredis = { 5: require('ioredis-5'), 6: require('ioredis') };
const redis = { 4: require('redis-4'), 5: require('redis-5'), 6: require('redis') };
const iovalkey = require('iovalkey');

export interface Address {
  host: string;
  port: number;
}

export interface ClientOptions {
  username?: string;
  password?: string;
  keyPrefix?: string;
  /** Connects by TLS, and trusts this authority only. */
  ca?: string;
  /** Where nodes are reached, by the address that they tell. */
  addressMap?: Record<string, Address>;
}

/** A kind of client, as an application may make it. None of them is connected. */
export interface Row<Target> {
  name: string;
  /** Whether the client has a `keyPrefix` of its own. */
  hasKeyPrefix: boolean;
  create: (target: Target, options?: ClientOptions) => any;
}

// What is hardest for whoever duplicates them.
const ioredisOptions = { lazyConnect: true, enableOfflineQueue: false, maxRetriesPerRequest: 2, commandTimeout: 50 };

export const singleRows: Row<number>[] = [
  ...[5, 6].map((version) => ({
    name: `ioredis ${version}`,
    hasKeyPrefix: true,
    create: (port: number, { ca, ...options }: ClientOptions = {}) =>
      new ioredis[version as 5 | 6].Redis({ port, ...ioredisOptions, ...options, ...(ca && { tls: { ca } }) }),
  })),
  {
    name: 'iovalkey',
    hasKeyPrefix: true,
    create: (port, { ca, ...options } = {}) =>
      new iovalkey.Redis({ port, ...ioredisOptions, ...options, ...(ca && { tls: { ca } }) }),
  },
  ...[4, 5, 6].map((version) => ({
    name: `redis ${version}`,
    hasKeyPrefix: version === 6,
    create: (port: number, { username, password, keyPrefix, ca }: ClientOptions = {}) =>
      redis[version as 4 | 5 | 6].createClient({
        ...(ca ? { socket: { host: '127.0.0.1', port, tls: true, ca } } : { url: `redis://127.0.0.1:${port}` }),
        ...(username && { username }),
        ...(password && { password }),
        ...(keyPrefix && { keyPrefix }),
      }),
  })),
];

export const clusterRows: Row<Address[]>[] = [
  ...[5, 6].map((version) => ({
    name: `ioredis ${version}`,
    hasKeyPrefix: true,
    create: (nodes: Address[], { keyPrefix, addressMap, ...redisOptions }: ClientOptions = {}) =>
      new ioredis[version as 5 | 6].Cluster(nodes, {
        lazyConnect: true,
        scaleReads: 'slave',
        redisOptions: { ...redisOptions, maxRetriesPerRequest: 2 },
        ...(keyPrefix && { keyPrefix }),
        ...(addressMap && { natMap: addressMap }),
      }),
  })),
  ...[5, 6].map((version) => ({
    name: `redis ${version}`,
    hasKeyPrefix: version === 6,
    create: (nodes: Address[], { keyPrefix, addressMap, ...defaults }: ClientOptions = {}) =>
      redis[version as 5 | 6].createCluster({
        rootNodes: nodes.map((socket) => ({ socket })),
        useReplicas: true,
        defaults,
        ...(keyPrefix && { keyPrefix }),
        ...(addressMap && { nodeAddressMap: addressMap }),
      }),
  })),
];

/** Its `nodeAddressMap` cannot be seen. */
export const redis4Cluster: Row<Address[]> = {
  name: 'redis 4',
  hasKeyPrefix: false,
  create: (nodes) => redis[4].createCluster({ rootNodes: nodes.map((socket) => ({ socket })) }),
};

export const sentinelRows: Row<{ name: string; addresses: Address[] }>[] = [
  ...[5, 6].map((version) => ({
    name: `ioredis ${version}`,
    hasKeyPrefix: true,
    create: ({ name, addresses }: { name: string; addresses: Address[] }, options: ClientOptions = {}) =>
      new ioredis[version as 5 | 6].Redis({ name, sentinels: addresses, ...ioredisOptions, ...options }),
  })),
  {
    name: 'redis 5',
    hasKeyPrefix: false,
    create: ({ name, addresses }) =>
      redisSentinelDriver(redis[5].createSentinel, { name, sentinelRootNodes: addresses }),
  },
  {
    name: 'redis 6',
    hasKeyPrefix: true,
    create: ({ name, addresses }, { keyPrefix } = {}) =>
      redis[6].createSentinel({ name, sentinelRootNodes: addresses, ...(keyPrefix && { keyPrefix }) }),
  },
];

/** A connection that writes down what its owner is told. */
export class Probe {
  readonly events: string[] = [];
  readonly errors: Error[] = [];
  readonly warnings: string[] = [];
  readonly messages: [channel: string, payload: string][] = [];
  readonly connection: RedisConnection;

  constructor(client: unknown, options: Partial<OpenOptions> = {}) {
    const listener: ConnectionListener = {
      onReady: () => this.events.push('ready'),
      onLost: (error) => {
        this.errors.push(error);
        if (this.events.at(-1) !== 'lost') this.events.push('lost');
      },
      onMessage: (channel, payload) => this.messages.push([channel, payload.toString()]),
      onWarning: (warning) => this.warnings.push(warning),
    };
    this.connection = closeAfterwards(
      driverFor(client).open({ role: 'commands', connectionName: 'probe', sharded: false, ...options, listener }),
    );
  }

  /** Resolves when the connection has become ready so many times. */
  async ready(times = 1): Promise<this> {
    await until(() => this.events.filter((event) => event === 'ready').length >= times && this.connection.ready, {
      what: `the connection to be ready; it says ${this.events.join(', ')}: ${this.errors.at(-1)?.message}`,
      timeout: 15_000,
    });
    return this;
  }

  async lost(): Promise<void> {
    await until(() => !this.connection.ready, { what: 'the connection to be lost' });
  }

  /** The text of each entry of a stream, in its order. */
  async entries(stream: string): Promise<string[]> {
    const reply = (await this.connection.call(['XRANGE', stream, '-', '+'])) as [string, string[]][];
    return reply.map(([, fields]) => fields[1]!);
  }
}

/** How a promise ends, and after how many milliseconds. */
export async function outcomeOf(promise: Promise<unknown>): Promise<{ error?: Error; value?: unknown; ms: number }> {
  const start = performance.now();
  return promise.then(
    (value) => ({ value, ms: performance.now() - start }),
    (error: Error) => ({ error, ms: performance.now() - start }),
  );
}
