import { beforeEach, describe, expect, test } from '@jest/globals';
import { PayloadTooLargeError } from '../../lib/redis/errors.js';
import { RefusedSize } from '../../lib/redis/refused-size.js';

describe('RefusedSize', () => {
  const MEGABYTE = 1024 * 1024;
  const refusal = new Error('ERR Protocol error: invalid bulk length');
  const loss = new Error('Connection is closed.');
  let size: RefusedSize;
  const isKnown = (bytes: number): boolean => {
    try {
      size.check(bytes);
      return false;
    } catch (error) {
      expect(error).toBeInstanceOf(PayloadTooLargeError);
      return true;
    }
  };

  beforeEach(() => {
    size = new RefusedSize();
  });

  test('knows from which size on a server refuses, once it has said so', () => {
    expect(isKnown(Number.MAX_SAFE_INTEGER)).toBe(false);
    const error = size.onFailed(MEGABYTE, refusal);
    expect(error).toBeInstanceOf(PayloadTooLargeError);
    expect(error).toMatchObject({ bytes: MEGABYTE, cause: refusal });
    expect([MEGABYTE - 1, MEGABYTE, 2 * MEGABYTE].map(isKnown)).toEqual([false, true, true]);
  });

  test('believes a connection that is lost twice in a row while something so large is under way', () => {
    expect(size.onFailed(MEGABYTE, loss)).toBe(loss);
    expect(isKnown(MEGABYTE)).toBe(false);
    size.onSent(100);
    expect(size.onFailed(MEGABYTE, loss)).toBeInstanceOf(PayloadTooLargeError);
    expect(isKnown(MEGABYTE)).toBe(true);
  });

  test('does not believe it if as much was accepted in between, or if little was under way', () => {
    size.onFailed(MEGABYTE, loss);
    size.onSent(MEGABYTE);
    size.onFailed(MEGABYTE, loss);
    expect(isKnown(MEGABYTE)).toBe(false);
    expect(size.onFailed(100, loss)).toBe(loss);
    expect(size.onFailed(100, loss)).toBe(loss);
    expect(isKnown(100)).toBe(false);
  });

  test('sends nothing that is known to be refused, and notes what becomes of the rest', async () => {
    const sent: number[] = [];
    const send = (bytes: number, outcome: Promise<void>): Promise<void> =>
      size.guard(bytes, () => {
        sent.push(bytes);
        return outcome;
      });
    await expect(send(MEGABYTE, Promise.reject(refusal))).rejects.toThrow(PayloadTooLargeError);
    await expect(send(MEGABYTE, Promise.resolve())).rejects.toThrow(PayloadTooLargeError);
    await expect(send(100, Promise.reject(loss))).rejects.toBe(loss);
    await send(MEGABYTE - 1, Promise.resolve());
    expect(sent).toEqual([MEGABYTE, 100, MEGABYTE - 1]);
  });
});
