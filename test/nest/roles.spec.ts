import { describe, expect, test } from '@jest/globals';
import { Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { SubscribeMessage, WebSocketGateway, WebSocketServer } from '@nestjs/websockets';
import { firstValueFrom, filter } from 'rxjs';
import type { Server } from 'socket.io';
import {
  REDIS_STREAMS_CLIENT,
  RedisStreamsAdapterModule,
  RedisStreamsHealthIndicator,
  RedisStreamsIoAdapter,
  RedisStreamsMonitor,
  type RedisStreamsModuleOptions,
} from 'nestjs-redis-streams-adapter';
import { closeAfterwards, freePort, RedisServer, until } from '../kit/index.js';
import { connect, FAST, init, next, portOf, startApp } from './nest-app.js';

const unusedPort = await freePort();

@WebSocketGateway()
class Gateway {
  @WebSocketServer() server!: Server;

  @SubscribeMessage('say')
  say(_socket: unknown, text: string): void {
    this.server.emit('said', text);
  }
}

const moduleFor = (options: RedisStreamsModuleOptions) => RedisStreamsAdapterModule.forRoot(options);

describe('an observer', () => {
  const observer = (redis: RedisServer, options = {}) =>
    init({ imports: [moduleFor({ connection: redis.url, role: 'observer', ...FAST, ...options })] });
  const node = (redis: RedisServer) =>
    startApp({ imports: [moduleFor({ connection: redis.url, ...FAST })], providers: [Gateway] });

  test('sees the nodes and what happens to them, and is none', async () => {
    const redis = await RedisServer.start();
    const [one, other] = await Promise.all([node(redis), node(redis)]);
    const app = await observer(redis);
    const monitor = app.get(RedisStreamsMonitor);
    await until(() => monitor.nodes.length === 2, { what: 'two nodes' });
    expect(monitor.nodes.map(({ self, state }) => [self, state])).toEqual([
      [false, 'up'],
      [false, 'up'],
    ]);
    await connect(portOf(one));
    await until(() => monitor.nodes.some(({ sockets }) => sockets === 1), { what: 'the socket' });

    const left = firstValueFrom(monitor.events$.pipe(filter(({ type }) => type === 'node-left')));
    await other.close();
    await expect(left).resolves.toMatchObject({ type: 'node-left' });
    expect(one.get(RedisStreamsMonitor).nodes.map(({ id }) => id)).not.toContain(monitor.status.id);
    await app.close();
    expect(one.get(RedisStreamsMonitor).nodes).toHaveLength(2); // itself, and the one that left
  });

  test('learns of the nodes at once, not with their next heartbeats', async () => {
    const redis = await RedisServer.start();
    const slow = { heartbeatInterval: 60_000, heartbeatTimeout: 120_000 };
    await init({ imports: [moduleFor({ connection: redis.url, ...slow })] });
    const app = await observer(redis, slow);
    await until(() => app.get(RedisStreamsMonitor).nodes.length === 1, { what: 'the node', timeout: 3_000 });
  });

  test('reads no log, has two connections, and does not hold up the nodes', async () => {
    const redis = await RedisServer.start();
    const app = await node(redis);
    const watching = await observer(redis);
    expect(watching.get(RedisStreamsMonitor).status).toMatchObject({ state: 'running', streams: [] });
    const { id } = watching.get(RedisStreamsMonitor).status;
    const roles = (await redis.clients()).map(({ name }) => name).filter((name) => name.includes(id));
    expect(roles.map((name) => name.split(':').at(-1)).sort()).toEqual(['commands', 'subscriber']);
    const client = await connect(portOf(app));
    const said = next(client, 'said');
    client.emit('say', 'hello');
    await expect(said).resolves.toEqual(['hello']);
    expect(await app.get(Gateway).server.fetchSockets()).toHaveLength(1);
  });

  test('answers health: up, down while Redis is away, and for the cluster', async () => {
    const redis = await RedisServer.start();
    const app = await observer(redis);
    const health = app.get(RedisStreamsHealthIndicator);
    expect(await health.isHealthy('r')).toMatchObject({ r: { status: 'up', nodes: [] } });
    expect(await health.isClusterHealthy('r')).toMatchObject({ r: { status: 'down' } });
    await redis.stop();
    await until(async () => (await health.isHealthy('r')).r.status === 'down', { what: 'health to be down' });
  });

  test('refuses gateways, and a role that is none', async () => {
    const redis = await RedisServer.start();
    const imports = [moduleFor({ connection: redis.url, role: 'observer' })];
    await expect(startApp({ imports, providers: [Gateway] })).rejects.toThrow(
      'role: "observer" is not allowed. Give "node" in an application with gateways: an observer serves no sockets.',
    );
    const wrong = { connection: redis.url, role: 'watcher' } as any;
    await expect(init({ imports: [moduleFor(wrong)] })).rejects.toThrow('Give "node" or "observer"');
  });
});

describe('a module that is not enabled', () => {
  test.each<[string, RedisStreamsModuleOptions]>([
    ['without a connection', { enabled: false }],
    ['with that of production', { enabled: false, connection: 'redis://127.0.0.1:1', streamName: 'chat' }],
  ])('%s serves sockets in memory, is healthy, and shows this node', async (_what, options) => {
    const app = await startApp({ imports: [moduleFor(options)], providers: [Gateway] });
    const monitor = app.get(RedisStreamsMonitor);
    const [a, b] = await Promise.all([connect(portOf(app)), connect(portOf(app))]);
    const said = next(b, 'said');
    a.emit('say', 'hello');
    await expect(said).resolves.toEqual(['hello']);

    const sockets: number[] = [];
    const subscription = monitor.nodes$.subscribe(([self]) => sockets.push(self!.sockets));
    closeAfterwards({ close: () => subscription.unsubscribe() });
    expect(monitor.nodes).toMatchObject([{ id: monitor.status.id, state: 'up', self: true, sockets: 2 }]);
    b.disconnect();
    await until(() => sockets.at(-1) === 1, { what: 'the socket to be gone' });

    const health = app.get(RedisStreamsHealthIndicator);
    expect(await health.isHealthy('r')).toMatchObject({ r: { status: 'up', state: 'running', reasons: [] } });
    expect(await health.isClusterHealthy('r')).toMatchObject({ r: { status: 'up' } });
    await app.close();
    expect(monitor.status.state).toBe('closed');
  });

  test('recovers connections in memory', async () => {
    const serverOptions = { connectionStateRecovery: {} };
    const app = await startApp({ imports: [moduleFor({ enabled: false, serverOptions })], providers: [Gateway] });
    const client = await connect(portOf(app), '/', { reconnectionDelay: 10 });
    const first = next(client, 'said');
    app.get(Gateway).server.emit('said', 1);
    await first;
    client.io.engine.close();
    await new Promise((resolve) => client.once('connect', () => resolve(undefined)));
    expect(client.recovered).toBe(true);
  });

  test('still refuses options that are wrong', async () => {
    await expect(init({ imports: [moduleFor({ enabled: false, maxLen: -1 })] })).rejects.toThrow('maxLen: -1');
    const wrong = { enabled: 'false', connection: 'redis://h' } as any;
    await expect(init({ imports: [moduleFor(wrong)] })).rejects.toThrow('enabled: "false" is not allowed');
  });
});

describe('in tests, an application whose module is for production', () => {
  const connection = { url: `redis://127.0.0.1:${unusedPort}` };
  @Module({ imports: [moduleFor({ connection, startTimeout: 300 })], providers: [Gateway] })
  class AppModule {}

  test('cannot start without Redis', async () => {
    await expect(init({ imports: [AppModule] })).rejects.toThrow('Redis cannot be used');
  });

  test('says what a start waits for, before Jest gives up', async () => {
    const lines: string[] = [];
    const logger = { log: () => {}, error: () => {}, warn: (line: string) => lines.push(line) };
    const options = { connection, startTimeout: 2_300 };
    const compiled = await Test.createTestingModule({ imports: [moduleFor(options)] })
      .setLogger(logger)
      .compile();
    closeAfterwards(compiled);
    await expect(compiled.init()).rejects.toThrow('Redis cannot be used after 2300 ms (startTimeout)');
    expect(lines).toContainEqual(expect.stringMatching(/^Waiting for Redis to start: .*ECONNREFUSED/));
  });

  test('starts in memory with overrideModule', async () => {
    @Module({ imports: [moduleFor({ enabled: false })], exports: [RedisStreamsAdapterModule] })
    class InMemoryModule {}
    @Module({ imports: [moduleFor({ connection, startTimeout: 300 })], exports: [RedisStreamsAdapterModule] })
    class RealtimeModule {}
    const app = await startApp({
      imports: [RealtimeModule],
      providers: [Gateway],
      override: (builder) => builder.overrideModule(RealtimeModule).useModule(InMemoryModule),
    });
    expect(app.get(RedisStreamsMonitor).status.state).toBe('running');
    expect(app.get(RedisStreamsIoAdapter)).toBeInstanceOf(RedisStreamsIoAdapter);
  });

  test('uses the Redis of the test with overrideProvider', async () => {
    const redis = await RedisServer.start();
    const { Redis } = await import('ioredis');
    const client = new Redis(redis.port, { lazyConnect: true });
    const compiled = await Test.createTestingModule({ imports: [AppModule] })
      .overrideProvider(REDIS_STREAMS_CLIENT)
      .useValue(client)
      .compile();
    closeAfterwards(compiled);
    await compiled.init();
    expect(compiled.get(RedisStreamsMonitor).status.state).toBe('running');
  });
});
