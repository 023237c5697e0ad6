import { describe, expect, jest, test } from '@jest/globals';
import { Injectable, Logger } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { WebSocketGateway, WebSocketServer } from '@nestjs/websockets';
import { Redis } from 'ioredis';
import type { Server } from 'socket.io';
import {
  RedisStreamsAdapterModule,
  RedisStreamsEmitter,
  RedisStreamsEmitterHealthIndicator,
  RedisStreamsEmitterModule,
  type RedisStreamsEmitterModuleOptions,
  type RedisStreamsEmitterOptionsFactory,
} from 'nestjs-redis-streams-adapter';
import { closeAfterwards, freePort, RedisServer, until } from '../kit/index.js';
import { connect, FAST, init, next, portOf, startApp } from './nest-app.js';

interface Events {
  'order-shipped': (id: number, by: string) => void;
  asked: (question: string, answer: (text: string) => void) => void;
}

@Injectable()
class Worker {
  constructor(readonly emitter: RedisStreamsEmitter<Events>) {}
}

@WebSocketGateway()
class Gateway {
  @WebSocketServer() server!: Server;
}

const worker = (options: RedisStreamsEmitterModuleOptions) =>
  init({ imports: [RedisStreamsEmitterModule.forRoot(options)], providers: [Worker] });

const connections = async (redis: RedisServer) =>
  (await redis.clients()).filter(({ name }) => name.endsWith(':emitter'));

describe('RedisStreamsEmitterModule, RedisStreamsEmitterOwner', () => {
  test('broadcasts to the clients of a cluster, with typed events', async () => {
    const redis = await RedisServer.start();
    const app = await startApp({
      imports: [RedisStreamsAdapterModule.forRoot({ connection: redis.url, ...FAST })],
      providers: [Gateway],
    });
    const client = await connect(portOf(app));
    const { emitter } = (await worker({ connection: redis.url })).get(Worker);

    const shipped = next(client, 'order-shipped');
    expect(emitter.emit('order-shipped', 7, 'post')).toBe(true);
    await expect(shipped).resolves.toEqual([7, 'post']);
    const asked = next(client, 'asked');
    emitter.to(client.id!).compress(true).emit('asked', 'who is there?'); // an emitter gets no acknowledgement
    await expect(asked).resolves.toEqual(['who is there?']);
    // @ts-expect-error -- the type of an argument
    emitter.emit('order-shipped', 'seven', 'post');
    // @ts-expect-error -- the name of an event
    emitter.in('room').emit('order-lost', 7);
  });

  test.each<[string, (redis: RedisServer) => Parameters<typeof RedisStreamsEmitterModule.forRootAsync>[0]]>([
    ['a function', ({ url }) => ({ useFactory: () => ({ connection: { url }, streamName: 'chat' }) })],
    [
      'a class',
      ({ url }) => {
        class Options implements RedisStreamsEmitterOptionsFactory {
          createRedisStreamsEmitterOptions() {
            return { connection: url, streamName: 'chat' };
          }
        }
        return { useClass: Options };
      },
    ],
  ])('takes options that %s makes', async (_what, options) => {
    const redis = await RedisServer.start();
    const imports = [RedisStreamsEmitterModule.forRootAsync({ ...options(redis), isGlobal: true })];
    const app = await init({ imports });
    app.get(RedisStreamsEmitter).emit('hello');
    await until(async () => (await redis.command('XLEN', 'chat')) === 1, { what: 'the broadcast' });
  });

  test('sends what waits, and closes its connections, when the application is closed', async () => {
    const redis = await RedisServer.start();
    const app = await worker({ connection: redis.url });
    await until(async () => (await connections(redis)).length === 1, { what: 'the connection' });
    const { emitter } = app.get(Worker);
    for (let i = 0; i < 1_000; i++) emitter.emit('order-shipped', i, 'post');
    await app.close();
    expect(await redis.command('XLEN', 'socket.io')).toBe(1_000);
    await redis.hasNoClients();
    expect(emitter.status()).toMatchObject({ state: 'closed', streams: [{ counters: { appended: 1_000 } }] });
    emitter.emit('order-shipped', 1, 'after the end');
    expect(await redis.clients()).toEqual([]);
  });

  test('duplicates a client, which stays open', async () => {
    const redis = await RedisServer.start();
    const client = new Redis(redis.port);
    closeAfterwards({ close: () => client.disconnect() });
    const app = await worker({ client });
    await until(async () => (await connections(redis)).length === 1, { what: 'the connection' });
    await app.close();
    await expect(client.ping()).resolves.toBe('PONG');
  });

  test('starts without Redis: broadcasts wait, and health says so', async () => {
    const redis = await RedisServer.start();
    await redis.stop();
    const app = await worker({ connection: redis.url });
    const [emitter, health] = [app.get(Worker).emitter, app.get(RedisStreamsEmitterHealthIndicator)];
    emitter.emit('order-shipped', 1, 'post');
    await until(() => emitter.status().state === 'degraded', { what: 'the loss' });
    const { worker: result } = await health.isHealthy('worker');
    expect(result).toMatchObject({ status: 'down', streams: [{ name: 'socket.io', outbox: { entries: 1 } }] });
    expect(result.reasons.join()).toMatch(/the connection is lost: .*(ECONNREFUSED|opened)/);

    await redis.restart();
    await until(async () => (await health.isHealthy('worker')).worker.status === 'up', { what: 'health to be up' });
    await until(async () => (await redis.command('XLEN', 'socket.io')) === 1, { what: 'the broadcast' });
  });

  test('is down while more waits than a bound allows, and refuses bounds that it does not know', async () => {
    const app = await worker({ connection: { port: await freePort() }, closeTimeout: 0 });
    const [emitter, health] = [app.get(Worker).emitter, app.get(RedisStreamsEmitterHealthIndicator)];
    emitter.emit('order-shipped', 1, 'post');
    emitter.emit('order-shipped', 2, 'post');
    const { worker: result } = await health.isHealthy('worker', { maxOutboxEntries: 1, maxOutboxBytes: 10 });
    expect(result.reasons).toContain('2 broadcasts for the stream "socket.io" wait for Redis (maxOutboxEntries: 1)');
    expect(result.reasons.join()).toContain('(maxOutboxBytes: 10)');
    await expect(health.isHealthy('worker', { minNodes: 1 } as object)).rejects.toThrow('checks.minNodes');
  });

  test('with enabled: false sends nothing, needs no Redis, and is healthy', async () => {
    const app = await worker({ enabled: false });
    const { emitter } = app.get(Worker);
    emitter.to('room').emit('order-shipped', 1, 'post');
    emitter.serverSideEmit('hello');
    expect(await app.get(RedisStreamsEmitterHealthIndicator).isHealthy('worker')).toMatchObject({
      worker: { status: 'up', streams: [{ outbox: { entries: 0 } }] },
    });
  });

  test('opens nothing before the application is initialized', async () => {
    const redis = await RedisServer.start();
    const imports = [RedisStreamsEmitterModule.forRoot({ connection: redis.url })];
    await expect(
      Test.createTestingModule({
        imports,
        providers: [{ provide: 'database', useFactory: () => Promise.reject(new Error('down')) }],
      }).compile(),
    ).rejects.toThrow('down');
    expect(await redis.clients()).toEqual([]);
  });

  test('closes when another provider fails at the start', async () => {
    const redis = await RedisServer.start();
    class Failing {
      async onApplicationBootstrap() {
        await until(async () => (await connections(redis)).length === 1, { what: 'the connection' });
        throw new Error('down');
      }
    }
    const imports = [RedisStreamsEmitterModule.forRoot({ connection: redis.url })];
    const compiled = await Test.createTestingModule({ imports, providers: [Failing] }).compile();
    await expect(compiled.init()).rejects.toThrow('down');
    await redis.hasNoClients();
  });

  test('with referenceNames reaches nodes that have them, by the stream and by channels', async () => {
    const redis = await RedisServer.start();
    const names = { streamName: 'chat', referenceNames: true };
    const app = await startApp({
      imports: [RedisStreamsAdapterModule.forRoot({ connection: redis.url, ...FAST, ...names })],
      providers: [Gateway],
    });
    const client = await connect(portOf(app));
    const received: string[] = [];
    client.onAny((event: string) => received.push(event));
    app.get(Gateway).server.on('asked', (question: string) => received.push(question));
    const { emitter } = (await worker({ connection: redis.url, ...names })).get(Worker);
    await until(async () => (await connections(redis)).length === 1, { what: 'the connection' });

    emitter.emit('order-shipped', 7, 'post');
    emitter.serverSideEmit('asked', 'who is there?');
    await until(() => received.length === 2, { what: 'both' });
    await until(() => emitter.volatile.emit('asked', 'volatile?') && received.includes('asked'), {
      what: 'a volatile one',
    });
    expect(received.slice(0, 2).sort()).toEqual(['order-shipped', 'who is there?']);
  });

  test('says once when Redis is away at the start, and when it is back', async () => {
    const port = await freePort();
    const lines: string[] = [];
    const spies = (['warn', 'log'] as const).map((level) =>
      jest.spyOn(Logger.prototype, level).mockImplementation((text) => void lines.push(`${level} ${text}`)),
    );
    await worker({ connection: { host: '127.0.0.1', port } });
    await until(() => lines.some((line) => line.startsWith('warn Redis is lost: ')), { what: 'the line' });
    const redis = await RedisServer.start({ port });
    await until(() => lines.some((line) => line.startsWith('log Redis is back after ')), { what: 'the other line' });
    expect(lines.filter((line) => line.includes('Redis is'))).toHaveLength(2);
    await redis.stop();
    await until(() => lines.filter((line) => line.startsWith('warn Redis is lost: ')).length === 2, {
      what: 'a third',
    });
    spies.forEach((spy) => spy.mockRestore());
  });

  test('may be replaced by a fake in a test', async () => {
    const redis = await RedisServer.start();
    const fake = { emit: jest.fn() };
    const compiled = await Test.createTestingModule({
      imports: [RedisStreamsEmitterModule.forRoot({ connection: redis.url })],
      providers: [Worker],
    })
      .overrideProvider(RedisStreamsEmitter)
      .useValue(fake)
      .compile();
    await compiled.init();
    compiled.get(Worker).emitter.emit('order-shipped', 7, 'post');
    await compiled.close();
    expect(fake.emit).toHaveBeenCalledWith('order-shipped', 7, 'post');
    expect(await redis.clients()).toEqual([]);
  });

  test.each<[any, string]>([
    [{}, 'client: undefined is not allowed. Give RedisStreamsEmitterModule a client of ioredis'],
    [undefined, 'client: undefined is not allowed'],
    [{ connection: 'redis://h', heartbeatIntervall: 1 }, 'heartbeatIntervall: 1 is not allowed'],
    [{ connection: 'redis://h', enabled: 'no' }, 'enabled: "no" is not allowed. Give true or false'],
    [{ connection: 'redis://h', client: {} }, 'Give either "client" or "connection", not both'],
  ])('refuses %j and says what to do', async (options, message) => {
    await expect(worker(options)).rejects.toThrow(message);
  });
});
