import { beforeAll, describe, expect, test } from '@jest/globals';
import { RedisStreamsAdapterModule, RedisStreamsMonitor } from 'nestjs-redis-streams-adapter';
import { NodeProcess, RedisServer, until } from '../kit/index.js';
import { importingFrom, nest11 } from './nest-11.js';
import { connect, FAST, init } from './nest-app.js';

const WORDS = 500;

describe.each([11, 12])('an application of Nest %i', (version) => {
  let execArgv: string[] = [];
  beforeAll(async () => {
    execArgv = version === 11 ? importingFrom(await nest11()) : [];
  }, 120_000);

  const start = (redis: RedisServer) =>
    NodeProcess.start(new URL('lifecycle.child.ts', import.meta.url), {
      ...{ options: { url: redis.url }, execArgv, name: `Nest ${version}`, startTimeout: 28_000 },
    });

  /** The process has nothing left to do, and Redis no client. */
  async function expectNothingLeft(redis: RedisServer, app: NodeProcess) {
    expect(await app.release(5_000)).toEqual({ code: 0, signal: null });
    await redis.hasNoClients();
  }

  describe('that cannot start because of another provider leaves nothing of ours', () => {
    test.each<[string, string[], string]>([
      ['createFailing', [], 'the database is down'],
      ['compileFailing', [], 'the database is down'],
      ['listenFailing', ['onModuleInit'], 'onModuleInit fails'],
      ['listenFailing', ['onApplicationBootstrap'], 'onApplicationBootstrap fails'],
      ['contextFailing', ['onModuleInit'], 'onModuleInit fails'],
      ['contextFailing', ['onApplicationBootstrap'], 'onApplicationBootstrap fails'],
    ])('%s %j', async (method, args, message) => {
      const redis = await RedisServer.start();
      const app = await start(redis);
      expect(await app.call(method, ...args)).toBe(message);
      await expectNothingLeft(redis, app);
    });
  });

  async function watch(redis: RedisServer) {
    const imports = [RedisStreamsAdapterModule.forRoot({ connection: { url: redis.url }, ...FAST })];
    return (await init({ imports })).get(RedisStreamsMonitor);
  }

  describe('whose shutdown fails in another provider sends its outbox, writes sessions and says goodbye', () => {
    test.each([
      ['onModuleDestroy', false],
      ['onModuleDestroy', true],
      ['beforeApplicationShutdown', false],
      ['onApplicationShutdown', false],
      ['onApplicationShutdown', true],
    ])('%s, our module global: %p', async (hook, isGlobal) => {
      const redis = await RedisServer.start();
      const monitor = await watch(redis);
      const app = await start(redis);
      const client = await connect(await app.call('listen', hook, isGlobal), '/', { reconnection: false });
      await until(() => monitor.nodes[1]?.sockets === 1, { what: 'the node and its socket' });

      // Nest 11 and early releases of 12 reject; later ones log, and go on.
      const outcomes = version === 11 ? [`${hook} fails`] : [`${hook} fails`, 'none'];
      expect(outcomes).toContain(await app.call('close', WORDS));
      expect(await redis.command('XLEN', 'socket.io')).toBe(WORDS);
      expect(await redis.command('KEYS', 'sio:session:*')).toHaveLength(1);
      await until(() => monitor.nodes[1]?.state === 'left', { what: 'the goodbye' });
      await until(() => client.disconnected, { what: 'the client to be cut off' });
      expect(await app.release(5_000)).toEqual({ code: 0, signal: null });
    });

    test('onModuleDestroy, by a signal', async () => {
      const redis = await RedisServer.start();
      const monitor = await watch(redis);
      const app = await start(redis);
      await connect(await app.call('listen', 'onModuleDestroy', false), '/', { reconnection: false });
      await until(() => monitor.nodes[1]?.sockets === 1, { what: 'the node and its socket' });
      await app.call('emit', WORDS);

      await app.stop();
      expect(await redis.command('XLEN', 'socket.io')).toBe(WORDS);
      expect(await redis.command('KEYS', 'sio:session:*')).toHaveLength(1);
      await until(() => monitor.nodes[1]?.state === 'left', { what: 'the goodbye' });
    });
  });
});
