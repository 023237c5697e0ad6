import { beforeEach, describe, expect, test } from '@jest/globals';
import { CarriedOut } from '../../lib/adapter/carried-out.js';

describe('CarriedOut', () => {
  let now: number;
  let carriedOut: CarriedOut;

  beforeEach(() => {
    now = 0;
    carriedOut = new CarriedOut(() => now);
  });

  const answer = (uid: string, requestId: string, text: string | Buffer): void =>
    carriedOut.onAnswer(uid, requestId, Buffer.from(text as string));
  const answersTo = (uid: string, requestId: string): string[] | undefined =>
    carriedOut.begin(uid, requestId)?.map(String);

  test('knows a request that comes again, and what was answered; that of another server is another', () => {
    expect(answersTo('a', 'r')).toBeUndefined();
    expect(answersTo('b', 'r')).toBeUndefined();
    expect(answersTo('a', 'r')).toEqual([]);
    answer('a', 'r', '1');
    answer('a', 'r', '2');
    answer('c', 'never seen', '3');
    expect([answersTo('a', 'r'), answersTo('b', 'r')]).toEqual([['1', '2'], []]);
  });

  test('forgets a request after a minute', () => {
    answersTo('a', 'old');
    now = 59_999;
    answersTo('a', 'young');
    expect(answersTo('a', 'old')).toEqual([]);
    now = 60_000;
    answersTo('a', 'newest');
    expect([answersTo('a', 'young'), answersTo('a', 'old')]).toEqual([[], undefined]);
  });

  test('knows 10,000 requests at most', () => {
    for (let i = 0; i <= 10_000; i++) {
      answersTo('a', String(i));
    }
    expect(answersTo('a', '1')).toEqual([]);
    expect(answersTo('a', '0')).toBeUndefined();
  });

  test('keeps 256 KiB of answers at most, those to the latest requests; it still knows the others', () => {
    const large = Buffer.alloc(100 * 1024);
    for (const requestId of ['1', '2', '3', 'too large']) {
      answersTo('a', requestId);
      answer('a', requestId, requestId === 'too large' ? Buffer.alloc(257 * 1024) : large);
    }
    const counts = ['1', '2', '3', 'too large'].map((requestId) => answersTo('a', requestId)?.length);
    expect(counts).toEqual([0, 1, 1, 0]);
  });
});
