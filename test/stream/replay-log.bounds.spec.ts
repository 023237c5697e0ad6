import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { cutAt } from '../../lib/wire/cut.js';
import { EntryType, type LogEntry } from '../../lib/wire/entry.js';
import { ReplayLog, type OlderEntries, type ReplayItem } from '../../lib/stream/replay-log.js';
import type { Recipient } from '../../lib/stream/recipient.js';
import { compareStreamIds } from '../../lib/wire/stream-id.js';

interface Sent {
  rooms?: string[];
  except?: string[];
  nsp?: string;
  /** As the reference writes it: its rooms are told by decoding only. */
  byReference?: boolean;
  type?: number;
}

let lastSeq = 0;

/** The entry number `n`, whose id is `n-0`. */
function entry(n: number, { rooms = [], except = [], nsp = '/', byReference, type }: Sent = {}): LogEntry {
  return {
    id: `${n}-0`,
    uid: 'node',
    nsp,
    type: type ?? EntryType.Broadcast,
    data: JSON.stringify({ packet: { type: 2, data: ['event', n] }, opts: { rooms, except, flags: {} } }),
    ...(byReference ? {} : { rooms, origin: { node: 'node', seq: ++lastSeq } }),
  };
}

function recipient(rooms: string[], nsp = '/'): Recipient {
  return { nsp, rooms, wasIn: (room) => rooms.includes(room) };
}

const ids = (entries: LogEntry[]): string[] => entries.map(({ id }) => id);
const idsOf = (items: ReplayItem[]): (string | undefined)[] => items.map(({ entry }) => entry.id);

/** A stream in memory. */
class Stream implements OlderEntries {
  readonly entries: LogEntry[] = [];
  reads = 0;
  isAway = false;
  private waiting: (() => void)[] = [];
  private isHeld = false;

  append(...entries: LogEntry[]): void {
    this.entries.push(...entries);
  }

  /** Removes the oldest. */
  trim(count: number): void {
    this.entries.splice(0, count);
  }

  /** Answers only when `release` is called. */
  hold(): void {
    this.isHeld = true;
  }

  release(): void {
    this.isHeld = false;
    this.waiting.splice(0).forEach((answer) => answer());
  }

  async upTo(id: string, count: number): ReturnType<OlderEntries['upTo']> {
    this.reads++;
    if (this.isAway) {
      throw new Error('Redis is away');
    }
    if (this.isHeld) {
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
    const found = this.entries.filter((one) => compareStreamIds(one.id, id) <= 0);
    const entries = found.slice(-count).reverse();
    return { entries, oldest: entries.at(-1)?.id, atStart: entries.length < count };
  }
}

const LARGE = { maxEntries: 1_000_000, maxBytes: 1_000_000_000 };

/** A log whose node began to read after the first `before` entries of the stream. */
function logOf(sent: Sent[], { before = 0, limits = LARGE } = {}): { log: ReplayLog; stream: Stream } {
  const stream = new Stream();
  const log = new ReplayLog(limits, stream);
  sent.forEach((one, i) => stream.append(entry(i + 1, one)));
  log.restart(`${before}-0`);
  stream.entries.slice(before).forEach((one) => log.push(one));
  return { log, stream };
}

async function replayed(log: ReplayLog, offset: number, of: Recipient): Promise<(string | undefined)[] | undefined> {
  const replay = log.replay(cutAt(`${offset}-0`), of);
  const complete = await replay.complete;
  const items = replay.end();
  return complete === 'complete' ? idsOf(items) : undefined;
}

describe('ReplayLog', () => {
  test('gives what came after the offset and is for the client, without asking Redis', async () => {
    const { log, stream } = logOf([
      {},
      { rooms: ['a'] },
      { rooms: ['b'] },
      { rooms: ['a', 'b'] },
      { except: ['a'] },
      { nsp: '/other' },
      { type: EntryType.SocketsJoin },
      { rooms: ['a'], byReference: true },
      { rooms: ['b'], byReference: true },
      {},
    ]);
    expect(await replayed(log, 1, recipient(['a']))).toEqual(['2-0', '4-0', '8-0', '10-0']);
    expect(await replayed(log, 0, recipient([]))).toEqual(['1-0', '5-0', '10-0']);
    expect(await replayed(log, 10, recipient(['a']))).toEqual([]);
    expect(await replayed(log, 0, recipient(['a'], '/other'))).toEqual(['6-0']);
    expect(stream.reads).toBe(0);
  });

  test('goes on collecting for a client until that is ended', async () => {
    const { log } = logOf([{}]);
    const replay = log.replay(cutAt('0-0'), recipient(['a']));
    log.push(entry(2, { rooms: ['a'] }));
    expect(await replay.complete).toBe('complete');
    log.push(entry(3, { rooms: ['b'] }));
    log.push(entry(4));
    expect(idsOf(replay.end())).toEqual(['1-0', '2-0', '4-0']);
  });

  test('holds no more entries and bytes than it is allowed', () => {
    const few = logOf([], { limits: { maxEntries: 100, maxBytes: 1_000_000 } }).log;
    const small = logOf([], { limits: { maxEntries: 100_000, maxBytes: 100_000 } }).log;
    let [entries, bytes] = [0, 0];
    for (let n = 1; n <= 5_000; n++) {
      few.push(entry(n, { rooms: [`room ${n}`] }));
      small.push(entry(n, { rooms: [`room ${n}`] }));
      entries = Math.max(entries, few.size);
      bytes = Math.max(bytes, small.bytes);
    }
    expect(entries).toBe(100);
    expect(bytes).toBeLessThanOrEqual(100_000);
    expect(bytes).toBeGreaterThan(90_000);
  });

  test('removes a 128th of its entries at once when they are too many, and replays these all the same', async () => {
    const rooms = ['a'];
    const { log, stream } = logOf(new Array<Sent>(1_280).fill({ rooms }), {
      limits: { maxEntries: 1_280, maxBytes: 1e9 },
    });
    expect(log.size).toBe(1_280);
    const last = entry(1_281, { rooms });
    stream.append(last);
    log.push(last);
    expect(log.size).toBe(1_270);

    const expected = Array.from({ length: 1_280 }, (_, i) => `${i + 2}-0`);
    expect(await replayed(log, 1, recipient(rooms))).toEqual(expected);
    expect(stream.reads).toBeGreaterThan(0);
  });

  test('reads what it has no room for each time, and keeps within its bounds', async () => {
    const { log } = logOf(
      Array.from({ length: 500 }, () => ({})),
      { before: 450, limits: { maxEntries: 100, maxBytes: 1_000_000 } },
    );
    for (const offset of [10, 200, 460]) {
      expect((await replayed(log, offset, recipient([])))!.length).toBe(500 - offset);
      expect(log.size).toBeLessThanOrEqual(100);
    }
  });

  test('does not recover a client of which something has been trimmed, or may have been', async () => {
    const { log, stream } = logOf([{}, { rooms: ['a'] }, {}, {}], { before: 4 });
    stream.trim(2);
    expect(await replayed(log, 1, recipient(['a']))).toBeUndefined();
    expect(await replayed(log, 2, recipient(['a']))).toBeUndefined(); // who knows what was between 2-0 and 3-0
    expect(await replayed(log, 3, recipient(['a']))).toEqual(['4-0']);
  });

  test('recovers a quiet client although its offset has been trimmed, if nothing for it has come since', async () => {
    const { log, stream } = logOf(
      [{ rooms: ['quiet'] }, ...Array.from({ length: 1_000 }, () => ({ rooms: ['busy'] }))],
      { limits: { maxEntries: 10, maxBytes: 1_000_000 } },
    );
    stream.trim(995);
    expect(await replayed(log, 1, recipient(['quiet']))).toEqual([]);
    expect(stream.reads).toBe(0);
    expect(await replayed(log, 1, recipient(['busy']))).toBeUndefined();
    log.push(entry(1_002));
    expect(await replayed(log, 1, recipient(['quiet']))).toEqual(['1002-0']);
  });

  test('remembers the rooms of what has left it within bounds, and rather refuses than guesses', async () => {
    const { log } = logOf([], { limits: { maxEntries: 1, maxBytes: 1_000_000 } });
    for (let n = 1; n <= 50_000; n++) {
      log.push(entry(n, { rooms: [`room ${n}`] }));
    }
    expect(await replayed(log, 1, recipient(['room 1']))).toBeUndefined();
    expect(await replayed(log, 40_000, recipient(['room 1']))).toEqual([]);
  });

  test('forgets everything when what it has is not the whole', async () => {
    const { log, stream } = logOf([{}, {}, {}]);
    stream.trim(3);
    log.restart('3-0');
    expect(await replayed(log, 1, recipient([]))).toBeUndefined();
    expect(await replayed(log, 3, recipient([]))).toEqual([]);
  });

  test('refuses what it was reading when the history was replaced meanwhile', async () => {
    const { log, stream } = logOf([{}, {}, {}], { before: 3 });
    stream.hold();
    const replay = log.replay(cutAt('1-0'), recipient([]));
    log.restart('0-0');
    stream.release();
    expect(await replay.complete).toBe('lost');
    replay.end();
  });

  test('refuses when Redis cannot be asked, and finds it the next time', async () => {
    const { log, stream } = logOf([{}, {}, {}], { before: 3 });
    stream.isAway = true;
    expect(await replayed(log, 1, recipient([]))).toBeUndefined();
    stream.isAway = false;
    expect(await replayed(log, 1, recipient([]))).toEqual(['2-0', '3-0']);
  });

  const ROOMS = ['', 'a', 'b', 'c'];
  const sent: fc.Arbitrary<Sent> = fc.record({
    rooms: fc.subarray(ROOMS).map((rooms) => [...rooms]),
    except: fc.subarray(ROOMS, { maxLength: 1 }).map((rooms) => [...rooms]),
    nsp: fc.constantFrom('/', '/', '/other'),
    byReference: fc.boolean(),
  });
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ push: fc.array(sent, { minLength: 1, maxLength: 6 }) }) },
    { weight: 1, arbitrary: fc.record({ trim: fc.nat(4) }) },
    {
      weight: 3,
      arbitrary: fc.record({
        offset: fc.nat(40),
        rooms: fc.subarray(ROOMS).map((rooms) => [...rooms]),
        hold: fc.boolean(),
      }),
    },
    { weight: 1, arbitrary: fc.constant({ release: true as const }) },
  );

  test('knows the numbers of what came while it read what is older', async () => {
    const { log, stream } = logOf([{}, {}], { before: 2, limits: { ...LARGE, maxEntries: 3 } });
    const push = (n: number, seq: number): void => {
      const one = { ...entry(n), uid: 'publisher', origin: { node: 'publisher', seq } };
      stream.append(one);
      log.push(one);
    };
    stream.hold();
    const first = replayed(log, 1, recipient([]));
    await Promise.resolve();
    push(3, 1);
    push(4, 2);
    stream.release();
    expect(await first).toEqual(['2-0', '3-0', '4-0']);
    push(5, 3);
    push(6, 4);
    expect(await replayed(log, 2, recipient([]))).toEqual(['3-0', '4-0', '5-0', '6-0']); // 3-0 is read again
  });

  test('notices what is missing between what came while it read, and what it read', async () => {
    const { log, stream } = logOf([{}, {}, {}, {}], { before: 4 });
    stream.hold();
    const replay = log.replay(cutAt('2-0'), recipient([]));
    await Promise.resolve();
    log.push({ ...entry(5), origin: { node: 'node', seq: lastSeq + 3 } });
    stream.release();
    expect(await replay.complete).toBe('lost');
  });

  test('gives what a search through the whole history gives, or refuses, whatever happens while it reads', async () => {
    let refused = 0;
    let completed = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 5, maxLength: 40 }),
        fc.nat(20),
        fc.record({ maxEntries: fc.nat(30), maxBytes: fc.constantFrom(1_500, 1_000_000) }),
        async (steps, before, limits) => {
          const stream = new Stream();
          const log = new ReplayLog(limits, stream);
          const history: LogEntry[] = [];
          const append = (one: Sent): LogEntry => {
            const appended = entry(history.length + 1, one);
            history.push(appended);
            stream.append(appended);
            return appended;
          };
          for (let i = 0; i < before; i++) {
            append({ rooms: [ROOMS[i % 4]!].filter(Boolean) });
          }
          log.restart(`${before}-0`);
          const outcomes: Promise<void>[] = [];
          for (const one of steps) {
            if ('push' in one) {
              one.push.forEach((each) => log.push(append(each)));
            } else if ('trim' in one) {
              stream.trim(one.trim);
            } else if ('release' in one) {
              stream.release();
            } else {
              if (one.hold) stream.hold();
              outcomes.push(check(one.offset % (history.length + 1), one.rooms));
            }
            await Promise.resolve();
          }
          stream.release();
          await Promise.all(outcomes);
          expect(log.size).toBeLessThanOrEqual(limits.maxEntries);

          async function check(offset: number, rooms: string[]): Promise<void> {
            const replay = log.replay(cutAt(`${offset}-0`), recipient(rooms));
            const complete = await replay.complete;
            const given = idsOf(replay.end());
            if (complete === 'complete') {
              completed++;
              expect(given).toEqual(ids(search(history, offset, rooms)));
            } else {
              refused++;
              // Only if the client's last entry is gone, so that others after it may be.
              expect(oldestOf(stream)).toBeGreaterThan(offset);
            }
          }
        },
      ),
      { numRuns: 500 },
    );
    expect(completed).toBeGreaterThan(100);
    expect(refused).toBeGreaterThan(10);
  });

  function oldestOf({ entries }: Stream): number {
    return entries.length > 0 ? Number.parseInt(entries[0]!.id) : Infinity;
  }

  /** What was for a client of these rooms, as Socket.IO's adapters decide it. */
  function search(history: LogEntry[], offset: number, rooms: string[]): LogEntry[] {
    return history.slice(offset).filter(({ nsp, data }) => {
      const { opts } = JSON.parse(data) as { opts: { rooms: string[]; except: string[] } };
      const included = opts.rooms.length === 0 || opts.rooms.some((room) => rooms.includes(room));
      return nsp === '/' && included && !opts.except.some((room) => rooms.includes(room));
    });
  }
});
