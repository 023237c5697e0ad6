import { describe, expect, test } from '@jest/globals';
import { within, withinOr } from '../../lib/time/within.js';

describe('within', () => {
  test('gives what the promise resolves to in time, and undefined if it does not', async () => {
    expect(await within(10_000, Promise.resolve('value'))).toBe('value');
    expect(await within(1, new Promise(() => undefined))).toBeUndefined();
  });

  test('throws what the promise is rejected with in time, and ignores a later rejection', async () => {
    await expect(within(10_000, Promise.reject(new Error('no')))).rejects.toThrow('no');
    let reject!: (error: Error) => void;
    expect(await within(1, new Promise((_, fail) => (reject = fail)))).toBeUndefined();
    reject(new Error('too late'));
    await new Promise((resolve) => setImmediate(resolve));
  });
});

describe('withinOr', () => {
  const late = new Error('too late');

  test('gives what the promise resolves to in time, undefined too, and throws the given error otherwise', async () => {
    expect(await withinOr<unknown>(10_000, Promise.resolve(undefined), late)).toBeUndefined();
    await expect(withinOr(1, new Promise(() => undefined), late)).rejects.toBe(late);
  });

  test('throws what the promise is rejected with in time', async () => {
    await expect(withinOr(10_000, Promise.reject(new Error('no')), late)).rejects.toThrow('no');
  });
});
