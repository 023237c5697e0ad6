import { describe, expect, test } from '@jest/globals';
import { OlderBatches } from '../../lib/stream/older-batches.js';
import { weightOf, type LogEntry } from '../../lib/wire/entry.js';
import { parseEntry } from '../../lib/wire/parse-entry.js';

const entry = (n: number): LogEntry => parseEntry(`${n}-0`, ['uid', 'a', 'nsp', '/', 'type', '3', 'data', '{}']);
const batch = (...numbers: number[]): LogEntry[] => numbers.map(entry);
const idsOf = (batches: OlderBatches): string[] => batches.entries().map(({ id }) => id);

describe('OlderBatches', () => {
  test('give what was read backwards, batch by batch, oldest first', () => {
    const batches = new OlderBatches(100, 1_000_000);
    expect([batches.add(batch(7, 8, 9), '6-0'), batches.add(batch(4, 5, 6), '3-0'), batches.floor]).toEqual([
      ...[true, true, '3-0'],
    ]);
    expect(idsOf(batches)).toEqual(['4-0', '5-0', '6-0', '7-0', '8-0', '9-0']);
  });

  test.each<[string, OlderBatches]>([
    ['entries', new OlderBatches(3, 1_000_000)],
    ['bytes', new OlderBatches(100, 3 * weightOf(entry(1)))],
  ])('keep the newest for which there is room, by %s, and nothing older, so that there is no gap', (_what, batches) => {
    expect(batches.add(batch(8, 9), '7-0')).toBe(true);
    expect(batches.add(batch(6, 7), '5-0')).toBe(false);
    expect(batches.add(batch(), '4-0')).toBe(false);
    expect([idsOf(batches), batches.floor]).toEqual([['8-0', '9-0'], '7-0']);
  });

  test('have no floor while nothing is kept', () => {
    const batches = new OlderBatches(1, 1_000_000);
    expect([batches.add(batch(1, 2), '0-0'), batches.floor, idsOf(batches)]).toEqual([false, undefined, []]);
  });
});
