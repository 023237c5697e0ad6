import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { compareStreamIds, isStreamId, predecessor, STREAM_START } from '../../lib/wire/stream-id.js';

const uint64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
// Small parts too, so that ids with the same part come up.
const part = fc.oneof(uint64, fc.bigInt({ min: 0n, max: 3n }));
const id = fc.tuple(part, part);
const text = ([ms, seq]: [bigint, bigint]): string => `${ms}-${seq}`;

describe('stream ids', () => {
  test('are compared as two 64-bit numbers', () => {
    fc.assert(
      fc.property(id, id, (a, b) => {
        const expected = a[0] !== b[0] ? (a[0] < b[0] ? -1 : 1) : a[1] === b[1] ? 0 : a[1] < b[1] ? -1 : 1;
        expect(Math.sign(compareStreamIds(text(a), text(b)))).toBe(expected);
      }),
    );
  });

  test.each([
    ['9-0', '10-0'],
    ['1-9', '1-10'],
    ['1700000000000-9007199254740993', '1700000000000-9007199254740994'],
    ['18446744073709551614-0', '18446744073709551615-0'],
    [STREAM_START, '0-1'],
  ])('%s comes before %s', (a, b) => {
    expect(compareStreamIds(a, b)).toBeLessThan(0);
    expect(compareStreamIds(b, a)).toBeGreaterThan(0);
    expect(compareStreamIds(a, a)).toBe(0);
  });

  test.each([
    ['1-1', '1-0'],
    ['1-0', '0-18446744073709551615'],
    ['1700000000000-0', '1699999999999-18446744073709551615'],
    ['1700000000000-18446744073709551615', '1700000000000-18446744073709551614'],
    ['18446744073709551615-0', '18446744073709551614-18446744073709551615'],
    ['10-0', '9-18446744073709551615'],
    ['0-1', STREAM_START],
    [STREAM_START, STREAM_START],
  ])('%s is preceded by %s, with none in between', (one, before) => {
    expect(predecessor(one)).toBe(before);
    expect(isStreamId(before)).toBe(true);
  });

  test('each come right after their predecessor', () => {
    const next = (ms: bigint, seq: bigint): [bigint, bigint] =>
      seq === 2n ** 64n - 1n ? [ms + 1n, 0n] : [ms, seq + 1n];
    const notLast = id.filter(([ms]) => ms < 2n ** 64n - 1n);
    fc.assert(fc.property(notLast, (one) => expect(predecessor(text(next(...one)))).toBe(text(one))));
  });

  test('are recognised in their only form', () => {
    fc.assert(fc.property(id, (one) => expect(isStreamId(text(one))).toBe(true)));
  });

  test('are distinguished from everything else, which a client may send', () => {
    const others: unknown[] = [
      ...['', '-', '1', '1-', '-1', '1-1-1', '01-1', '1-01', '1--1', '+1-1', '1.0-1', '1e3-1', ' 1-1', '1-1 ', '1-1\n'],
      ...['$', '*', '(1-1', '-inf', 'NaN-1', '٣-1', '1-1\0', '18446744073709551616-0', '0-18446744073709551616'],
      ...['99999999999999999999-0', '9'.repeat(100_000), null, undefined, 1, 1n, {}, ['1-1'], new String('1-1')],
    ];
    expect(others.filter(isStreamId)).toEqual([]);
  });
});
