import { describe, expect, test } from '@jest/globals';
import { FetchedNumbers } from '../../lib/stream/fetched-numbers.js';
import type { LogEntry } from '../../lib/wire/entry.js';

const entry = (node: string, seq: number, prev = seq - 1): LogEntry =>
  ({ id: `${seq}-0`, origin: { node, seq }, prev }) as LogEntry;

describe('what a read has brought goes on from what was read before', () => {
  test('if each publisher goes on from its last number, or begins', () => {
    const numbers = new FetchedNumbers();
    expect(numbers.goOnWith([entry('a', 1), entry('b', 1), entry('a', 2)])).toBe(true);
    expect(numbers.goOnWith([entry('a', 3), entry('b', 2), entry('c', 1)])).toBe(true);
  });

  test('not if numbers are missing, in it or before it', () => {
    const numbers = new FetchedNumbers();
    expect(numbers.goOnWith([entry('a', 1), entry('a', 3)])).toBe(false);
    expect(numbers.goOnWith([entry('a', 4)])).toBe(true);
    expect(numbers.goOnWith([entry('a', 6)])).toBe(false);
  });

  test('although entries are there twice, or were dropped by their publisher', () => {
    const numbers = new FetchedNumbers();
    expect(numbers.goOnWith([entry('a', 1), entry('a', 1), entry('a', 5, 1)])).toBe(true);
  });

  test('not if a publisher of which nothing is known is in the middle', () => {
    const numbers = new FetchedNumbers();
    numbers.skip([entry('a', 7)]);
    expect(numbers.goOnWith([entry('a', 8)])).toBe(true);
    expect(numbers.goOnWith([entry('b', 8)])).toBe(false);
    numbers.forget();
    expect(numbers.goOnWith([entry('a', 9)])).toBe(false);
  });

  test('as far as is known, if entries have no numbers', () => {
    const numbers = new FetchedNumbers();
    expect(numbers.goOnWith([{ id: '1-0', origin: undefined } as LogEntry])).toBe(true);
  });
});
