import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { Server } from 'socket.io';
import { io, type Socket } from 'socket.io-client';
import { createAdapter, type RedisStreamsAdapterFactory } from '../../lib/adapter/index.js';
import { ClusterNode } from '../../lib/cluster/cluster-node.js';
import type { RedisStreamsAdapterOptions } from '../../lib/cluster/options.js';
import {
  closeAfterwards,
  freePort,
  LocalServer,
  RedisCluster,
  RedisSentinel,
  RedisServer,
  servers,
  until,
} from '../kit/index.js';
import { selfSigned } from '../kit/self-signed.js';
import { clusterRows, redis4Cluster, sentinelRows, singleRows } from './rows.js';

const prefix = { channelPrefix: '', streamName: '', sessionKeyPrefix: '' };
let rows = 0;

interface Node {
  io: Server;
  factory: RedisStreamsAdapterFactory;
  client: Socket;
  got: string[];
}

async function startNode(redis: unknown, options: RedisStreamsAdapterOptions): Promise<Node> {
  const factory = createAdapter(redis, { heartbeatInterval: 200, heartbeatTimeout: 2_000, ...options });
  const server = closeAfterwards(new LocalServer(factory, { connectionStateRecovery: {} }));
  await server.listen();
  await factory.node.start();
  expect(factory.node.status()).toMatchObject({ state: 'running', reasons: [] });
  const client = closeAfterwards(
    io(server.url, { transports: ['websocket'], reconnectionDelay: 300, randomizationFactor: 0 }),
  );
  const got: string[] = [];
  client.on('to all', (text: string) => got.push(text));
  await new Promise<void>((resolve) => client.once('connect', resolve));
  return { io: server.io, factory, client, got };
}

/** Broadcasts both ways, requests with answers, and recovery. */
async function smoke(redis: () => unknown, options: RedisStreamsAdapterOptions = {}): Promise<void> {
  const names = { ...prefix, channelPrefix: `ch${++rows}`, streamName: `s${rows}`, sessionKeyPrefix: `k${rows}:` };
  const nodes = await Promise.all([0, 1].map(() => startNode(redis(), { ...names, ...options })));
  const [a, b] = nodes as [Node, Node];

  a.io.emit('to all', 'from a');
  await until(() => b.got.length > 0, { what: 'the broadcast of a' });
  b.io.emit('to all', 'from b', Buffer.from('binary'));
  await until(() => nodes.every(({ got }) => got.length > 1), { what: 'the broadcast of b' });
  expect(nodes.map(({ got }) => got)).toEqual(Array(2).fill(['from a', 'from b']));

  expect(await a.io.fetchSockets()).toHaveLength(2);
  b.io.on('question', (text: string, answer: (text: string) => void) => answer(`${text}?`));
  expect(await a.io.serverSideEmitWithAck('question', 'you')).toEqual(['you?']);

  const reconnected = new Promise<void>((resolve) => a.client.once('connect', resolve));
  a.client.io.engine.close();
  b.io.emit('to all', 'missed');
  await reconnected;
  expect(a.client.recovered).toBe(true);
  await until(() => a.got.length > 2, { what: 'the missed broadcast' });
  expect(a.got).toEqual(['from a', 'from b', 'missed']);
}

const unhandled: unknown[] = [];
beforeAll(() => {
  process.on('unhandledRejection', (error) => unhandled.push(error));
});
afterEach(() => expect(unhandled).toEqual([]));

describe('Socket.IO servers on a single server', () => {
  let redis: RedisServer;
  let valkey: RedisServer;
  beforeAll(async () => {
    redis = await RedisServer.start();
    valkey = await RedisServer.start({ binary: servers.valkey() });
  });

  test.each(singleRows)('$name, Valkey, sharded PUB/SUB', ({ create }) =>
    smoke(() => create(valkey.port), { useShardedPubSub: true, streamCount: 3 }),
  );
  test.each(singleRows.filter(({ hasKeyPrefix }) => hasKeyPrefix))('$name, with a key prefix', ({ create }) =>
    smoke(() => create(redis.port, { keyPrefix: 'app:' }), { useShardedPubSub: true }),
  );
  afterAll(async () => {
    const keys = (await redis.command('KEYS', '*')) as string[];
    expect(keys.length).toBeGreaterThan(0);
    expect(keys.filter((name) => !name.startsWith('app:'))).toEqual([]);
  });
});

describe('Socket.IO servers on a single server with TLS', () => {
  const { key, cert } = selfSigned();
  let port: number;
  beforeAll(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tls-'));
    closeAfterwards({ close: () => rm(folder, { recursive: true }) });
    const [keyFile, certFile] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
    await writeFile(keyFile, key);
    await writeFile(certFile, cert);
    port = await freePort();
    const files = [`tls-key-file ${keyFile}`, `tls-cert-file ${certFile}`, `tls-ca-cert-file ${certFile}`];
    await RedisServer.start({ config: [`tls-port ${port}`, ...files, 'tls-auth-clients no'] });
  });

  test.each(singleRows)('$name', ({ create }) => smoke(() => create(port, { ca: cert })));
  test.each(singleRows)('$name reports that a certificate is not trusted', async ({ create }) => {
    const node = closeAfterwards(new ClusterNode(create(port, { ca: selfSigned().cert }), { startTimeout: 3000 }));
    await expect(node.start()).rejects.toThrow(/cannot be used after 3000 ms.*certificate/);
  });
});

describe('Socket.IO servers on a cluster', () => {
  let cluster: RedisCluster;
  beforeAll(async () => {
    cluster = await RedisCluster.start();
  }, 60_000);

  test.each([redis4Cluster, ...clusterRows])('$name, sharded PUB/SUB, three streams', ({ create }) =>
    smoke(() => create(cluster.rootNodes), { useShardedPubSub: true, streamCount: 3 }),
  );
  test.each(clusterRows.filter(({ hasKeyPrefix }) => hasKeyPrefix))('$name, with a key prefix', ({ create }) =>
    smoke(() => create(cluster.rootNodes, { keyPrefix: 'app:' }), { useShardedPubSub: true, streamCount: 3 }),
  );
});

describe('Socket.IO servers with Sentinel', () => {
  let group: RedisSentinel;
  beforeAll(async () => {
    group = await RedisSentinel.start();
  }, 60_000);

  test.each(sentinelRows)('$name, sharded PUB/SUB, three streams', ({ create }) =>
    smoke(() => create({ name: group.name, addresses: group.addresses }), { useShardedPubSub: true, streamCount: 3 }),
  );
  test.each(sentinelRows.filter(({ hasKeyPrefix }) => hasKeyPrefix))('$name, with a key prefix', ({ create }) =>
    smoke(() => create({ name: group.name, addresses: group.addresses }, { keyPrefix: 'app:' })),
  );
});
