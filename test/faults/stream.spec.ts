import { describe, expect, test } from '@jest/globals';
import { Redis, type RedisOptions } from 'ioredis';
import type { ClusterEvent } from '../../lib/adapter/index.js';
import type { OpenOptions, RedisConnection, RedisDriver } from '../../lib/driver/index.js';
import { driverFor } from '../../lib/redis/driver-for.js';
import { toInfo } from '../../lib/redis/stream-reply.js';
import { allReceived, Member, numbers, RedisServer, startMemberProcess, TcpProxy, until } from '../kit/index.js';
import { record } from './record.js';

/** A driver of one's own: over it, Redis tells of a stream what Redis 6.2 does. */
class Redis62 implements RedisDriver {
  readonly name = 'ioredis, Redis 6.2';
  readonly isCluster = false;
  private readonly client: Redis;

  constructor(options: RedisOptions) {
    this.client = new Redis({ ...options, lazyConnect: true });
  }

  open(options: OpenOptions): RedisConnection {
    const connection = driverFor(this.client).open(options);
    const call = connection.call.bind(connection);
    connection.call = async (command, timeout) => {
      const reply = await call(command, timeout);
      return command[0] === 'XINFO' ? [...toInfo(reply)].filter(([field]) => field !== 'entries-added').flat() : reply;
    };
    return connection;
  }

  on(): void {}

  disconnect(): void {
    this.client.disconnect();
  }
}

describe('a stream that is not what it was', () => {
  test.each([
    ['deleted', 'DEL', 'socket.io'],
    ['flushed', 'FLUSHALL'],
  ])('%s: it is noticed and reported, and the new one is read from its first entry', async (name, ...command) => {
    const redis = await RedisServer.start();
    const [sender, receiver] = [await Member.start({ port: redis.port }), await Member.start({ port: redis.port })];
    for (const i of numbers(20)) {
      sender.io.emit('msg', i);
    }
    await allReceived([receiver], 20);

    await redis.command(...(command as [string]));
    await until(() => receiver.eventsOf('stream-replaced').length > 0, { what: 'the deletion to be reported' });
    // The ids of the new stream begin below those of the old: its clock was set back.
    await redis.command('XADD', 'socket.io', '1-1', 'uid', 'x', 'nsp', '/', 'type', '3', 'data', broadcast(20));
    sender.io.emit('msg', 21);

    await allReceived([receiver], 22);
    expect(receiver.received).toEqual(numbers(22));
    expect(receiver.eventsOf('stream-replaced')).toMatchObject([{ reason: 'deleted' }]);
    expect(receiver.counters.lost).toBe(0);
    record(`stream ${name} (\`${command[0]}\`), the new one with smaller ids`, [receiver], 22);
  });

  test('replaced by one whose history differs before the position: nothing twice, no new entry missed', async () => {
    const redis = await RedisServer.start();
    const [sender, receiver] = [await Member.start({ port: redis.port }), await Member.start({ port: redis.port })];
    for (const i of numbers(20)) {
      sender.io.emit('msg', i);
    }
    await allReceived([receiver], 20);

    // As a replica that takes over without the last five entries, and with a slow clock.
    const entries = (await redis.command('XRANGE', 'socket.io', '-', '+')) as [string, string[]][];
    const transaction = [
      ['DEL', 'socket.io'],
      ...entries.slice(0, 15).map(([id, fields]) => ['XADD', 'socket.io', id, ...fields]),
    ];
    const [ms, seq] = entries[14]![0].split('-') as [string, string];
    transaction.push([
      'XADD',
      'socket.io',
      `${ms}-${Number(seq) + 1}`,
      'uid',
      'x',
      'nsp',
      '/',
      'type',
      '3',
      'data',
      broadcast(20),
    ]);
    await redis.command('MULTI');
    for (const command of transaction) {
      await redis.command(...(command as [string]));
    }
    await redis.command('EXEC');

    await allReceived([receiver], 21);
    await until(() => sender.eventsOf('stream-replaced').length > 0, { what: 'the sender to notice' });
    sender.io.emit('msg', 21);
    await allReceived([receiver], 22);
    expect(receiver.received).toEqual(numbers(22));
    expect(receiver.eventsOf('stream-replaced')).toMatchObject([{ reason: 'rewound' }]);
    record('stream replaced by one whose history parts before the position, clock behind', [receiver], 22);
  });

  test.each([
    ['that knows how many entries there ever were: it is reported', undefined, ['recreated']],
    ['that does not, before Redis 7.0', Redis62, []],
  ])(
    'deleted and made anew while nobody reads, on a server %s; nothing is missed or comes twice',
    async (_what, Client, reported) => {
      const redis = await RedisServer.start();
      const proxy = await TcpProxy.start(redis.port);
      const sender = await Member.start({ port: redis.port, client: false });
      const receiver = await Member.start({ port: proxy.port, ...(Client && { Client }) });
      for (const i of numbers(10)) {
        sender.io.emit('msg', i);
      }
      await allReceived([receiver], 10);
      proxy.refuse();
      proxy.cut();
      await redis.command('DEL', 'socket.io');
      for (const i of numbers(10)) {
        sender.io.emit('msg', 10 + i);
      }
      await until(() => sender.counters.appended === 20, { what: 'all to be appended' });
      await proxy.accept();
      await allReceived([receiver], 20);
      expect(receiver.received).toEqual(numbers(20));
      expect(receiver.counters).toMatchObject({ duplicates: 0, lost: 0 });
      expect(receiver.eventsOf('stream-replaced').map(({ reason }) => reason)).toEqual(reported);
    },
  );

  test('trimmed past a reader that was stopped: the loss is counted exactly, reported, and reading goes on', async () => {
    const redis = await RedisServer.start();
    const sender = await Member.start({ port: redis.port, adapter: { maxLen: 100 } });
    const receiver = await startMemberProcess({ port: redis.port });
    for (const i of numbers(10)) {
      sender.io.emit('msg', i);
    }
    await until(async () => (await receiver.call<unknown[]>('received')).length === 10, { what: 'the first ten' });

    receiver.pause();
    for (const i of numbers(1_000)) {
      sender.io.emit('msg', 10 + i);
    }
    await allReceived([sender], 1_010);
    await until(() => sender.counters.appended === 1_010, { what: 'all to be appended' });
    await redis.command('XTRIM', 'socket.io', 'MAXLEN', '50');
    receiver.resume();
    sender.io.emit('msg', 1_010);

    const received = await until(
      async () => {
        const values = await receiver.call<number[]>('received');
        return values.at(-1) === 1_010 && values;
      },
      { what: 'the receiver to go on' },
    );
    const { lost } = await receiver.call<{ lost: number }>('counters');
    expect(received.length + lost).toBe(1_011);
    expect(lost).toBeGreaterThan(800);
    expect(received).toEqual([...received].sort((a, b) => a - b));
    const gaps = await receiver.call<ClusterEvent[]>('eventsOf', 'gap');
    expect(gaps.map((gap) => (gap as { lost: number }).lost).reduce((sum, one) => sum + one)).toBe(lost);
    record('stream trimmed past a stopped reader (SIGSTOP)', [{ received, counters: sender.counters }], 1_011, lost);
  });

  test('missing some entries: how many are lost is reported', async () => {
    const redis = await RedisServer.start();
    const [sender, receiver] = [await Member.start({ port: redis.port }), await Member.start({ port: redis.port })];
    sender.io.emit('msg', 0);
    await allReceived([receiver], 1);
    const [[, fields]] = (await redis.command('XRANGE', 'socket.io', '-', '+')) as [[string, string[]]];
    const copy = (seq: number): string[] => fields.map((value, i) => (fields[i - 1] === 'seq' ? String(seq) : value));

    await redis.command('XADD', 'socket.io', '*', ...copy(5));
    await redis.command('XADD', 'socket.io', '*', ...copy(5));
    await redis.command('XADD', 'socket.io', '*', ...copy(6));

    await allReceived([receiver], 3);
    expect(receiver.eventsOf('gap')).toMatchObject([{ lost: 3, origin: sender.node.id }]);
    expect(receiver.counters).toMatchObject({ lost: 3, duplicates: 1 });
    expect(receiver.log.filter((line) => line.includes('lost'))).toHaveLength(1);
  });

  test('whose last entries vanished unread: a heartbeat of their sender gives them away', async () => {
    const redis = await RedisServer.start();
    const proxy = await TcpProxy.start(redis.port);
    const sender = await Member.start({ port: redis.port });
    const receiver = await Member.start({ port: proxy.port });
    sender.io.emit('msg', 0);
    await allReceived([receiver], 1);

    proxy.refuse();
    proxy.cut();
    for (const i of numbers(5)) {
      sender.io.emit('msg', 1 + i);
    }
    await allReceived([sender], 6);
    await until(() => sender.counters.read === 6, { what: 'the sender to read them back' });
    const entries = (await redis.command('XRANGE', 'socket.io', '-', '+')) as [string][];
    await redis.command('XDEL', 'socket.io', ...entries.slice(-3).map(([id]) => id));
    await proxy.accept();

    await until(() => receiver.counters.lost > 0, { what: 'the loss to be counted' });
    expect(receiver.received).toEqual(numbers(3));
    expect(receiver.eventsOf('gap')).toMatchObject([{ lost: 3, origin: sender.node.id }]);
    sender.io.emit('msg', 6);
    await allReceived([receiver], 4);
    expect(receiver.received).toEqual([0, 1, 2, 6]);
    expect(receiver.counters.lost).toBe(3);
    record('last entries deleted before a cut-off reader came back', [receiver], 7, 3);
  });
});

describe('what Redis refuses', () => {
  test('a key of another type: reported once, tried a few times a second, mended by itself', async () => {
    const redis = await RedisServer.start();
    const [sender, receiver] = [await Member.start({ port: redis.port }), await Member.start({ port: redis.port })];
    sender.io.emit('msg', 0);
    await allReceived([receiver], 1);

    await redis.command('MULTI');
    await redis.command('DEL', 'socket.io');
    await redis.command('SET', 'socket.io', 'not a stream');
    await redis.command('EXEC');
    sender.io.emit('msg', 1);
    await until(() => sender.node.status().state === 'degraded' && receiver.node.status().state === 'degraded', {
      what: 'both nodes to notice',
    });
    expect(sender.node.status().reasons.join()).toContain('WRONGTYPE');
    const calls = async (): Promise<number> => {
      const stats = await redis.info('commandstats');
      return ['cmdstat_xread', 'cmdstat_xadd', 'cmdstat_xrange'].reduce(
        (sum, name) => sum + Number(/calls=(\d+)/.exec(stats[name] ?? '')?.[1] ?? 0),
        0,
      );
    };
    const [before, since] = [await calls(), performance.now()];
    await until(() => performance.now() - since > 2_000, { what: 'two seconds to pass' });
    expect((await calls()) - before).toBeLessThan(2 * 2 * 15); // two nodes, two seconds

    await redis.command('DEL', 'socket.io');
    await allReceived([receiver], 2);
    expect(receiver.received).toEqual([0, 1]);
    await until(() => sender.node.status().state === 'running', { what: 'the sender to recover' });
    expect(receiver.log.filter((line) => line.includes('read refused'))).toHaveLength(1);
    expect(sender.log.filter((line) => line.includes('append refused'))).toHaveLength(1);
    record('key of another type, then mended', [receiver], 2);
  });

  test('memory that is full: what was refused is sent when there is room', async () => {
    const redis = await RedisServer.start();
    const [sender, receiver] = [await Member.start({ port: redis.port }), await Member.start({ port: redis.port })];
    await redis.command('CONFIG', 'SET', 'maxmemory', '1');
    for (const i of numbers(50)) {
      sender.io.emit('msg', i);
    }
    await until(() => sender.node.status().reasons.join().includes('OOM'), { what: 'the refusal to be reported' });
    await redis.command('CONFIG', 'SET', 'maxmemory', '0');

    await allReceived([receiver], 50);
    expect(receiver.received).toEqual(numbers(50));
    expect(receiver.counters).toMatchObject({ lost: 0, duplicates: 0 });
    record('`maxmemory` reached, then raised', [sender, receiver], 50);
  });
});

function broadcast(value: number): string {
  return JSON.stringify({
    opts: { rooms: [], except: [], flags: {} },
    packet: { type: 2, data: ['msg', value], nsp: '/' },
  });
}
