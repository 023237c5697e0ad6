import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { driverFor } from '../../lib/redis/driver-for.js';
import type { Command, ConnectionListener, ConnectionRole, RedisConnection } from '../../lib/redis/driver.js';
import type { StreamEvent } from '../../lib/stream/events.js';
import { StreamLog, type AppendOptions, type StreamLogOptions } from '../../lib/stream/stream-log.js';
import type { Recipient } from '../../lib/stream/recipient.js';
import { cutAt, decodeCut, type Cut } from '../../lib/wire/cut.js';
import { EntryType, type LogEntry, type LogMessage, type Origin } from '../../lib/wire/entry.js';
import { closeAfterwards, RedisServer, TcpProxy, until } from '../kit/index.js';

const STREAM = 'log';

function message(n: number, rooms: string[] = [], text = ''): LogMessage {
  const packet = { type: 2, data: ['msg', n, ...(text ? [text] : [])] };
  return { uid: 'me', nsp: '/', type: EntryType.Broadcast, data: { packet, opts: { rooms, except: [], flags: {} } } };
}

/** The number in a message. */
const numberOf = (entry: { data: string }): number => Number(/"msg",(\d+)/.exec(entry.data)?.[1]);

const client = (rooms: string[] = []): Recipient => ({ nsp: '/', rooms, wasIn: (room) => rooms.includes(room) });

/** A log, on connections of its own, that is all there is of a node. */
class Opened {
  readonly delivered: { entry: LogEntry; own: boolean }[] = [];
  readonly events: StreamEvent[] = [];
  readonly log: StreamLog;
  onDeliver: (entry: LogEntry) => void = () => undefined;
  whenRequestHandled: (entry: LogEntry) => Promise<void> | undefined = () => undefined;
  readonly connections: RedisConnection[] = [];

  private constructor(
    port: number,
    private readonly nodeId: string,
    options: Partial<StreamLogOptions>,
  ) {
    const user = new Redis({ port, lazyConnect: true });
    user.on('error', () => undefined);
    const driver = driverFor(user);
    const open = (role: ConnectionRole, listener: ConnectionListener): RedisConnection => {
      const connection = driver.open({ role, connectionName: role, sharded: false, listener });
      this.connections.push(connection);
      return connection;
    };
    const commands = open('commands', {
      onReady: () => this.log.onCommandsReady(),
      onLost: () => this.log.onCommandsLost(),
    });
    this.log = new StreamLog(commands, (listener) => open('reader', listener), {
      ...{
        stream: STREAM,
        nodeId,
        maxLen: 10_000,
        readCount: 100,
        blockTime: 200,
        maxHoldMs: 2,
        commandTimeout: 1_000,
      },
      ...{ isCluster: false, heartbeatTimeout: 10_000, onlyPlaintext: false, ordering: 'local-first' },
      outbox: { maxEntries: 100_000, maxBytes: 100_000_000 },
      replay: { maxEntries: 20_000, maxBytes: 100_000_000 },
      readers: { count: () => 1, present: () => [nodeId], ask: () => undefined },
      emit: (event) => this.events.push(event),
      target: {
        whenRequestHandled: (entry) => this.whenRequestHandled(entry),
        deliver: (entry, own) => {
          this.delivered.push({ entry, own });
          this.onDeliver(entry);
          return true;
        },
      },
      retry: (run) => run(),
      onReading: () => undefined,
      ...options,
    });
    this.log.remember();
  }

  static async start(port: number, nodeId: string, options: Partial<StreamLogOptions> = {}): Promise<Opened> {
    const opened = closeAfterwards(new Opened(port, nodeId, options));
    opened.log.start();
    await opened.log.whenOpen();
    await until(() => opened.connections.every(({ ready }) => ready), { what: 'the connections to be ready' });
    return opened;
  }

  append(message: LogMessage, options?: AppendOptions): Origin {
    return this.log.append({ ...message, uid: this.nodeId }, options);
  }

  get numbers(): number[] {
    return this.delivered.map(({ entry }) => numberOf(entry));
  }

  async close(): Promise<void> {
    await this.log.close(0);
    await Promise.all(this.connections.map((connection) => connection.close()));
  }
}

async function missed(
  log: StreamLog,
  cut: Cut,
  rooms: string[] = [],
): Promise<{ n: number; offset: string }[] | string> {
  const replay = log.replay(cut, client(rooms));
  const outcome = await replay.complete;
  const items = replay.end();
  return outcome === 'complete' ? items.map(({ entry, offset }) => ({ n: numberOf(entry), offset })) : outcome;
}

const count = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

describe('StreamLog', () => {
  let redis: RedisServer;
  let proxy: TcpProxy;

  beforeEach(async () => {
    redis = await RedisServer.start();
    proxy = await TcpProxy.start(redis.port);
  });

  test.each([
    ['a cluster', true],
    ['one server', false],
  ])('appends with reads while entries come fast: %s', async (_, isCluster) => {
    const a = await Opened.start(proxy.port, 'a', { isCluster });
    const withReads: Command[] = [];
    const reader = a.connections[1]!;
    const transaction = reader.transaction.bind(reader);
    reader.transaction = (commands, ...rest) => {
      withReads.push(...commands);
      return transaction(commands, ...rest);
    };
    for (let n = 1; n <= 600; n++) {
      a.append(message(n));
      if (n % 4 === 0) await sleep(1);
    }
    await until(() => a.numbers.length === 600, { what: 'all to be read back' });
    expect(a.numbers).toEqual(count(1, 600));
    expect(withReads.length > 0).toBe(!isCluster);
  });

  test('numbers entries when they are taken, and has them in its cut before Redis has', async () => {
    const a = await Opened.start(proxy.port, 'a');
    expect(a.log.offset()).toBe('0-0');
    expect([1, 2].map((n) => a.append(message(n)))).toEqual([
      { node: 'a', seq: 1 },
      { node: 'a', seq: 2 },
    ]);
    expect(a.log.lastTaken).toEqual({ seq: 2, direct: 0 });
    expect(a.log.offset()).toBe('0-0,a:2');
    await a.log.whenAppended();
    await until(() => a.numbers.length === 2, { what: 'both to be read back' });
    expect(a.delivered.every(({ own }) => own)).toBe(true);
    expect(a.log.offset()).toBe(a.log.position);
    expect(await a.log.whenPublisherRead('a', 2, 1_000)).toBe(true);
    expect(await a.log.whenPublisherRead('a', 3, 20)).toBe(false);
  });

  test('replays what it has taken and not read back, as it was at the call, while Redis is away', async () => {
    const a = await Opened.start(proxy.port, 'a');
    proxy.refuse();
    proxy.cut();
    const data = { text: 'before' };
    const first = message(1);
    first.data = { ...first.data, packet: { type: 2, data: ['msg', 1, data] } };
    a.append(first);
    data.text = 'after';
    a.append(message(2, ['elsewhere']));
    a.append(message(3, ['room']));
    expect(await missed(a.log, cutAt('0-0'), ['room'])).toEqual([
      { n: 1, offset: '0-0,a:1' },
      { n: 3, offset: '0-0,a:3' },
    ]);
    expect(await missed(a.log, decodeCut('0-0,a:1')!, ['room'])).toEqual([{ n: 3, offset: '0-0,a:3' }]);
    expect(a.log.lastGivenTo(client(['elsewhere']), cutAt('0-0'))).toMatchObject({
      own: { origin: { node: 'a', seq: 2 } },
    });
    const replay = a.log.replay(cutAt('0-0'), client());
    expect(replay.end()[0]!.entry.data).toContain('before');
    await proxy.accept();
    await until(() => a.numbers.length === 3, { what: 'all to be read back' });
    const replayed = await missed(a.log, cutAt('0-0'), ['room']);
    expect(replayed).toEqual([1, 3].map((n) => ({ n, offset: a.delivered[n - 1]!.entry.id })));
  });

  test('gives a client that is being recovered each entry once, be it taken, read back or read meanwhile', async () => {
    const [a, b] = [await Opened.start(proxy.port, 'a'), await Opened.start(redis.port, 'b')];
    a.append(message(1));
    await until(() => a.numbers.length === 1, { what: 'the first to be read back' });
    proxy.blackhole();
    a.append(message(2));
    const replay = a.log.replay(cutAt('0-0'), client());
    expect(await replay.complete).toBe('complete');
    a.append(message(3));
    proxy.heal();
    await until(() => a.numbers.length === 3, { what: 'all to be read back' });
    b.append(message(4));
    await until(() => a.numbers.length === 4, { what: 'that of the other node' });
    a.append(message(5));
    const items = replay.end();
    expect(items.map(({ entry }) => numberOf(entry))).toEqual([1, 2, 3, 4, 5]);
    for (const [i, { offset }] of items.entries()) {
      const rest = (await missed(a.log, decodeCut(offset)!)) as { n: number }[];
      expect(rest.map(({ n }) => n)).toEqual(count(i + 2, 5));
    }
  });

  test('delivers, in the ordering log, when entries are read back, and has only what overtakes in its cut', async () => {
    const a = await Opened.start(proxy.port, 'a', { ordering: 'log' });
    const b = await Opened.start(redis.port, 'b');
    proxy.blackhole();
    expect(a.append(message(1))).toEqual({ node: 'a', seq: 1 });
    expect(a.append(message(2, ['socket']), { lane: 'direct' })).toEqual({ node: 'a~', seq: 1 });
    expect(a.append(message(3))).toEqual({ node: 'a', seq: 2 });
    expect(a.log.offset()).toBe('0-0,a~:1');
    expect(await missed(a.log, cutAt('0-0'), ['socket'])).toEqual([{ n: 2, offset: '0-0,a~:1' }]);
    proxy.heal();
    await until(() => a.numbers.length === 3 && b.numbers.length === 3, { what: 'all to be read' });
    expect(b.delivered.map(({ entry }) => entry.origin)).toEqual([
      { node: 'a', seq: 1 },
      { node: 'a~', seq: 1 },
      { node: 'a', seq: 2 },
    ]);
    expect([b.events, b.log.lastReadOf('a'), b.log.lastReadOf('a~')]).toEqual([[], 2, 1]);
    expect(a.log.offset()).toBe(a.log.position);
  });

  test('does local work after own entries that were taken before, in order, and at once if there are none', async () => {
    const a = await Opened.start(proxy.port, 'a', { ordering: 'log' });
    const done: unknown[] = [];
    a.onDeliver = (entry) => done.push(numberOf(entry));
    a.log.afterOwnEntries(() => done.push('at once'));
    a.append(message(1));
    a.log.afterOwnEntries(() => done.push('after 1'));
    a.append(message(2));
    a.log.afterOwnEntries(() => done.push('after 2'));
    expect(done).toEqual(['at once']);
    await until(() => done.length === 5, { what: 'all to be done' });
    expect(done).toEqual(['at once', 1, 'after 1', 2, 'after 2']);
  });

  test('does 90,000 pieces of local work after one entry without holding up the event loop', async () => {
    const a = await Opened.start(proxy.port, 'a', { ordering: 'log' });
    let done = 0;
    let longest = 0;
    let last = performance.now();
    const timer = setInterval(() => {
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }, 1);
    a.append(message(1));
    const busy = (): void => {
      for (const end = performance.now() + 0.01; performance.now() < end;);
      done++;
    };
    for (let i = 0; i < 90_000; i++) a.log.afterOwnEntries(busy);
    last = performance.now();
    longest = 0;
    await until(() => done === 90_000, { what: 'all to be done', timeout: 20_000 });
    clearInterval(timer);
    expect(longest).toBeLessThan(500); // slices of 8 ms; quadratic, and in one piece, it was 4.7 s
  }, 30_000);

  test('keeps local work that waits within the bounds of the outbox', async () => {
    const a = await Opened.start(proxy.port, 'a', {
      ...{ ordering: 'log', outbox: { maxEntries: 100, maxBytes: 100_000 } },
    });
    proxy.refuse();
    proxy.cut();
    a.append(message(1));
    const done: number[] = [];
    for (let i = 0; i < 1_000; i++) a.log.afterOwnEntries(() => done.push(i), 5_000);
    const { outbox, counters } = a.log.status();
    expect(outbox.bytes).toBeLessThanOrEqual(100_000);
    await proxy.accept();
    await until(() => done.at(-1) === 999, { what: 'what was kept to be done' });
    expect(done.length + counters.dropped).toBe(1_000);
  });

  test('distinguishes what was dropped from what is lost, and goes on recovering', async () => {
    const a = await Opened.start(proxy.port, 'a', { outbox: { maxEntries: 3, maxBytes: 1_000_000 } });
    const b = await Opened.start(redis.port, 'b');
    a.append(message(1));
    await a.log.whenAppended();
    proxy.refuse();
    proxy.cut();
    for (const n of count(2, 10)) a.append(message(n));
    // The node's own clients were given all of them, so none of them is missed by one of these.
    expect(await missed(a.log, decodeCut(a.log.offset())!)).toEqual([]);
    await proxy.accept();
    await until(() => a.numbers.at(-1) === 10 && b.numbers.at(-1) === 10, { what: 'the rest to be read' });
    const kept = b.numbers; // what was under way when the connection was cut is sent again
    expect(kept.slice(-3)).toEqual([8, 9, 10]);
    expect(kept.length).toBeLessThan(10);
    expect(b.events).toMatchObject([{ type: 'gap', reason: 'dropped', lost: 10 - kept.length, origin: 'a' }]);
    const c = await Opened.start(redis.port, 'c'); // reads it all from Redis
    for (const { log } of [a, b, c]) {
      const replayed = (await missed(log, cutAt(b.delivered[0]!.entry.id))) as { n: number }[];
      expect(replayed.map(({ n }) => n)).toEqual(kept.slice(1));
    }
  });

  describe('an entry that was sent again', () => {
    const add = async (n: number, more: string[] = [], uid = 'x'): Promise<string> => {
      const { data } = message(n);
      const fields = ['uid', uid, 'nsp', '/', 'type', '3', 'data', JSON.stringify(data), 'seq', String(n), ...more];
      return String(await redis.command('XADD', STREAM, '*', ...fields));
    };
    const others = async (): Promise<void> => {
      for (const n of count(1, 300)) await add(n, [], 'other');
    };

    test('is delivered once by a node that starts between its copies', async () => {
      await Promise.all([]);
      for (const n of [1, 2, 3]) await add(n);
      await others();
      const a = await Opened.start(redis.port, 'a');
      for (const n of [2, 3]) await add(n, ['resent', '1']);
      await add(4);
      await until(() => a.numbers.includes(4), { what: 'the next to be read' });
      expect([a.numbers, a.log.status().counters.duplicates, a.events]).toEqual([[4], 2, []]);
    });

    test('is replayed once by a node that starts after both, however far they lie apart', async () => {
      await add(1);
      const offset = await add(2);
      await add(3);
      await others();
      const last = await add(2, ['resent', '1']);
      await add(3, ['resent', '1']);
      await add(4);
      const a = await Opened.start(redis.port, 'a');
      const replayed = (await missed(a.log, cutAt(offset))) as { n: number }[];
      expect(replayed.map(({ n }) => n)).toEqual([3, ...count(1, 300), 4]);
      // A client in whose cut the first copies are: the second ones are nothing new.
      const b = await Opened.start(redis.port, 'b');
      const before = (await redis.command('XREVRANGE', STREAM, `(${last}`, '-', 'COUNT', '1')) as [string][];
      const rest = (await missed(b.log, cutAt(before[0]![0]))) as { n: number }[];
      expect(rest.map(({ n }) => n)).toEqual([4]);
    });
  });

  test('refuses to replay where a failover has lost a part of the stream, be it read before or not', async () => {
    const ids: string[] = [];
    for (const n of [1, 2, 3, 7, 8]) {
      const { data } = message(n);
      const fields = ['uid', 'x', 'nsp', '/', 'type', '3', 'data', JSON.stringify(data), 'seq', String(n)];
      ids.push(String(await redis.command('XADD', STREAM, '*', ...fields)));
    }
    const a = await Opened.start(redis.port, 'a');
    expect(await missed(a.log, cutAt(ids[1]!))).toBe('lost');
    expect(await missed(a.log, cutAt(ids[2]!))).toBe('lost');
    expect(await missed(a.log, cutAt(ids[3]!))).toHaveLength(1);
    const b = await Opened.start(redis.port, 'b');
    expect(await missed(b.log, cutAt(ids[2]!))).toBe('lost'); // what is missing lies right after the offset
  });

  test('knows whether a position is in the log', async () => {
    const a = await Opened.start(proxy.port, 'a', { replay: { maxEntries: 0, maxBytes: 0 } });
    for (const n of count(1, 5_000)) a.append(message(n));
    await until(() => a.numbers.length === 5_000, { what: 'all to be read back' });
    const ids = a.delivered.map(({ entry }) => entry.id);
    const inBetween = `${ids[3_000]!.split('-')[0]}-999999`;
    expect(await Promise.all([ids[0]!, ids[4_999]!, '0-0'].map((id) => a.log.isInLog(id)))).toEqual([
      'yes',
      'yes',
      'yes',
    ]);
    expect(await a.log.isInLog(inBetween)).toBe('no');
    expect(await a.log.isInLog('99999999999999-0')).toBe('no');
    await redis.command('XTRIM', STREAM, 'MAXLEN', '=', '10');
    expect(await a.log.isInLog(ids[0]!)).toBe('trimmed');
    proxy.refuse();
    proxy.cut();
    expect(await a.log.isInLog(ids[1]!)).toBe('unknown');
    expect(await a.log.isInLog(ids[4_999]!)).toBe('yes'); // it was read lately
  });

  test('passes over an entry that cannot be understood, and misses nothing by that', async () => {
    const a = await Opened.start(redis.port, 'a');
    await redis.command('XADD', STREAM, '*', 'uid', 'x', 'nsp', '/', 'type', '3', 'data', '{}', 'seq', '1');
    for (const seq of ['2', '3']) {
      await redis.command('XADD', STREAM, '*', 'uid', 'x', 'type', '3', 'data', '{}', 'seq', seq);
    }
    await redis.command('XADD', STREAM, '*', 'uid', 'x', 'nsp', '/', 'type', '3', 'data', '{}', 'seq', '4');
    await until(() => a.delivered.length === 2, { what: 'the others to be delivered' });
    expect(a.log.status().counters).toMatchObject({ rejected: 2, lost: 0, read: 4 });
    expect(a.events).toMatchObject([{ type: 'entry-rejected' }]);
    expect(await missed(a.log, cutAt(a.delivered[0]!.entry.id))).toEqual([]);
  });

  test('delivers an entry after the request that its publisher has sent before, or after 100 ms', async () => {
    let settle!: () => void;
    const asked: (number | undefined)[] = [];
    const a = await Opened.start(redis.port, 'a');
    a.whenRequestHandled = ({ bus }) => {
      asked.push(bus);
      return bus === 1 ? new Promise((resolve) => (settle = resolve)) : new Promise(() => undefined);
    };
    const b = await Opened.start(redis.port, 'b');
    b.append(message(1), { bus: () => 1 });
    b.append(message(2));
    await until(() => asked.length === 1, { what: 'the request to be asked for' });
    expect(a.numbers).toEqual([]);
    settle();
    await until(() => a.numbers.length === 2, { what: 'both to be delivered' });
    const begin = performance.now();
    b.append(message(3), { bus: () => 2 });
    await until(() => a.numbers.length === 3, { what: 'the next, whose request never comes' });
    expect(performance.now() - begin).toBeGreaterThan(90);
    expect(asked).toEqual([1, 2]);
  });
});
