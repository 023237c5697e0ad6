import { describe, expect, test } from '@jest/globals';
import { Injectable, Module, type OnModuleInit } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { Redis } from 'ioredis';
import {
  REDIS_STREAMS_CLIENT,
  RedisStreamsAdapterModule,
  RedisStreamsNode,
  type RedisStreamsModuleOptions,
} from 'nestjs-redis-streams-adapter';
import { closeAfterwards, freePort, RedisServer, until } from '../kit/index.js';
import { FAST, init } from './nest-app.js';

const ours = async (redis: RedisServer): Promise<string[]> =>
  (await redis.clients()).map(({ name }) => name).filter((name) => name.startsWith('redis-streams:'));

const moduleOf = (options: RedisStreamsModuleOptions) => RedisStreamsAdapterModule.forRoot({ ...FAST, ...options });

describe('RedisStreamsNode', () => {
  test('opens nothing before the application is initialized, runs then, and leaves nothing when closed', async () => {
    const redis = await RedisServer.start();
    const compiled = closeAfterwards(
      await Test.createTestingModule({ imports: [moduleOf({ connection: redis.url })] }).compile(),
    );
    const node = compiled.get(RedisStreamsNode);
    expect([node.status().state, await ours(redis)]).toEqual(['starting', []]);
    await compiled.init();
    expect([node.status().state, (await ours(redis)).length]).toEqual(['running', 3]);
    expect(node.nodes().map(({ id, self }) => [id, self])).toEqual([[node.id, true]]);
    let closed = 0;
    node.closed$.subscribe({ next: () => closed++, complete: () => closed++ });
    await compiled.close();
    await until(async () => (await ours(redis)).length === 0, { what: 'the connections to be closed' });
    expect([node.status().state, closed]).toEqual(['closed', 2]);
    await node.close();
    expect(closed).toBe(2); // once
  });

  test('leaves a client that it was given open, and closes one that it has made', async () => {
    const redis = await RedisServer.start();
    const client = new Redis(redis.url);
    closeAfterwards({ close: () => client.disconnect() });
    const app = await init({ imports: [moduleOf({ client })] });
    await app.close();
    expect(await client.ping()).toBe('PONG');
    expect((await redis.clients()).length).toBe(1);

    const other = await init({ imports: [moduleOf({ connection: redis.url })] });
    const made = other.get<Redis>(REDIS_STREAMS_CLIENT);
    expect(await made.ping()).toBe('PONG');
    await other.close();
    await until(async () => (await redis.clients()).length === 1, { what: 'the client that was made to be closed' });
  });

  test('is closed when another provider fails at the start: nothing outlives the application', async () => {
    const redis = await RedisServer.start();
    @Injectable()
    class Failing implements OnModuleInit {
      async onModuleInit(): Promise<void> {
        await until(async () => (await ours(redis)).length > 0, { what: 'the connections' });
        throw new Error('the database is down');
      }
    }
    @Module({ imports: [moduleOf({ connection: redis.url })], providers: [Failing] })
    class AppModule {}
    const compiled = await Test.createTestingModule({ imports: [AppModule] }).compile();
    const node = compiled.get(RedisStreamsNode, { strict: false });
    await expect(compiled.init()).rejects.toThrow('the database is down');
    expect(node.status().state).toBe('closed');
    await until(async () => (await redis.clients()).length === 0, { what: 'the connections to be closed' });
  });

  test('rejects a start without Redis, and is closed then', async () => {
    const options = { connection: { port: await freePort() }, startTimeout: 200 };
    const compiled = await Test.createTestingModule({ imports: [moduleOf(options)] }).compile();
    const node = compiled.get(RedisStreamsNode);
    let isClosed = false;
    node.closed$.subscribe({ complete: () => (isClosed = true) });
    await expect(node.start()).rejects.toThrow(/cannot be used after 200 ms/);
    expect([node.status().state, isClosed]).toEqual(['closed', true]);
  });

  test.each<[string, object, string]>([
    ['a role that is none', { role: 'guest' }, '"node" or "observer"'],
    ['serverOptions that are none', { serverOptions: [] }, 'an object with options of Socket.IO servers'],
    ['an adapter among serverOptions', { serverOptions: { adapter: () => undefined } }, 'serverOptions.adapter'],
    ['enabled that is no flag', { enabled: 'yes' }, 'enabled'],
  ])('refuses %s with the name of the option and what is allowed', async (_what, options, problem) => {
    const imports = [moduleOf({ connection: { port: 1 }, ...options })];
    await expect(Test.createTestingModule({ imports }).compile()).rejects.toThrow(problem);
  });

  test('gives no adapter without Redis, and none to an observer', async () => {
    const disabled = (await init({ imports: [moduleOf({ enabled: false })] })).get(RedisStreamsNode);
    expect([disabled.socketAdapter(), disabled.status().state]).toEqual([undefined, 'running']);
    const redis = await RedisServer.start();
    const observer = (await init({ imports: [moduleOf({ connection: redis.url, role: 'observer' })] })).get(
      RedisStreamsNode,
    );
    expect(() => observer.socketAdapter()).toThrow(/an observer serves no sockets/);
    expect(observer.nodes()).toEqual([]);
  });
});
