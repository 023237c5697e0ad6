import { describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { createAdapter } from '../../lib/adapter/index.js';
import { allReceived, Member, numbers, RedisServer, until } from '../kit/index.js';
import { observe, record } from './record.js';

const ours = ({ name }: { name: string }): boolean => name.startsWith('redis-streams:');
const silent = { log: () => undefined, warn: () => undefined, error: () => undefined };

describe('closing', () => {
  test('while it broadcasts sends what it has taken', async () => {
    const redis = await RedisServer.start();
    const sender = await Member.start({ port: redis.port });
    const receiver = await Member.start({ port: redis.port });
    for (const i of numbers(5_000)) {
      sender.io.emit('msg', i);
    }
    await sender.close();
    await allReceived([receiver], 5_000);
    expect(receiver.received).toEqual(numbers(5_000));
    expect(() => sender.io.emit('msg', 'too late')).not.toThrow();
    await until(() => receiver.eventsOf('node-left').length === 1, { what: 'the goodbye' });
    record('node closed while it broadcasts', [receiver], 5_000);
  });

  test.each(['killed', 'paused'])('while Redis is %s ends in bounded time', async (state) => {
    const redis = await RedisServer.start({ appendonly: true });
    const member = await Member.start({
      port: redis.port,
      adapter: { closeTimeout: 500, commandTimeout: 500 },
      server: { connectionStateRecovery: {} },
    });
    if (state === 'killed') {
      await redis.kill();
    } else {
      redis.pause();
    }
    member.io.emit('msg', 1);
    const since = performance.now();
    await member.close();
    const ms = Math.round(performance.now() - since);
    expect(ms).toBeLessThan(5_000);
    expect(member.node.status().state).toBe('closed');
    observe(
      `node closed while Redis is ${state}`,
      `closed after ${ms} ms (\`closeTimeout\` 500 ms, \`commandTimeout\` 500 ms)`,
    );
    if (state === 'paused') {
      redis.resume();
    }
  });

  test('while Redis is away sends the whole outbox, even more than maxLen, if Redis comes back in time', async () => {
    const redis = await RedisServer.start({ appendonly: true });
    const member = await Member.start({ port: redis.port, adapter: { maxLen: 1_000 } });
    await redis.kill();
    await until(() => member.node.status().state === 'degraded', { what: 'the loss' });
    for (const i of numbers(3_000)) {
      member.io.emit('msg', i);
    }
    const closed = member.close();
    await redis.restart();
    await closed;
    expect(member.counters).toMatchObject({ appended: 3_000, dropped: 0 });
  });

  test('while Redis is away reports what could not be sent', async () => {
    const redis = await RedisServer.start();
    const member = await Member.start({ port: redis.port, adapter: { closeTimeout: 100 } });
    await redis.kill();
    await until(() => member.node.status().state === 'degraded', { what: 'the loss' });
    for (const i of numbers(30)) {
      member.io.emit('msg', i);
    }
    await member.close();
    expect(member.counters.dropped).toBe(30);
    expect(member.eventsOf('outbox-dropped')).toHaveLength(1);
  });

  test('while Redis is away does what was to be done here after what could not be sent (log)', async () => {
    const redis = await RedisServer.start();
    const member = await Member.start({ port: redis.port, adapter: { closeTimeout: 100, ordering: 'log' } });
    await redis.kill();
    await until(() => member.node.status().state === 'degraded', { what: 'the loss' });
    member.io.emit('msg', 'for all');
    member.io.local.emit('msg', 'for those here');
    member.io.local.socketsJoin('room');
    expect(member.received).toEqual([]);
    const { outbox } = member.node.status().streams[0]!;
    expect(outbox.entries).toBe(3);
    const joined: string[] = [];
    member.io.of('/').adapter.on('join-room', (room: string) => joined.push(room));
    await member.node.close();
    await until(() => member.received.length === 1, { what: 'what is for those here' });
    expect(member.received).toEqual(['for those here']);
    expect(joined).toEqual(['room']);
    expect(member.counters).toMatchObject({ dropped: 1 });
    expect(member.eventsOf('outbox-dropped')).toMatchObject([{ reason: 'closed', dropped: 1 }]);
  });

  test('twice, and at once with starting, is the same as once', async () => {
    const redis = await RedisServer.start();
    const member = await Member.start({ port: redis.port });
    await Promise.all([member.io.close(), member.io.close(), member.node.close()]);

    const client = new Redis(redis.port);
    const { node } = createAdapter(client, {}, silent);
    await Promise.all([node.start(), node.close()]);
    client.disconnect();
    await until(async () => !(await redis.clients()).some(ours), { what: 'all connections to be closed' });
  });

  test('200 nodes that were opened leave no connection and no rejection behind', async () => {
    const redis = await RedisServer.start();
    const rejections: unknown[] = [];
    const onRejection = (reason: unknown): unknown => rejections.push(reason);
    process.on('unhandledRejection', onRejection);
    const client = new Redis(redis.port);
    for (let round = 0; round < 20; round++) {
      const nodes = numbers(10).map(() => createAdapter(client, {}, silent).node);
      await Promise.all(nodes.filter((_node, i) => i % 2).map((node) => node.start()));
      await Promise.all(nodes.map((node) => node.close()));
    }
    await until(async () => !(await redis.clients()).some(ours), { what: 'all connections to be closed' });
    expect(client.status).toBe('ready');
    client.disconnect();
    process.off('unhandledRejection', onRejection);
    expect(rejections).toEqual([]);
    observe('200 nodes opened and closed', 'no connection and no unhandled rejection left');
  });
});
