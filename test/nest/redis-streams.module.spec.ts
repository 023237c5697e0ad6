import { describe, expect, test } from '@jest/globals';
import { Injectable, Module, type Provider } from '@nestjs/common';
import { ConfigModule, ConfigService } from '@nestjs/config';
import { Test } from '@nestjs/testing';
import { WebSocketGateway, WebSocketServer } from '@nestjs/websockets';
import { Redis } from 'ioredis';
import type { Server } from 'socket.io';
import {
  InjectRedisStreamsClient,
  InvalidOptionError,
  REDIS_STREAMS_CLIENT,
  RedisClientError,
  RedisStreamsAdapterModule,
  RedisStreamsIoAdapter,
  RedisStreamsNode,
  RedisStreamsMonitor,
  type RedisStreamsModuleOptions,
  type RedisStreamsOptionsFactory,
} from 'nestjs-redis-streams-adapter';
import { closeAfterwards, freePort, RedisServer, TcpProxy, until } from '../kit/index.js';
import { connect, FAST, init, portOf, startApp } from './nest-app.js';

const { forRoot, forRootAsync } = {
  forRoot: RedisStreamsAdapterModule.forRoot.bind(RedisStreamsAdapterModule),
  forRootAsync: RedisStreamsAdapterModule.forRootAsync.bind(RedisStreamsAdapterModule),
};

/** A started module, with nothing that listens. */
async function compile(...imports: any[]) {
  return init({ imports });
}

const failureOf = (starting: Promise<unknown>): Promise<Error> =>
  starting.then(
    () => Promise.reject(new Error('it started')),
    (error: Error) => error,
  );

const oursAt = async (redis: RedisServer) =>
  (await redis.clients()).filter(({ name }) => name.startsWith('redis-streams:')).length;

describe('options', () => {
  const URL = Symbol('url');

  @Injectable()
  class Options implements RedisStreamsOptionsFactory {
    static url: string;

    createRedisStreamsOptions(): Promise<RedisStreamsModuleOptions> {
      return Promise.resolve({ connection: { url: Options.url }, streamName: 'made by a class' });
    }
  }

  const streamOf = (app: { get(type: typeof RedisStreamsMonitor): RedisStreamsMonitor }) =>
    app.get(RedisStreamsMonitor).status.streams[0]!.name;

  test('given to forRoot', async () => {
    const redis = await RedisServer.start();
    const app = await compile(forRoot({ connection: { host: '127.0.0.1', port: redis.port }, streamName: 'given' }));
    expect(streamOf(app)).toBe('given');
    expect(app.get(RedisStreamsMonitor).status.state).toBe('running');
  });

  test('made by a function that injects ConfigService', async () => {
    const redis = await RedisServer.start();
    const app = await compile(
      forRootAsync({
        imports: [ConfigModule.forRoot({ ignoreEnvFile: true, load: [() => ({ REDIS_URL: redis.url })] })],
        inject: [ConfigService],
        useFactory: (config: ConfigService) => ({
          connection: { url: config.getOrThrow<string>('REDIS_URL') },
          streamName: 'configured',
        }),
      }),
    );
    expect(streamOf(app)).toBe('configured');
  });

  test('made by a class', async () => {
    Options.url = (await RedisServer.start()).url;
    expect(streamOf(await compile(forRootAsync({ useClass: Options })))).toBe('made by a class');
  });

  test('made by a provider of another module', async () => {
    Options.url = (await RedisServer.start()).url;
    @Module({ providers: [Options], exports: [Options] })
    class OptionsModule {}
    const app = await compile(forRootAsync({ imports: [OptionsModule], useExisting: Options }));
    expect(streamOf(app)).toBe('made by a class');
  });

  test('made by a function that injects an extra provider', async () => {
    const redis = await RedisServer.start();
    const extraProviders: Provider[] = [{ provide: URL, useValue: redis.url }];
    const useFactory = (url: string) => ({ connection: { url }, streamName: 'extra' });
    expect(streamOf(await compile(forRootAsync({ inject: [URL], useFactory, extraProviders })))).toBe('extra');
  });

  test.each(['forRoot', 'forRootAsync'] as const)('%s makes a global module with isGlobal', async (method) => {
    const redis = await RedisServer.start();
    @Injectable()
    class Dashboard {
      constructor(
        readonly monitor: RedisStreamsMonitor,
        @InjectRedisStreamsClient() readonly client: Redis,
      ) {}
    }
    @Module({ providers: [Dashboard], exports: [Dashboard] })
    class DashboardModule {}
    const options = { connection: { url: redis.url } };
    const imported =
      method === 'forRoot'
        ? forRoot({ ...options, isGlobal: true })
        : forRootAsync({ useFactory: () => options, isGlobal: true });
    const { client, monitor } = (await compile(imported, DashboardModule)).get(Dashboard);
    expect(monitor.nodes).toHaveLength(1);
    await expect(client.ping()).resolves.toBe('PONG');
  });

  test('what is given beside the options is checked too', () => {
    const connection = { url: 'redis://127.0.0.1' };
    const wrong: any[] = [{ isGlobal: 'yes' }, { isGlobal: 1 }, { extraProviders: 'none' }, { extraProviders: {} }];
    for (const extras of wrong) {
      const [name] = Object.keys(extras);
      const error = new RegExp(`^${name}: .* is not allowed. Give (true or false|an array of providers)`);
      expect(() => forRoot({ connection, ...extras })).toThrow(error);
      expect(() => forRootAsync({ useFactory: () => ({ connection }), ...extras })).toThrow(error);
    }
    expect(() => forRoot({ connection, isGlobal: undefined, extraProviders: undefined } as any)).not.toThrow();
  });

  test('without isGlobal, the module serves those who import it', async () => {
    const redis = await RedisServer.start();
    const onlyNode = forRoot({ connection: { url: redis.url } });
    @Injectable()
    class Dashboard {
      constructor(readonly monitor: RedisStreamsMonitor) {}
    }
    @Module({ imports: [onlyNode], providers: [Dashboard] })
    class DashboardModule {}
    const app = await compile(onlyNode, DashboardModule);
    expect(app.get(Dashboard).monitor).toBe(app.get(RedisStreamsMonitor));
  });

  test.each<[string, any, string]>([
    [
      'neither client nor connection',
      {},
      'client: undefined is not allowed. Give RedisStreamsAdapterModule a client of',
    ],
    [
      'a missing client',
      { client: undefined },
      'or, instead, a "connection" such as { url: "redis://localhost:6379" }',
    ],
    ['both', { client: {}, connection: {} }, 'Give either "client" or "connection", not both'],
    ['no options', undefined, 'client: undefined is not allowed'],
    ['something else as the client', { client: { url: 'x' } }, 'client: an object of Object is not a Redis client'],
    [
      'a connection without an address',
      { connection: { db: 1 } },
      'Give one of url, host, port, path, sentinels, cluster',
    ],
    ['a number as the connection', { connection: 6379 }, 'Give a URL such as "redis://localhost:6379", or an object'],
    ['a url whose setting is missing', { connection: { url: undefined } }, 'connection.url: undefined is not allowed'],
    ['a host whose setting is empty', { connection: { host: '' } }, 'is the setting that it comes from missing?'],
    [
      'a url of another scheme',
      { connection: { url: 'http://u:secret@h' } },
      'connection.url: "http://…" is not allowed',
    ],
    ['two addresses', { connection: { url: 'redis://h', host: 'h' } }, 'Give either url or host, not both'],
    ['sentinels without a name', { connection: { sentinels: [{ host: 'h', port: 1 }] } }, 'connection.name: undefined'],
    [
      'a sentinel without a host',
      { connection: { sentinels: [{ hots: 'h', port: 1 }], name: 'm' } },
      'connection.sentinels: an object is not allowed. Give each sentinel as { host, port }.',
    ],
    [
      'a port of a sentinel that is none',
      { connection: { sentinels: [{ host: 'h', port: 'x' }], name: 'm' } },
      'connection.sentinels.port: "x" is not allowed. Give a whole number from 0 to 65535.',
    ],
    [
      'a password that is no string',
      { connection: { host: 'h', password: { secret: 'secret' } } },
      'connection.password: an object is not allowed. Give a string.',
    ],
    [
      'serverOptions that are none',
      { connection: { url: 'redis://h' }, serverOptions: 'cors' },
      'serverOptions: "cors" is not allowed. Give an object with options of Socket.IO servers',
    ],
    [
      'an adapter of the servers',
      { connection: { url: 'redis://h' }, serverOptions: { adapter: class {} } },
      'Give no adapter: RedisStreamsAdapterModule has its own, whose options are beside "serverOptions".',
    ],
    ['a cluster without nodes', { connection: { cluster: { nodes: [] } } }, 'connection.cluster.nodes'],
    ['an unknown option', { connection: { url: 'redis://h' }, streamNane: 'x' }, 'streamNane: "x" is not allowed'],
    [
      'a wrong option',
      { connection: { url: 'redis://h' }, maxLen: -1 },
      'maxLen: -1 is not allowed. Give a whole number',
    ],
  ])('%s: the error says what to do', async (_what, options, message) => {
    const failure = await failureOf(compile(forRootAsync({ useFactory: () => options })));
    expect(failure.message).toContain(message);
    expect(failure.message).not.toContain('secret');
    await expect(Promise.resolve().then(() => compile(forRoot(options)))).rejects.toThrow(message);
  });

  test('forRootAsync with nothing that makes options says so', () => {
    expect(() => forRootAsync({})).toThrow(
      'useFactory: undefined is not allowed. Give RedisStreamsAdapterModule.forRootAsync a function that returns the ' +
        'options, or "useClass" or "useExisting".',
    );
  });
});

describe('the client', () => {
  test('that is passed in is duplicated, and neither used, changed nor closed', async () => {
    const redis = await RedisServer.start();
    const client = new Redis(redis.port, { connectionName: 'theirs' });
    closeAfterwards({ close: () => client.disconnect() });
    await client.ping();
    const before = { ...client.options };
    const commands = async () => (await redis.clients()).find(({ name }) => name === 'theirs')!.fields['tot-cmds'];
    const asked = await commands();

    const app = await compile(forRoot({ client, ...FAST }));
    expect(app.get(REDIS_STREAMS_CLIENT)).toBe(client);
    await until(async () => (await oursAt(redis)) === 3, { what: 'three connections of ours' });
    await app.close();

    expect(await oursAt(redis)).toBe(0);
    expect(client.status).toBe('ready');
    expect(client.options).toEqual(before);
    expect(await commands()).toBe(asked);
    await expect(client.ping()).resolves.toBe('PONG');
  });

  test('that was made from a connection costs no connection, and is closed although it has been used', async () => {
    const redis = await RedisServer.start();
    const app = await compile(forRoot({ connection: { url: redis.url } }));
    const client = app.get<Redis>(REDIS_STREAMS_CLIENT);
    expect(client.status).toBe('wait');
    expect(await redis.clients()).toHaveLength(3);
    await client.set('a', 'b');
    expect(await redis.clients()).toHaveLength(4);

    await app.close();
    await redis.hasNoClients();
    expect(client.status).toBe('end');
  });

  test('logs in as the connection says, and uses its database', async () => {
    const redis = await RedisServer.start({ password: 'no', users: { app: 'on >p@ss:word ~* &* +@all' } });
    const login = { port: redis.port, username: 'app', password: 'p@ss:word', db: 3 };
    const app = await compile(forRoot({ connection: login }));
    const clients = await redis.clients();
    expect(clients.map(({ user }) => user)).toEqual(['app', 'app', 'app']);
    expect(new Set(clients.map(({ fields }) => fields['db']))).toEqual(new Set(['3']));
    await app.close();

    const url = `redis://app:${encodeURIComponent('p@ss:word')}@127.0.0.1:${redis.port}/3`;
    expect((await compile(forRoot({ connection: { url } }))).get(RedisStreamsMonitor).status.state).toBe('running');
  });

  test('can be replaced in tests, and then is theirs', async () => {
    const redis = await RedisServer.start();
    const client = new Redis(redis.port);
    closeAfterwards({ close: () => client.disconnect() });
    await until(() => client.status === 'ready', { what: 'the client to connect' });
    const app = await Test.createTestingModule({
      imports: [forRoot({ connection: { url: 'redis://the-one-of-production' } })],
    })
      .overrideProvider(REDIS_STREAMS_CLIENT)
      .useValue(client)
      .compile();
    closeAfterwards(app);
    await app.init();
    expect(app.get(RedisStreamsMonitor).status.state).toBe('running');
    await app.close();
    expect(client.status).toBe('ready');
  });
});

describe('two modules in one application', () => {
  test('with the same stream: the second says what to do, and what was opened is closed', async () => {
    const redis = await RedisServer.start();
    const connection = { url: redis.url };
    await expect(compile(forRoot({ connection }), forRoot({ connection }))).rejects.toThrow(
      'streamName: "socket.io" is not allowed. Give each RedisStreamsAdapterModule of an application a stream of its ' +
        'own; or call forRoot once, with "isGlobal: true"',
    );
    await until(async () => (await redis.clients()).length === 0, { what: 'all connections to be closed' });
  });

  test('with the same stream, while Redis is away: nothing is left open either', async () => {
    const connection = { port: await freePort() };
    const startedAt = performance.now();
    await expect(compile(forRoot({ connection }), forRoot({ connection }))).rejects.toThrow(InvalidOptionError);
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });

  test('with a stream each are two nodes', async () => {
    const redis = await RedisServer.start();
    const connection = { url: redis.url };
    await compile(forRoot({ connection }), forRoot({ connection, streamName: 'other' }));
    expect(await oursAt(redis)).toBe(6);
  });

  test('applications of one process may have the same stream', async () => {
    const redis = await RedisServer.start();
    const imported = forRoot({ connection: { url: redis.url }, ...FAST });
    const [one] = await Promise.all([compile(imported), compile(imported), compile(imported)]);
    await until(() => one.get(RedisStreamsMonitor).nodes.length === 3, { what: 'three nodes' });
  });
});

describe('starting while Redis is away', () => {
  test('fails with the reason after startTimeout', async () => {
    const port = await freePort();
    const failure = await failureOf(compile(forRoot({ connection: { port }, startTimeout: 200 })));
    expect(failure).toBeInstanceOf(RedisClientError);
    expect(failure.message).toMatch(
      /Redis cannot be used after 200 ms \(startTimeout\): .*ECONNREFUSED.*onStartTimeout/s,
    );
  });

  test('starts without it with onStartTimeout "degrade", and is ready when it comes', async () => {
    const redis = await RedisServer.start();
    await redis.stop();
    const connection = { url: redis.url };
    const app = await compile(forRoot({ connection, startTimeout: 200, onStartTimeout: 'degrade' }));
    const monitor = app.get(RedisStreamsMonitor);
    expect(monitor.status.state).toBe('starting');
    await redis.restart();
    await until(() => monitor.status.state === 'running', { what: 'the node to be running' });
  });

  test('the application does not listen before the stream can be read', async () => {
    const redis = await RedisServer.start();
    const proxy = await TcpProxy.start(redis.port);
    proxy.blackhole('toClient');
    let listening = false;
    const starting = startApp({ imports: [forRoot({ connection: { port: proxy.port } })] }).then((app) => {
      listening = true;
      return app;
    });
    await until(async () => (await redis.clients()).length === 3, { what: 'all connections to be open' });
    expect(listening).toBe(false);
    proxy.heal();
    const { streams } = (await starting).get(RedisStreamsMonitor).status;
    expect(streams[0]!.position).toBeDefined();
  });
});

describe('closing', () => {
  @WebSocketGateway()
  class Gateway {
    @WebSocketServer() server!: Server;
  }

  test('says goodbye, closes sockets, appends what waits, and may be asked for twice', async () => {
    const redis = await RedisServer.start();
    const imported = forRoot({ connection: { url: redis.url }, ...FAST });
    const [app, other] = [await startApp({ imports: [imported], providers: [Gateway] }), await compile(imported)];
    const client = await connect(portOf(app));
    const monitor = other.get(RedisStreamsMonitor);
    await until(() => monitor.nodes.length === 2, { what: 'two nodes' });
    for (let i = 0; i < 1_000; i++) {
      app.get(Gateway).server.emit('last words', i);
    }
    await Promise.all([app.close(), app.close()]);
    await app.close();

    await until(() => client.disconnected, { what: 'the client to be cut off' });
    expect(await redis.command('XLEN', 'socket.io')).toBe(1_000);
    await until(() => monitor.nodes[1]?.state === 'left', { what: 'the goodbye' });
    expect(await oursAt(redis)).toBe(3);
  });

  test('ends within closeTimeout while Redis is away', async () => {
    const redis = await RedisServer.start();
    const connection = { url: redis.url };
    const imports = [forRoot({ connection, closeTimeout: 300 })];
    const app = await startApp({ imports, providers: [Gateway] });
    await redis.stop();
    await until(() => app.get(RedisStreamsMonitor).status.state === 'degraded', { what: 'the loss to be noticed' });
    app.get(Gateway).server.emit('into the void');
    const startedAt = performance.now();
    await app.close();
    expect(performance.now() - startedAt).toBeLessThan(1_500);
  });

  test('ends in bounded time while Redis hangs', async () => {
    const redis = await RedisServer.start();
    const connection = { url: redis.url };
    const imports = [forRoot({ connection, closeTimeout: 300, commandTimeout: 300 })];
    const app = await startApp({ imports, providers: [Gateway] });
    redis.pause();
    app.get(Gateway).server.emit('into the void');
    const startedAt = performance.now();
    await app.close();
    expect(performance.now() - startedAt).toBeLessThan(3_000);
    redis.resume();
  });

  test('ends while the network swallows everything', async () => {
    const redis = await RedisServer.start();
    const proxy = await TcpProxy.start(redis.port);
    const imports = [forRoot({ connection: { port: proxy.port }, closeTimeout: 300, commandTimeout: 300 })];
    const app = await startApp({ imports });
    const startedAt = performance.now();
    proxy.blackhole();
    await app.close();
    expect(performance.now() - startedAt).toBeLessThan(3_000);
  });

  test('of a module that was never initialized has nothing to close: nothing was opened', async () => {
    const redis = await RedisServer.start();
    const compiled = await Test.createTestingModule({
      imports: [forRoot({ connection: { url: redis.url } })],
    }).compile();
    expect(await redis.clients()).toHaveLength(0);
    const node = compiled.get(RedisStreamsNode);
    await compiled.close();
    expect(await redis.clients()).toHaveLength(0);
    await node.start(); // somebody comes too late
    expect(node.status().state).toBe('closed');
    expect(await redis.clients()).toHaveLength(0);
  });
});

test('RedisStreamsIoAdapter is a provider that can be had before the application listens', async () => {
  const redis = await RedisServer.start();
  const app = await compile(forRoot({ connection: { url: redis.url } }));
  expect(app.get(RedisStreamsIoAdapter)).toBeInstanceOf(RedisStreamsIoAdapter);
});
