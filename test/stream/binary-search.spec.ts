import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { binarySearch } from '../../lib/stream/binary-search.js';

describe('binarySearch', () => {
  test('finds what a search through all finds, and the end if there is nothing', () => {
    const sorted = fc.array(fc.nat(20), { maxLength: 30 }).map((values) => values.sort((a, b) => a - b));
    fc.assert(
      fc.property(sorted, fc.nat(30), fc.nat(21), (values, from, wanted) => {
        const start = Math.min(from, values.length);
        const found = values.findIndex((value, i) => i >= start && value >= wanted);
        const expected = found < 0 ? values.length : found;
        expect(binarySearch(start, values.length, (i) => values[i]! < wanted)).toBe(expected);
      }),
    );
  });
});
