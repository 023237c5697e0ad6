import { describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { RedisStreamsEmitter } from '../../lib/emitter/index.js';
import {
  RedisStreamsEmitterHealthIndicator,
  type RedisStreamsEmitterChecks,
} from '../../lib/nest/redis-streams-emitter.health.js';
import { closeAfterwards, RedisServer, TcpProxy, until } from '../kit/index.js';

describe('RedisStreamsEmitterHealthIndicator', () => {
  async function start() {
    const redis = await RedisServer.start();
    const proxy = await TcpProxy.start(redis.port);
    const client = new Redis({ port: proxy.port, lazyConnect: true });
    const options = { streamCount: 2, commandTimeout: 500, closeTimeout: 100 };
    const emitter = closeAfterwards(new RedisStreamsEmitter(client, options, () => undefined));
    const indicator = new RedisStreamsEmitterHealthIndicator(emitter);
    const check = async (checks?: RedisStreamsEmitterChecks) => (await indicator.isHealthy('worker', checks)).worker;
    const isAppended = async () =>
      (await redis.command('XLEN', 'socket.io-0')) === 1 && (await redis.command('XLEN', 'socket.io-1')) === 1;
    return { proxy, emitter, check, isAppended };
  }

  /** One broadcast to each of the two streams. */
  function emitToBoth(emitter: RedisStreamsEmitter): void {
    emitter.of('/').emit('event');
    emitter.of('/1').emit('event');
  }

  test('is up before anything is emitted and while Redis has all, with what each stream has had', async () => {
    const { emitter, check, isAppended } = await start();
    expect(await check()).toMatchObject({ status: 'up', state: 'idle', reasons: [] });
    emitToBoth(emitter);
    await until(isAppended, { what: 'both broadcasts' });
    await until(async () => (await check({ maxOutboxEntries: 0 })).status === 'up', { what: 'the answers' });
    const { state, streams } = await check();
    expect([state, streams.map(({ name, counters }) => [name, counters.appended])]).toEqual([
      'running',
      [
        ['socket.io-0', 1],
        ['socket.io-1', 1],
      ],
    ]);
  });

  test('is down with the reason while Redis is away, and up when it is back', async () => {
    const { proxy, emitter, check } = await start();
    emitter.open();
    await until(() => emitter.status().state === 'running', { what: 'the connection' });
    proxy.refuse();
    proxy.cut();
    await until(async () => (await check()).status === 'down', { what: 'the loss' });
    expect((await check()).reasons).toEqual([expect.stringMatching(/^the connection is lost: /)]);
    await proxy.accept();
    await until(async () => (await check()).status === 'up', { what: 'the return' });
  });

  test('is down while more waits than a bound allows, of entries or bytes, in any stream', async () => {
    const { proxy, emitter, check } = await start();
    emitter.open();
    await until(() => emitter.status().state === 'running', { what: 'the connection' });
    proxy.blackhole();
    emitToBoth(emitter);
    expect((await check()).status).toBe('up'); // nothing is known to be wrong yet
    expect(await check({ maxOutboxEntries: 1, maxOutboxBytes: 1_000_000 })).toMatchObject({ status: 'up' });
    const { status, reasons } = await check({ maxOutboxEntries: 0, maxOutboxBytes: 10 });
    expect(status).toBe('down');
    expect(reasons.map((reason) => reason.replace(/^\d+ bytes/, 'bytes'))).toEqual(
      ['socket.io-0', 'socket.io-1'].flatMap((stream) => [
        `1 broadcasts for the stream "${stream}" wait for Redis (maxOutboxEntries: 0)`,
        `bytes of broadcasts for the stream "${stream}" wait for Redis (maxOutboxBytes: 10)`,
      ]),
    );
  });

  test('is down when the emitter is closed, and refuses bounds that are none', async () => {
    const { emitter, check } = await start();
    await emitter.close();
    expect(await check()).toMatchObject({ status: 'down', state: 'closed', reasons: ['the emitter is closed'] });
    await expect(check({ maxOutboxEntries: -1 })).rejects.toThrow(/checks\.maxOutboxEntries.*a number from 0/);
    await expect(check({ minNodes: 1 } as object)).rejects.toThrow(/checks\.minNodes/);
  });
});
