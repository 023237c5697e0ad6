import { createServer, connect as connectTls } from 'node:tls';
import { connect as connectTcp } from 'node:net';
import { describe, expect, test } from '@jest/globals';
import type { Cluster, Redis } from 'ioredis';
import { Redis as Redis5 } from 'ioredis-5';
import {
  REDIS_STREAMS_CLIENT,
  RedisStreamsAdapterModule,
  RedisStreamsMonitor,
  type RedisConnectionOptions,
} from 'nestjs-redis-streams-adapter';
import { closeClient, openClient } from '../../lib/nest/redis-connection.js';
import { withCredentials } from '../../lib/nest/credentials.js';
import { resolveConnection } from '../../lib/nest/connection-options.js';
import { closeAfterwards, RedisCluster, RedisSentinel, RedisServer, until } from '../kit/index.js';
import { selfSigned } from '../kit/self-signed.js';
import { FAST, init } from './nest-app.js';

const start = (connection: string | RedisConnectionOptions) =>
  init({ imports: [RedisStreamsAdapterModule.forRoot({ connection, ...FAST, startTimeout: 3_000 })] });

async function open<T extends Redis | Cluster = Redis>(connection: string | RedisConnectionOptions): Promise<T> {
  const client = await openClient(connection);
  closeAfterwards({ close: () => closeClient(client) });
  return client as T;
}

/** A port that speaks TLS and passes everything on to a Redis that does not. */
async function tlsInFrontOf(redis: RedisServer, identity: { key: string; cert: string }) {
  const server = createServer(identity, (secure) => {
    const plain = connectTcp(redis.port, '127.0.0.1');
    for (const [from, to] of [
      [secure, plain],
      [plain, secure],
    ] as const) {
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
      from.pipe(to);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closeAfterwards({ close: () => server.close() });
  return (server.address() as { port: number }).port;
}

test('a connection may be given as a URL', async () => {
  const redis = await RedisServer.start({ password: 'secret' });
  const app = await start(`${redis.url}/2`);
  expect(app.get(RedisStreamsMonitor).status.state).toBe('running');
  expect((await redis.clients()).map(({ fields }) => fields['db'])).toEqual(['2', '2', '2']);
});

describe('TLS', () => {
  const [tls, ca] = [expect.anything(), 'a certificate'];

  test.each<[string | RedisConnectionOptions, unknown]>([
    ['rediss://h', tls],
    ['REDISS://h', tls],
    ['Rediss://user:pass@h:1/2', tls],
    [' rediss://h\n', tls],
    ['redis://h', undefined],
    ['REDIS://h', undefined],
    [{ url: 'REDISS://h' }, tls],
    [{ url: 'rediss://h', tls: true }, tls],
    [{ url: 'rediss://h', tls: { ca } }, { ca }],
    [{ url: 'REDISS://h', tls: { ca } }, { ca }],
    [{ url: 'redis://h', tls: true }, tls],
    [{ host: 'h', tls: true }, tls],
    [{ host: 'h', tls: false }, undefined],
  ])('of %j is as it says', async (connection, expected) => {
    const { options } = await open(connection);
    expect(options.tls).toEqual(expected);
    expect(options.host).toBe('h');
  });

  test.each<[any, string]>([
    ['redis+tls://u:secret@h', 'connection: "redis+tls://…" is not allowed. Give a URL such as'],
    ['rediss:secret', 'connection: "…" is not allowed'],
    ['rediss:/secret', 'connection: "…" is not allowed'],
    ['//u:secret@h', 'connection: "…" is not allowed'],
    ['h:6379', 'connection: "…" is not allowed'],
    ['', 'connection: "…" is not allowed'],
    [{ url: 'rediss:///h' }, 'connection.url: "rediss://…" is not allowed'],
    [{ url: 'redis://h?tls=true' }, 'connection.url: "redis://…?tls=…" is not allowed'],
    [{ url: 'rediss://h?tls=' }, 'Give a URL that begins with "rediss://" instead of its parameter "tls"'],
    [{ url: 'redis://h?sslmode=require' }, 'instead of its parameter "sslmode"'],
    [{ url: 'rediss://h', tls: false }, 'connection.tls: false is not allowed. Give true with a "rediss://" URL'],
    [{ url: 'redis://h/0', db: 2 }, 'connection.db: 2 is not allowed. Give 0, as the URL says, or leave it out'],
    [
      { url: 'redis://u:secret@h', username: 'v' },
      'connection.username: an object is not allowed. Give what the URL says',
    ],
    [{ url: 'redis://u:secret@h', password: 'other' }, 'connection.password: an object is not allowed. Give what'],
    ['redis://u:p%ss@h', 'connection: "redis://…" is not allowed. Give a URL such as'],
    [
      { cluster: { nodes: ['redis://u:p%ss@h'] } },
      'with user and password encoded ("%" as "%25", by encodeURIComponent)',
    ],
    [{ host: 'h', tls: 'true' }, 'connection.tls: "true" is not allowed. Give true, false, or an object'],
    [{ host: 'h', tls: 'false' }, 'connection.tls: "false" is not allowed'],
    [{ host: 'h', tls: 1 }, 'connection.tls: 1 is not allowed'],
    [{ host: 'rediss://secret' }, 'connection.host: an object is not allowed. Give the name or the address of a host'],
    [{ host: 'h', port: '63x' }, 'connection.port: "63x" is not allowed. Give a whole number from 0 to 65535'],
    [{ host: 'h', port: NaN }, 'connection.port: NaN is not allowed'],
    [{ host: 'h', db: 'chat' }, 'connection.db: "chat" is not allowed'],
    [{ host: 'h', keyPrefix: 5 }, 'connection.keyPrefix: 5 is not allowed. Give a string'],
    [{ cluster: { nodes: ['redis://a'] }, db: 3 }, 'connection.db: 3 is not allowed. Give 0, or leave it out'],
    ['redis://h/secret', 'the number of the database behind the host'],
    ['redis://h/-1', 'the number of the database behind the host'],
    ['redis://user:12#secret@h', '"#", "/", "?" and "@" of a password encoded'],
    ['redis://user:12/secret@h', '"#", "/", "?" and "@" of a password encoded'],
    [{ url: 'redis://user:12?secret@h' }, '"#", "/", "?" and "@" of a password encoded'],
    [{ cluster: { nodes: ['rediss://a', 'redis://b'] } }, 'all with "rediss://" or all with "redis://"'],
    [{ cluster: { nodes: ['rediss://a'] }, tls: false }, 'connection.tls: false is not allowed'],
    [{ cluster: { nodes: ['rediss://a'], redisOptions: { tls: false } } }, 'connection.tls: false is not allowed'],
    [{ cluster: { nodes: ['a:1'] } }, 'connection.cluster.nodes: "…" is not allowed'],
  ])('of %j cannot be told, and the error says what to do', (connection, message) => {
    const resolve = () => resolveConnection(connection);
    expect(resolve).toThrow(message);
    expect(resolve).not.toThrow('secret');
  });

  test('settings that come as strings are numbers', async () => {
    expect((await open({ host: 'h', port: '6380', db: '3' })).options).toMatchObject({ port: 6380, db: 3 });
  });

  test('is on for all nodes of a cluster whose URLs begin with "rediss://"', async () => {
    const client = await open<Cluster>({ cluster: { nodes: ['REDISS://a:1', 'rediss://b:2'] }, password: 'p' });
    expect(client.options.redisOptions).toMatchObject({ tls: {}, password: 'p' });
  });

  test('of a cluster may be given as ioredis has it', async () => {
    const client = await open<Cluster>({ cluster: { nodes: ['rediss://a:1'], redisOptions: { tls: { ca } } } });
    expect(client.options.redisOptions).toMatchObject({ tls: { ca } });
  });

  test('with Sentinel is for the servers and the sentinels, unless sentinelTLS says otherwise', async () => {
    const sentinel = { sentinels: [{ host: 'h', port: 1 }], name: 'm', tls: { ca } };
    expect((await open(sentinel)).options).toMatchObject({
      ...{ tls: { ca }, enableTLSForSentinelMode: true, sentinelTLS: { ca } },
    });
    expect((await open({ ...sentinel, sentinelTLS: undefined })).options.sentinelTLS).toBeUndefined();
    expect((await open({ sentinels: sentinel.sentinels, name: 'm' })).options.tls).toBeUndefined();
  });

  test.each(['rediss', 'REDISS'])('is spoken with a URL that begins with %s://', async (scheme) => {
    const redis = await RedisServer.start();
    const identity = selfSigned();
    const port = await tlsInFrontOf(redis, identity);
    const app = await start({ url: `${scheme}://127.0.0.1:${port}`, tls: { ca: identity.cert } });
    expect(app.get(RedisStreamsMonitor).status.state).toBe('running');
    await expect(app.get<Redis>(REDIS_STREAMS_CLIENT).ping()).resolves.toBe('PONG');
    const probe = connectTls({ port, host: '127.0.0.1', ca: identity.cert });
    closeAfterwards({ close: () => probe.destroy() });
    await new Promise((resolve) => probe.once('secureConnect', resolve));
  });
});

describe('credentials', () => {
  const user = (password: string) => `on >${password} ~* &* +@all`;
  const setPassword = (redis: RedisServer, password: string) =>
    redis.command('ACL', 'SETUSER', 'app', 'resetpass', `>${password}`);

  test('are asked for before each connection: a password that has changed is used after a cut', async () => {
    const redis = await RedisServer.start({ users: { app: user('first') } });
    let password = 'first';
    let asked = 0;
    const app = await start({
      port: redis.port,
      credentials: async () => {
        asked++;
        return { username: 'app', password };
      },
    });
    const monitor = app.get(RedisStreamsMonitor);
    const client = app.get<Redis>(REDIS_STREAMS_CLIENT);
    await client.set('a', 'b');
    expect(asked).toBe(4);
    expect((await redis.clients()).map((one) => one.user)).toEqual(['app', 'app', 'app', 'app']);

    password = 'second';
    await setPassword(redis, 'second');
    expect(await redis.killClients()).toBe(4);
    await until(async () => monitor.status.state === 'running' && (await redis.clients()).length === 4, {
      what: 'all connections to be back',
    });
    await expect(client.get('a')).resolves.toBe('b');
    expect(asked).toBe(8);

    const copy = client.duplicate({ lazyConnect: false });
    await expect(copy.ping()).resolves.toBe('PONG');
    copy.disconnect();
    expect(asked).toBe(9);
  });

  test('are asked for by ioredis 5, too', async () => {
    const redis = await RedisServer.start({ password: 'secret' });
    let asked = 0;
    const client = withCredentials(new Redis5({ port: redis.port, lazyConnect: true }), () => {
      asked++;
      return { password: 'secret' };
    });
    closeAfterwards({ close: () => client.disconnect() });
    const app = await init({ imports: [RedisStreamsAdapterModule.forRoot({ client, ...FAST })] });
    expect(app.get(RedisStreamsMonitor).status.state).toBe('running');
    await expect(client.ping()).resolves.toBe('PONG');
    expect(asked).toBe(4);
  });

  test('may be those of the default user', async () => {
    const redis = await RedisServer.start({ password: 'secret' });
    const app = await start({ port: redis.port, credentials: () => ({ password: 'secret' }) });
    expect(app.get(RedisStreamsMonitor).status.state).toBe('running');
  });

  test('of a function that fails are asked for again, and the reason is reported', async () => {
    const redis = await RedisServer.start({ password: 'secret' });
    let isAway = true;
    const credentials = () => {
      if (isAway) throw new Error('the token service is away');
      return { password: 'secret' };
    };
    const imports = [
      RedisStreamsAdapterModule.forRoot({
        connection: { port: redis.port, credentials },
        ...{ startTimeout: 100, onStartTimeout: 'degrade' },
      }),
    ];
    const app = await init({ imports });
    const { status } = app.get(RedisStreamsMonitor);
    expect(status.reasons.join()).toContain('the token service is away');
    const client = app.get<Redis>(REDIS_STREAMS_CLIENT);
    const pong = client.ping();
    isAway = false;
    await until(() => app.get(RedisStreamsMonitor).status.state === 'running', { what: 'the node to be running' });
    await expect(pong).resolves.toBe('PONG');
  });

  test('that are awaited when the application is closed open nothing later', async () => {
    const redis = await RedisServer.start();
    let give!: () => void;
    const token = new Promise<void>((resolve) => (give = resolve));
    const connection = { port: redis.port, credentials: () => token.then(() => ({ password: 'secret' })) };
    const options = { connection, startTimeout: 100, onStartTimeout: 'degrade' } as const;
    const app = await init({ imports: [RedisStreamsAdapterModule.forRoot(options)] });
    const { total_connections_received: before } = await redis.info('stats');
    const ping = app.get<Redis>(REDIS_STREAMS_CLIENT).ping();
    await Promise.all([app.close(), expect(ping).rejects.toThrow('Connection is closed.')]);
    give();
    await token;
    await redis.command('PING');
    const { total_connections_received: after } = await redis.info('stats');
    expect(Number(after) - Number(before)).toBeLessThanOrEqual(2); // those that ask here
    expect(await redis.clients()).toEqual([]);
  });

  test.each<[any, string]>([
    [
      { cluster: { nodes: ['redis://h'], redisOptions: { password: 'p' } }, credentials: () => ({ password: 'q' }) },
      'connection.credentials: an object is not allowed. Give either "credentials" or "username" and "password"',
    ],
    [{ host: 'h', credentials: 'secret' }, 'connection.credentials: an object is not allowed. Give a function'],
    [{ host: 'h', credentials: () => undefined, password: 'secret' }, 'Give either "credentials" or "username" and'],
  ])('%j: the error says what to do', (connection, message) => {
    expect(() => resolveConnection(connection)).toThrow(message);
    expect(() => resolveConnection(connection)).not.toThrow('secret');
  });

  test('that are none: the error says what to return', async () => {
    const client = await open({ port: 1, credentials: (() => ({ password: 1 })) as any, retryStrategy: null });
    await expect(client.connect()).rejects.toThrow('Give { username, password }, both strings');
  });

  test('with Sentinel are those of the servers, not of the sentinels', async () => {
    const sentinel = await RedisSentinel.start({ replicas: 0, password: 'secret' });
    let asked = 0;
    const app = await start({
      ...{ sentinels: sentinel.addresses, name: sentinel.name },
      credentials: () => {
        asked++;
        return { password: 'secret' };
      },
    });
    expect(app.get(RedisStreamsMonitor).status.state).toBe('running');
    expect(asked).toBe(3);
  });

  test('with a cluster are asked for by the connection to each node', async () => {
    const cluster = await RedisCluster.start({ replicas: 0 });
    const setAll = (...rules: string[]) =>
      Promise.all(cluster.nodes.map((node) => node.command('ACL', 'SETUSER', 'app', ...rules)));
    await setAll('on', '>first', '~*', '&*', '+@all');
    let password = 'first';
    const app = await start({
      cluster: { nodes: cluster.rootNodes },
      credentials: () => ({ username: 'app', password }),
    });
    const monitor = app.get(RedisStreamsMonitor);
    expect(monitor.status.state).toBe('running');
    await expect(app.get<Cluster>(REDIS_STREAMS_CLIENT).set('a', 'b')).resolves.toBe('OK');

    password = 'second';
    await setAll('resetpass', '>second');
    const isApp = ({ user: name }: { user: string }) => name === 'app';
    await Promise.all(cluster.nodes.map((node) => node.killClients(isApp)));
    await until(() => monitor.status.state === 'running', { what: 'the node to be running again' });
    await expect(app.get<Cluster>(REDIS_STREAMS_CLIENT).get('a')).resolves.toBe('b');
    const users = (await Promise.all(cluster.nodes.map((node) => node.clients()))).flat();
    expect(users.filter(({ name }) => name.startsWith('redis-streams')).every(isApp)).toBe(true);
  });
});
