import { describe, expect, test } from '@jest/globals';
import { createClient } from 'redis';
import {
  allReceived,
  Member,
  type MemberOptions,
  numbers,
  RedisServer,
  RespProxy,
  type Rewrite,
  until,
} from '../kit/index.js';
import { record } from './record.js';

/** A client of `redis`, made as one of ioredis. */
class NodeRedis {
  constructor({ port }: { port?: number }) {
    const client = createClient({ socket: { host: '127.0.0.1', port: port! } });
    return Object.assign(client, { disconnect: () => client.destroy() });
  }
}

const is = (command: readonly Buffer[], name: string): boolean => command[0]!.toString().toUpperCase() === name;

/** Answers blocking reads at once. */
const withoutBlocking: Rewrite = (command) => {
  const at = command.findIndex((arg) => arg.toString().toUpperCase() === 'BLOCK');
  return { send: is(command, 'XREAD') && at > 0 ? [...command.slice(0, at), ...command.slice(at + 2)] : command };
};

/** Refuses what is larger than so many bytes, as managed servers do. */
const upTo =
  (limit: number): Rewrite =>
  (command) => {
    const size = command.reduce((sum, arg) => sum + arg.length, 0);
    const error = `ERR max request size exceeded. Limit: ${limit} bytes, Actual: ${size} bytes`;
    return size > limit ? { error } : { send: command };
  };

/** Knows no exclusive bounds, as Redis before 6.2. */
const withoutExclusiveRanges: Rewrite = (command) => {
  const isRange = is(command, 'XRANGE') || is(command, 'XREVRANGE');
  const isExclusive = isRange && command.slice(2, 4).some((bound) => bound.toString().startsWith('('));
  return isExclusive ? { error: 'ERR Invalid stream ID specified as stream command argument' } : { send: command };
};

describe('a server that answers blocking reads at once', () => {
  test('is asked some ten times a second by an idle node, which reports it once; entries come within a pause', async () => {
    const redis = await RedisServer.start();
    const proxy = await RespProxy.start(redis.port, withoutBlocking);
    const sender = await Member.start({ port: redis.port });
    const receiver = await Member.start({ port: proxy.port, adapter: { blockTimeInMs: 5_000 } });
    await until(() => receiver.eventsOf('reads-not-blocking').length > 0, { what: 'the event' });
    const counts = (): number[] => ['XREAD', 'XRANGE'].map((name) => proxy.count(name));
    const before = counts();
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    const [reads, checks] = counts().map((count, i) => (count - before[i]!) / 3);
    expect(reads).toBeLessThan(13);
    expect(checks).toBeLessThan(2);

    const late: number[] = [];
    receiver.socket.on('at', (at: number) => late.push(performance.now() - at));
    for (let i = 0; i < 20; i++) {
      sender.io.emit('at', performance.now());
      await until(() => late.length === i + 1, { what: 'an entry' });
      await new Promise((resolve) => setTimeout(resolve, 300)); // the pauses are long again
    }
    late.sort((a, b) => a - b);
    expect(late[10]).toBeLessThan(300);
    for (const i of numbers(500)) sender.io.emit('msg', i);
    await allReceived([receiver], 500);
    expect(receiver.received).toEqual(numbers(500));

    proxy.rewrite((command) => ({ send: command }));
    await new Promise((resolve) => setTimeout(resolve, 300));
    const blocking = proxy.count('XREAD');
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    expect(proxy.count('XREAD') - blocking).toBeLessThan(3);
    proxy.rewrite(withoutBlocking);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect(receiver.eventsOf('reads-not-blocking')).toMatchObject([{ stream: 'socket.io', pauseMs: 100 }]);
    expect(receiver.log.filter((line) => line.includes('blocking'))).toHaveLength(1);
    console.log(
      `${reads!.toFixed(1)} reads and ${checks!.toFixed(1)} checks a second; an entry came after ${late[10]!.toFixed(0)} ms (median)`,
    );
  }, 60_000);
});

describe('a proxy that limits the size of a request', () => {
  test.each<[string, MemberOptions['Client']]>([
    ['ioredis 6', undefined],
    ['redis 6', NodeRedis],
  ])(
    'gets all that is not too large, in order; the rest is found, dropped and reported (%s)',
    async (name, Client) => {
      const redis = await RedisServer.start();
      const proxy = await RespProxy.start(redis.port, upTo(100_000));
      const sender = await Member.start({ port: proxy.port, ...(Client && { Client }) });
      const receiver = await Member.start({ port: redis.port });
      for (const i of numbers(200)) {
        if (i % 50 === 25) sender.io.emit('upload', 'x'.repeat(150_000));
        sender.io.emit('msg', i);
      }
      // The server does not know of what the proxy refused, and executes the rest of a transaction; so that is sent again.
      await until(() => sender.eventsOf('message-refused').length === 4, { what: 'the large ones to be found' });
      sender.io.emit('msg', 200);
      await allReceived([receiver], 201);
      expect(receiver.received).toEqual(numbers(201));
      expect(sender.eventsOf('message-refused')[0]).toMatchObject({ message: 'the event "upload"', namespace: '/' });
      expect(sender.counters).toMatchObject({ appended: 201, dropped: 4 });
      expect(receiver.eventsOf('gap').reduce((sum, { lost }) => sum + lost, 0)).toBe(4);
      expect(sender.eventsOf('redis-lost')).toEqual([]);
      record(`proxy refuses 4 requests of 205 for their size (${name})`, [receiver], 201);
    },
    60_000,
  );
});

describe('a server without exclusive ranges (Redis 6.0)', () => {
  test('is read on after the last entry that two histories share, however far back that is', async () => {
    const redis = await RedisServer.start();
    const proxy = await RespProxy.start(redis.port, withoutExclusiveRanges);
    const [sender, receiver] = [await Member.start({ port: redis.port }), await Member.start({ port: proxy.port })];
    for (const i of numbers(600)) sender.io.emit('msg', i);
    await allReceived([receiver], 600);
    const entries = (await redis.command('XRANGE', 'socket.io', '-', '+')) as [string, string[]][];
    const [ms, seq] = entries[99]![0].split('-') as [string, string];
    await redis.command('MULTI');
    await redis.command('DEL', 'socket.io');
    for (const [id, fields] of entries.slice(0, 100)) await redis.command('XADD', 'socket.io', id, ...fields);
    for (const i of numbers(400)) {
      const data = JSON.stringify({
        packet: { type: 2, data: ['msg', 600 + i] },
        opts: { rooms: [], except: [], flags: {} },
      });
      const id = `${ms}-${Number(seq) + 1 + i}`;
      await redis.command('XADD', 'socket.io', id, 'uid', 'x', 'nsp', '/', 'type', '3', 'data', data);
    }
    await redis.command('EXEC');
    await allReceived([receiver], 1_000);
    expect(receiver.received).toEqual(numbers(1_000));
    expect(receiver.eventsOf('stream-replaced')).toMatchObject([{ reason: 'rewound' }]);
  }, 60_000);
});
