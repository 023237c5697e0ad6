import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { cutAt } from '../../lib/wire/cut.js';
import { EntryType, type LogEntry } from '../../lib/wire/entry.js';
import { ReplayLog, type OlderBatch } from '../../lib/stream/replay-log.js';
import { SessionRecipient } from '../../lib/session/session-recipient.js';
import { compareStreamIds, STREAM_START } from '../../lib/wire/stream-id.js';

const ROOMS = ['', 'a', 'b', 'c'];

interface Spec {
  nsp: string;
  rooms: string[];
  except: string[];
  /** Written by the reference adapter: without the field that names its rooms. */
  isPlain: boolean;
  type: number;
}

function toEntry({ nsp, rooms, except, isPlain, type }: Spec, i: number, all: Spec[] = []): LogEntry {
  const unnumbered = all.slice(0, i).filter((other) => other.isPlain).length;
  return {
    id: idOf(i),
    uid: 'sender',
    nsp,
    type,
    data: JSON.stringify({ packet: { type: 2, data: ['msg', i] }, opts: { rooms, except, flags: {} } }),
    ...(!isPlain && { rooms, origin: { node: 'sender', seq: i + 1 - unnumbered } }),
  };
}

/** Ids that would be out of order as strings or as doubles. */
function idOf(i: number): string {
  return i < 0 ? STREAM_START : `${9 + Math.floor(i / 3)}-${9007199254740990n + BigInt(i)}`;
}

/** A stream of which the first `trimmed` entries are gone; it counts what is read of it. */
class Stream {
  read = 0;

  constructor(
    readonly entries: LogEntry[],
    public trimmed: number,
  ) {}

  upTo(id: string, count: number): Promise<OlderBatch> {
    const before = this.entries.slice(this.trimmed).filter((entry) => compareStreamIds(entry.id, id) <= 0);
    const found = before.slice(-count).reverse();
    this.read += found.length;
    return Promise.resolve({ entries: found, oldest: found.at(-1)?.id, atStart: found.length < count });
  }
}

const specs = fc.array(
  fc.record({
    nsp: fc.constantFrom('/', '/', '/chat'),
    rooms: fc.subarray(ROOMS, { maxLength: 2 }),
    except: fc.oneof(fc.constant<string[]>([]), fc.subarray(ROOMS, { maxLength: 1 })),
    isPlain: fc.boolean(),
    type: fc.constantFrom<number>(EntryType.Broadcast, EntryType.Broadcast, EntryType.Broadcast, EntryType.SocketsJoin),
  }),
  { maxLength: 60 },
);

/** Where, in the log, a client has been in a room: from the entry after `from` to the entry `upTo`. */
const visitsOf = (length: number) =>
  fc.array(
    fc.tuple(
      fc.constantFrom(...ROOMS),
      fc.integer({ min: -1, max: length }),
      fc.option(fc.integer({ min: -1, max: length })),
    ),
    { maxLength: 4 },
  );

describe('ReplayLog', () => {
  test('gives a client each entry that was for it, once and in order, or says that it cannot', async () => {
    await fc.assert(
      fc.asyncProperty(
        specs.chain((all) =>
          fc.record({
            all: fc.constant(all),
            visits: visitsOf(all.length),
            start: fc.integer({ min: 0, max: all.length }),
            now: fc.integer({ min: 0, max: all.length }),
            trimmed: fc.integer({ min: 0, max: all.length }),
            offset: fc.integer({ min: -1, max: all.length - 1 }),
            maxEntries: fc.integer({ min: 0, max: 30 }),
            maxBytes: fc.integer({ min: 0, max: 12_000 }),
            others: fc.array(fc.integer({ min: -1, max: all.length - 1 }), { maxLength: 3 }),
          }),
        ),
        async ({ all, visits, start, now, trimmed, offset, maxEntries, maxBytes, others }) => {
          const entries = all.map(toEntry);
          now = Math.max(now, start);
          trimmed = Math.min(trimmed, now);
          const stream = new Stream(entries.slice(0, now), trimmed);
          const log = new ReplayLog({ maxEntries, maxBytes }, stream);
          log.restart(idOf(start - 1));
          entries.slice(start, now).forEach((entry) => log.push(entry));

          const joined = new Map(visits.filter(([, , upTo]) => upTo === null).map(([room, from]) => [room, from]));
          const left = visits.filter((visit): visit is [string, number, number] => visit[2] !== null);
          const recipient = new SessionRecipient('/', {
            rooms: [...joined.keys()],
            joined: [...joined].map(([room, from]) => [room, cutAt(idOf(from))]),
            left: left.map(([room, from, upTo]) => [room, cutAt(idOf(from)), cutAt(idOf(upTo))]),
          });
          const isIn = (room: string, i: number): boolean =>
            (joined.has(room) && (joined.get(room) === -1 || i > joined.get(room)!)) ||
            left.some(([name, from, upTo]) => name === room && (from === -1 || i > from) && i <= upTo);
          const isExpected = ({ nsp, rooms, except, type }: Spec, i: number): boolean =>
            nsp === '/' &&
            type === EntryType.Broadcast &&
            (rooms.length === 0 || rooms.some((room) => isIn(room, i))) &&
            !except.some((room) => isIn(room, i));

          const replays = [offset, ...others].map((from) => log.replay(cutAt(idOf(from)), recipient));
          entries.slice(now).forEach((entry) => log.push(entry)); // while older ones are being read
          for (const [n, from] of [offset, ...others].entries()) {
            const complete = await replays[n]!.complete;
            const found = replays[n]!.end().map(({ entry }) => entry.id);
            const expected = entries.filter((_, i) => i > from && isExpected(all[i]!, i)).map(({ id }) => id);
            if (complete === 'complete') {
              expect(found).toEqual(expected);
            } else {
              expect(from).toBeLessThan(trimmed); // something may be gone
            }
            expect(expected).toEqual(expect.arrayContaining(found)); // never anything that was not for it
          }
          expect(log.size).toBeLessThanOrEqual(maxEntries);
          expect(log.bytes).toBeLessThanOrEqual(maxBytes);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  test('reads what it has not once for all who need it, and no more than that', async () => {
    const all = Array.from({ length: 9_000 }, (_, i) => ({
      ...{ nsp: '/', rooms: [`room ${i % 500}`], except: [], isPlain: false, type: EntryType.Broadcast },
    }));
    const stream = new Stream(all.map(toEntry), 0);
    const log = new ReplayLog({ maxEntries: 20_000, maxBytes: 64 * 1024 * 1024 }, stream);
    log.restart(idOf(8_999));

    const replays = Array.from({ length: 500 }, (_, i) =>
      log.replay(cutAt(idOf(3_000 + i)), new SessionRecipient('/', { rooms: [`room ${i}`] })),
    );

    expect(await Promise.all(replays.map(({ complete }) => complete))).toEqual(Array(500).fill('complete'));
    expect(replays.map((replay) => replay.end().length)).toEqual(Array(500).fill(11));
    expect(stream.read).toBeLessThanOrEqual(6_000 + 3 * 1_000); // and a batch before each offset that was asked for
  });

  test('reads for many in one pass what is too much to keep', async () => {
    const all = Array.from({ length: 5_000 }, () => ({
      ...{ nsp: '/', rooms: [], except: [], isPlain: false, type: EntryType.Broadcast },
    }));
    const stream = new Stream(all.map(toEntry), 0);
    const log = new ReplayLog({ maxEntries: 100, maxBytes: 64 * 1024 * 1024 }, stream);
    log.restart(STREAM_START);
    stream.entries.forEach((entry) => log.push(entry));

    const replays = Array.from({ length: 100 }, (_, i) =>
      log.replay(cutAt(idOf(i)), new SessionRecipient('/', { rooms: [] })),
    );

    expect(await Promise.all(replays.map(({ complete }) => complete))).toEqual(Array(100).fill('complete'));
    expect(replays.map((replay) => replay.end().length)).toEqual(replays.map((_, i) => 4_999 - i));
    expect(stream.read).toBeLessThanOrEqual(2 * 5_000);
    expect(log.size).toBe(100);
  });

  test('gives an entry that was appended twice once', async () => {
    const spec = { nsp: '/', rooms: [], except: [], isPlain: false, type: EntryType.Broadcast };
    const first = Array.from({ length: 10 }, (_, i) => toEntry(spec, i));
    const again = first.slice(5).map((entry, i) => ({ ...entry, id: idOf(10 + i) }));
    for (const [start, offset] of [
      [15, 0],
      [15, 7],
      [10, 4],
      [12, 9],
    ] as const) {
      const stream = new Stream([...first, ...again], 0);
      const log = new ReplayLog({ maxEntries: 100, maxBytes: 1_000_000 }, stream);
      log.restart(idOf(start - 1));
      const replay = log.replay(cutAt(idOf(offset)), new SessionRecipient('/', { rooms: [] }));
      expect(await replay.complete).toBe('complete');
      expect(replay.end().map(({ entry }) => entry.id)).toEqual(first.slice(offset + 1).map(({ id }) => id));
    }
  });

  test('says of a gap that it does not know what was lost', async () => {
    const spec = { nsp: '/', rooms: [], except: [], isPlain: false, type: EntryType.Broadcast };
    const entries = Array.from({ length: 20 }, (_, i) => toEntry(spec, i));
    const stream = new Stream(entries, 10);
    const log = new ReplayLog({ maxEntries: 100, maxBytes: 1_000_000 }, stream);
    const recipient = new SessionRecipient('/', { rooms: [] });
    log.restart(STREAM_START);
    entries.slice(0, 5).forEach((entry) => log.push(entry));
    const early = log.replay(cutAt(idOf(2)), recipient);
    log.restart(idOf(4), idOf(9)); // entries 5 to 9 were trimmed before they were read
    entries.slice(10).forEach((entry) => log.push(entry));

    expect(await early.complete).toBe('complete'); // it was, when it was asked
    stream.trimmed = 0; // and were they there again
    expect(await log.replay(cutAt(idOf(3)), recipient).complete).toBe('lost');
    expect(await log.replay(cutAt(idOf(4)), recipient).complete).toBe('lost');
    expect(await log.replay(cutAt(idOf(8)), recipient).complete).toBe('lost');
    expect(await log.replay(cutAt(idOf(9)), recipient).complete).toBe('complete');
  });
});
