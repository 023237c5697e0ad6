import { describe, expect, jest, test } from '@jest/globals';
import { type Redis, type Cluster } from 'ioredis';
import {
  REDIS_STREAMS_CLIENT,
  RedisStreamsAdapterModule,
  RedisStreamsMonitor,
  type RedisConnectionOptions,
} from 'nestjs-redis-streams-adapter';
import { closeClient, openClient } from '../../lib/nest/redis-connection.js';
import { closeAfterwards, RedisCluster, RedisSentinel, until } from '../kit/index.js';
import { FAST, init } from './nest-app.js';

async function open<T extends Redis | Cluster = Redis>(connection: RedisConnectionOptions): Promise<T> {
  const client = await openClient(connection);
  closeAfterwards({ close: () => closeClient(client) });
  return client as T;
}

async function startNodes(connection: RedisConnectionOptions) {
  const start = async () => {
    const imports = [RedisStreamsAdapterModule.forRoot({ connection, ...FAST })];
    return init({ imports });
  };
  const [one, other] = await Promise.all([start(), start()]);
  await until(() => one.get(RedisStreamsMonitor).nodes.length === 2, { what: 'two nodes' });
  await Promise.all([one.close(), other.close()]);
  return one;
}

test('a Redis Cluster', async () => {
  const cluster = await RedisCluster.start({ replicas: 0 });
  const app = await startNodes({ cluster: { nodes: cluster.rootNodes } });
  expect(app.get(REDIS_STREAMS_CLIENT)).toMatchObject({ isCluster: true, status: 'end' });
  for (const node of cluster.nodes) {
    expect((await node.clients()).filter(({ name }) => name.includes('redis-streams'))).toEqual([]);
  }
});

test('Redis Sentinel', async () => {
  const sentinel = await RedisSentinel.start({ replicas: 0, password: 'secret' });
  await startNodes({ sentinels: sentinel.addresses, name: sentinel.name, password: 'secret' });
});

describe('options', () => {
  test('are those of ioredis', async () => {
    const client = await open({ host: 'redis.example', connectTimeout: 1234, connectionName: 'chat' });
    expect(client.options).toMatchObject({
      ...{ host: 'redis.example', port: 6379, connectTimeout: 1234 },
      ...{ connectionName: 'chat', lazyConnect: true },
    });
    expect(client.status).toBe('wait');
  });

  test.each<[RedisConnectionOptions, object | undefined]>([
    [{ host: 'h' }, undefined],
    [{ host: 'h', tls: false }, undefined],
    [{ host: 'h', tls: true }, {}],
    [{ host: 'h', tls: { servername: 's' } }, { servername: 's' }],
    [{ url: 'redis://h', tls: { servername: 's' } }, { servername: 's' }],
  ])('%j: TLS', async (connection, tls) => {
    expect((await open(connection)).options.tls).toEqual(tls);
  });

  test('beside a URL are used, and may repeat what it says', async () => {
    const { options } = await open({ url: 'redis://us%25er@h/2', username: 'us%er', password: 'pass', db: 2 });
    expect(options).toMatchObject({ username: 'us%er', password: 'pass', db: 2 });
    expect((await open({ url: 'redis://h', db: 3 })).options.db).toBe(3);
  });

  test('a rediss URL means TLS', async () => {
    expect((await open({ url: 'rediss://user:pass@h:1/2' })).options).toMatchObject({
      ...{ host: 'h', port: 1, username: 'user', password: 'pass', db: 2 },
      tls: expect.anything(),
    });
  });

  test('beside a cluster are those of every node', async () => {
    const client = await open<Cluster>({
      cluster: { nodes: ['redis://h:1'], scaleReads: 'slave', redisOptions: { connectTimeout: 1234 } },
      ...{ username: 'user', password: 'pass', tls: true },
    });
    expect(client.options).toMatchObject({
      scaleReads: 'slave',
      redisOptions: { username: 'user', password: 'pass', tls: {}, connectTimeout: 1234 },
    });
  });
});

test('a client that cannot reach its server can be closed', async () => {
  const client = await open({ host: '127.0.0.1', port: 1 });
  const asked = client.ping();
  await until(() => client.status === 'reconnecting', { what: 'the first try to fail' });
  await closeClient(client);
  await closeClient(client);
  client.disconnect();
  await Promise.race([asked.catch(() => undefined), Promise.resolve()]);
  expect(client.status).not.toBe('ready');
});

test('without ioredis, the error says what to do', async () => {
  jest.resetModules();
  jest.unstable_mockModule('ioredis', () => {
    throw Object.assign(new Error("Cannot find package 'ioredis'"), { code: 'ERR_MODULE_NOT_FOUND' });
  });
  const { openClient } = await import('../../lib/nest/redis-connection.js');
  await expect(openClient({ host: 'h' })).rejects.toThrow(
    'connection: the package "ioredis", with which it would be opened, is not installed. Run "npm install ioredis", ' +
      'or give "client" instead, a client of your own.',
  );
});
