import { describe, expect, test } from '@jest/globals';
import { RedisClientError, RedisTimeoutError } from '../../lib/redis/errors.js';
import { isTooLarge, sizeVerdict } from '../../lib/redis/size-refusal.js';

const KB = 1024;

describe('sizeVerdict', () => {
  test.each([
    'ERR Protocol error: invalid bulk length',
    'ERR Protocol error: too big mbulk count string',
    'ERR max request size exceeded',
    'ERR request is too large',
    'ERR string exceeds maximum allowed size (proto-max-bulk-len)',
  ])('is refused when the server says so: %s', (text) => {
    expect([isTooLarge(new Error(text)), sizeVerdict(new Error(text), 1)]).toEqual([true, 'refused']);
  });

  test('is suspect when the connection was lost while something large was under way', () => {
    const lost = new Error('read ECONNRESET');
    expect([sizeVerdict(lost, 256 * KB), sizeVerdict(lost, 256 * KB - 1)]).toEqual(['suspect', 'no']);
  });

  test('is no for what was not sent, was not answered in time, or was refused for something else', () => {
    const errors = [
      new RedisClientError('closed'),
      new RedisTimeoutError('silent'),
      new Error('OOM command not allowed'),
    ];
    expect(errors.map((error) => sizeVerdict(error, 10_000 * KB))).toEqual(['no', 'no', 'no']);
  });
});
