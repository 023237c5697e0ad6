import { describe, expect, test } from '@jest/globals';
import { lookBack } from '../../lib/stream/look-back.js';
import type { LogEntry } from '../../lib/wire/entry.js';
import { compareStreamIds, STREAM_START } from '../../lib/wire/stream-id.js';

/** A stream of entries with these times, and so many characters of data each. */
function streamOf(times: readonly number[], characters = 10) {
  const asked: number[] = [];
  const entries = times.map((time): LogEntry => ({
    id: `${time}-0`,
    uid: 'a',
    nsp: '/',
    type: 3,
    data: 'x'.repeat(characters),
  }));
  const read = (upTo: string, count: number): Promise<LogEntry[]> => {
    asked.push(count);
    const before = entries.filter(({ id }) => upTo === '+' || compareStreamIds(id, upTo) <= 0);
    return Promise.resolve(before.reverse().slice(0, count));
  };
  return { read, asked };
}

/** One entry each `step` milliseconds, the last of them late enough for none to be before the epoch. */
function times(count: number, step = 1): number[] {
  return Array.from({ length: count }, (_, i) => 1_000_000 + i * step);
}

describe('lookBack', () => {
  test('of a stream without entries finds none, and nothing is unknown', async () => {
    expect(await lookBack(streamOf([]).read)).toEqual({ entries: [], completeAfter: STREAM_START });
  });

  test.each([1, 15, 16, 17, 79, 80, 81, 1_023])('finds all of %i entries, oldest first', async (count) => {
    const { entries, completeAfter } = await lookBack(streamOf(times(count)).read);
    expect(entries.map(({ id }) => id)).toEqual(times(count).map((time) => `${time}-0`));
    expect(completeAfter).toBe(STREAM_START);
  });

  test('ends after 1,024 entries, and says since when it knows all', async () => {
    const { entries, completeAfter } = await lookBack(streamOf(times(5_000)).read);
    expect(entries).toHaveLength(1_024);
    expect(completeAfter).toBe(entries[0]!.id);
    expect(entries.at(-1)!.id).toBe(`${times(5_000).at(-1)}-0`);
  });

  test('ends with entries that are a minute older than the last one: nobody sends them again', async () => {
    const { entries, completeAfter } = await lookBack(streamOf(times(5_000, 1_000)).read);
    expect(entries.length).toBeLessThan(100);
    expect(completeAfter).toBe(STREAM_START);
  });

  test('reads about a mebibyte at most, of entries that are not so large that 16 of them are more', async () => {
    const { entries, completeAfter } = await lookBack(streamOf(times(5_000), 10_000).read);
    expect(entries.length).toBeGreaterThan(90);
    expect(entries.length).toBeLessThan(106);
    expect(completeAfter).toBe(entries[0]!.id);
  });

  test('reads 16 entries if they are large', async () => {
    const { read, asked } = streamOf(times(100), 100_000);
    const { entries, completeAfter } = await lookBack(read);
    expect([entries.length, asked]).toEqual([16, [16]]);
    expect(completeAfter).toBe(entries[0]!.id);
  });
});
