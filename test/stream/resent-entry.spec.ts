import { describe, expect, test } from '@jest/globals';
import type { OlderEntries } from '../../lib/stream/replay-log.js';
import { lastBefore } from '../../lib/stream/resent-entry.js';
import { EntryType, type LogEntry } from '../../lib/wire/entry.js';
import { compareStreamIds } from '../../lib/wire/stream-id.js';

/** As many entries as are there, each of the publisher that `nodeOf` gives, numbered as their ids are. */
function stream(length: number, nodeOf: (n: number) => string): OlderEntries {
  const all = Array.from({ length }, (_, i): LogEntry => {
    const origin = { node: nodeOf(i + 1), seq: i + 1 };
    return { id: `${i + 1}-0`, uid: origin.node, nsp: '/', type: EntryType.Broadcast, data: '{}', origin };
  });
  return {
    upTo: async (id, count) => {
      const entries = all.filter((entry) => compareStreamIds(entry.id, id) <= 0).slice(-count);
      return { entries: entries.reverse(), oldest: entries.at(-1)?.id, atStart: entries.length < count };
    },
  };
}

const origin = { node: 'publisher', seq: 900 };
const never = new AbortController().signal;
const noPause = async (): Promise<void> => undefined;

describe('lastBefore', () => {
  test("finds the publisher's latest entry before the given one, however many of others lie between", async () => {
    const older = stream(1_000, (n) => (n === 3 || n === 7 || n >= 950 ? 'publisher' : 'other'));
    expect(await lastBefore(origin, '950-0', older, noPause, never)).toEqual({ node: 'publisher', seq: 7 });
  });

  test('finds nothing if the stream has no entry of the publisher', async () => {
    expect(
      await lastBefore(
        origin,
        '950-0',
        stream(1_000, () => 'other'),
        noPause,
        never,
      ),
    ).toBeUndefined();
    expect(
      await lastBefore(
        origin,
        '1-0',
        stream(0, () => 'other'),
        noPause,
        never,
      ),
    ).toBeUndefined();
  });

  test('goes on after a read that has failed, with a pause, until the search is given up', async () => {
    const older = stream(10, () => 'publisher');
    let failures = 3;
    let pauses = 0;
    const pause = async (): Promise<void> => void pauses++;
    const flaky: OlderEntries = {
      upTo: async (id, count) => {
        if (failures-- > 0) throw new Error('Redis is away');
        return older.upTo(id, count);
      },
    };
    expect(await lastBefore(origin, '10-0', flaky, pause, never)).toEqual({ node: 'publisher', seq: 9 });
    expect(pauses).toBe(3);
    const stopping = new AbortController();
    const away: OlderEntries = { upTo: async () => Promise.reject(new Error('Redis is away')) };
    const stop = async (): Promise<void> => stopping.abort();
    expect(await lastBefore(origin, '10-0', away, stop, stopping.signal)).toBeUndefined();
  });
});
