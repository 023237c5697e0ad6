import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { driverFor } from '../../lib/redis/driver-for.js';
import type { RedisConnection } from '../../lib/redis/driver.js';
import { EntryAdmission } from '../../lib/stream/entry-admission.js';
import type { StreamEvent } from '../../lib/stream/events.js';
import { GapDetector } from '../../lib/stream/gap-detector.js';
import { OwnLanes } from '../../lib/stream/own-lanes.js';
import { ReadProgress } from '../../lib/stream/read-progress.js';
import { StreamReader } from '../../lib/stream/stream-reader.js';
import { encodeMessage, encodeOrigin, EntryType, type LogEntry } from '../../lib/wire/entry.js';
import { STREAM_START, type StreamId } from '../../lib/wire/stream-id.js';
import { closeAfterwards, RedisServer, until } from '../kit/index.js';

const STREAM = 'log';

describe('StreamReader', () => {
  let redis: RedisServer;
  let connection: RedisConnection;
  let reader: StreamReader;
  let progress: ReadProgress;
  let admission: EntryAdmission;
  let delivered: StreamId[];
  let events: StreamEvent[];
  let broken: [position: StreamId, lostUpTo: StreamId][];
  /** Whether commands are executed on the log that is read. */
  let isShared: boolean;
  /** Whether something is appended with each read. */
  let isAppendedWith: boolean;

  beforeEach(async () => {
    isShared = true;
    isAppendedWith = false;
    redis = await RedisServer.start();
    delivered = [];
    events = [];
    broken = [];
  });

  async function append(n: number, id = `${n}-0`): Promise<void> {
    const data = { packet: { type: 2, data: ['msg', n] }, opts: { rooms: [], except: [], flags: {} } };
    const fields = encodeMessage({ uid: 'node', nsp: '/', type: EntryType.Broadcast, data }, { onlyPlaintext: false });
    await redis.command('XADD', STREAM, id, ...fields, ...encodeOrigin('node', n, n - 1, false));
  }

  /** Reads on a connection of its own. Resolves when all that is there was passed. */
  async function start(): Promise<void> {
    const user = new Redis({ port: redis.port, lazyConnect: true });
    user.on('error', () => undefined);
    connection = driverFor(user).open({
      ...{ role: 'reader', connectionName: 'reader', sharded: false },
      listener: { onReady: () => reader.onReady(), onLost: (error) => reader.onLost(error) },
    });
    const gaps = new GapDetector();
    progress = new ReadProgress(gaps);
    const listener = {
      emit: (event: StreamEvent) => void events.push(event),
      onBroken: (...where: [StreamId, StreamId]) => void broken.push(where),
      onProgress: () => undefined,
    };
    const target = {
      before: () => undefined,
      onRead: () => false,
      deliver: ({ id }: LogEntry) => void delivered.push(id),
    };
    const lanes = new OwnLanes('me', 'local-first');
    const older = { upTo: async () => ({ entries: [], oldest: undefined, atStart: true }) };
    admission = new EntryAdmission(gaps, progress, target, { stream: STREAM, lanes, older, ...listener });
    const noWork = { isDue: false, doNext: () => undefined };
    reader = new StreamReader(connection, progress, admission, noWork, {
      ...{ stream: STREAM, readCount: 100, blockTime: 50, maxHoldMs: 2, commandTimeout: 1_000 },
      ...listener,
      isShared: () => Promise.resolve(isShared),
      onBeforeRead: () => isAppendedWith,
    });
    closeAfterwards({ close: async () => void (await Promise.all([reader.stop(), connection.close()])) });
    reader.start();
    await until(() => progress.isReading, { what: 'the reader to read' });
  }

  test('delivers what is appended after it has begun to read, in order, and nothing from before', async () => {
    await append(1);
    await start();
    expect(broken).toEqual([['1-0', STREAM_START]]);
    for (const n of [2, 3, 4]) await append(n);
    expect(await progress.whenDelivered('4-0', 5_000)).toBe(true);
    expect(delivered).toEqual(['2-0', '3-0', '4-0']);
    expect(progress).toMatchObject({ position: '4-0', mode: 'following' });
    expect(reader.backlog).toBe(0);
  });

  test('says that a read is coming while entries come fast, but not while one waits for entries', async () => {
    await start();
    expect(reader.isReadComing).toBe(false);
    const pipeline = new Redis({ port: redis.port });
    closeAfterwards({ close: async () => void (await pipeline.quit()) });
    const whileFast = new Set<boolean>();
    const appendFast = async (): Promise<void> => {
      const end = performance.now() + 300;
      while (performance.now() < end) {
        await Promise.all(Array.from({ length: 5 }, () => pipeline.xadd(STREAM, '*', 'a', 'b')));
        whileFast.add(reader.isReadComing);
      }
    };
    await appendFast();
    expect(whileFast).toContain(true);
    await until(() => reader.backlog === 0 && !reader.isReadComing, { what: 'a read that waits for entries' });

    isAppendedWith = true; // as far as the reader knows, so it expects an answer
    await appendFast();
    await sleep(20);
    expect(reader.isReadComing).toBe(true);
  });

  test('reports how many entries of a publisher are missing, and that what was read is incomplete', async () => {
    await start();
    await append(1);
    await append(4);
    expect(await progress.whenPublisherDelivered('node', 4, 5_000)).toBe(true);
    expect(events).toEqual([{ type: 'gap', stream: STREAM, reason: 'lost', lost: 2, origin: 'node', before: '4-0' }]);
    expect(broken.at(-1)).toEqual(['1-0', '4-0']);
    expect(admission.counters).toEqual({ read: 2, duplicates: 0, lost: 2, rejected: 0 });
  });

  test('reports an announced entry as lost that the stream passes over', async () => {
    await start();
    await append(1);
    await progress.whenDelivered('1-0', 5_000);
    reader.announce('node', 2, '2-0');
    await until(() => events.length > 0, { what: 'the loss to be found' });
    expect(events).toMatchObject([{ type: 'gap', reason: 'lost', lost: 1, before: '2-0' }]);
  });

  test('takes no announced entry for lost while commands are executed on another log than is read', async () => {
    isShared = false;
    await start();
    await append(1);
    await progress.whenDelivered('1-0', 5_000);
    reader.announce('node', 2, '2-0');
    await new Promise((resolve) => setTimeout(resolve, 300)); // several reads
    expect(events).toEqual([]);
    isShared = true;
    reader.announce('node', 2, '2-0');
    await until(() => events.length > 0, { what: 'the loss to be found' });
  });

  test('delivers an entry once that is in the stream twice', async () => {
    await start();
    await append(1);
    await append(1, '2-0');
    await append(2, '3-0');
    await progress.whenDelivered('3-0', 5_000);
    expect(delivered).toEqual(['1-0', '3-0']);
    expect(admission.counters).toMatchObject({ read: 3, duplicates: 1, lost: 0 });
  });

  test('goes on at the last entry that both have when the stream is replaced by one without the end', async () => {
    await start();
    for (const n of [1, 2, 3]) await append(n);
    await progress.whenDelivered('3-0', 5_000);
    await redis.command('XDEL', STREAM, '3-0');
    await until(() => events.length > 0, { what: 'the replacement to be noticed' });
    expect(events).toEqual([{ type: 'stream-replaced', stream: STREAM, reason: 'rewound', position: '2-0' }]);
    expect(broken.at(-1)).toEqual(['2-0', '3-0']);
  });

  test('reports once that Redis refuses reads, waits, and reports when they succeed again', async () => {
    await start();
    await redis.command('SET', STREAM, 'no stream');
    await until(() => progress.mode === 'waiting', { what: 'a refusal' });
    expect(reader.error?.message).toContain('WRONGTYPE');
    await redis.command('DEL', STREAM);
    await until(() => progress.isReading && events.some(({ type }) => type === 'stream-recovered'), {
      what: 'reading',
    });
    expect(events.filter(({ type }) => type === 'stream-refused')).toHaveLength(1);
    expect(reader.error).toBeUndefined();
  });

  test('ends waits for entries that will not come when it is stopped', async () => {
    await start();
    const wait = progress.whenDelivered('9-0', 10_000);
    await reader.stop();
    expect(await wait).toBe(false);
    expect(progress.mode).toBe('stopped');
  });
});
