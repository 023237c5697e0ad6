import { beforeEach, describe, expect, test } from '@jest/globals';
import { OwnLanes } from '../../lib/stream/own-lanes.js';
import { ReplayLog } from '../../lib/stream/replay-log.js';
import { ReplayMemory } from '../../lib/stream/replay-memory.js';
import type { Recipient } from '../../lib/stream/recipient.js';
import { cutAt } from '../../lib/wire/cut.js';
import { EntryType, type LogEntry, type LogMessage } from '../../lib/wire/entry.js';

const recipient: Recipient = { nsp: '/', rooms: ['red'], wasIn: (room) => room === 'red' };

describe('ReplayMemory', () => {
  let lanes: OwnLanes;
  let log: ReplayLog;
  let memory: ReplayMemory;

  beforeEach(() => {
    lanes = new OwnLanes('me', 'local-first');
    log = new ReplayLog(
      { maxEntries: 100, maxBytes: 1_000_000 },
      { upTo: () => Promise.reject(new Error('not asked')) },
    );
    const cut = { offset: () => 'now', offsetAt: ({ id }: LogEntry) => id };
    memory = new ReplayMemory(log, lanes, cut, { maxEntries: 10, maxBytes: 100_000 });
  });

  function message(n: number): LogMessage {
    const data = { packet: { type: 2, data: ['msg', n] }, opts: { rooms: ['red'], except: [], flags: {} } };
    return { uid: 'me', nsp: '/', type: EntryType.Broadcast, data };
  }

  /** Takes a message, as the log does at the call. */
  function take(n: number): LogEntry {
    const origin = lanes.main.next();
    const one = message(n);
    memory.onTaken(one, JSON.stringify(one.data), origin);
    return {
      id: `${n}-0`,
      uid: 'me',
      nsp: '/',
      type: one.type,
      data: JSON.stringify(one.data),
      rooms: ['red'],
      origin,
    };
  }

  function readBack(entry: LogEntry): void {
    lanes.main.appended = entry.origin!.seq;
    lanes.main.readUpTo(entry.origin!.seq);
    memory.onRead(entry, lanes.main);
  }

  /** What a client of the room has missed since the start, and whether that is all. */
  async function missed(): Promise<[string, number[]]> {
    const replay = log.replay(cutAt('0-0'), recipient);
    const outcome = await replay.complete;
    return [outcome, replay.end().map(({ entry }) => Number(/"msg",(\d+)/.exec(entry.data)![1]))];
  }

  test('remembers nothing before it begins', () => {
    readBack(take(1));
    expect(log.size).toBe(0);
  });

  test('has an own entry from the call on, and once, wherever it is on its way', async () => {
    memory.begin('0-0');
    const [first, second] = [take(1), take(2)];
    expect(await missed()).toEqual(['complete', [1, 2]]);
    readBack(first);
    expect(await missed()).toEqual(['complete', [1, 2]]);
    readBack(second);
    expect(await missed()).toEqual(['complete', [1, 2]]);
    expect(log.size).toBe(2);
  });

  test('gives nobody an own entry that the outbox has dropped', async () => {
    memory.begin('0-0');
    take(1);
    const second = take(2);
    memory.onDropped(lanes.main, 1);
    readBack(second);
    expect(await missed()).toEqual(['complete', [2]]);
  });

  test('does not keep own entries that are known to be lost', async () => {
    memory.begin('0-0');
    take(1);
    lanes.main.readUpTo(1);
    memory.onProgress();
    expect(await missed()).toEqual(['complete', []]);
  });
});
