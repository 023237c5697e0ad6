import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { PendingRequests } from '../../lib/adapter/pending-requests.js';
import type { Census } from '../../lib/cluster/request-bus.js';

describe('a request', () => {
  let present: Census;
  let requests: PendingRequests;
  let outcomes: { error: string | undefined; responses: unknown[] }[];

  beforeEach(() => {
    outcomes = [];
    present = census(['a', 'b']);
    requests = new PendingRequests(async () => ({ named: new Set(present.named), others: present.others }));
  });
  afterEach(() => requests.close());

  function census(named: string[], others = 0): Census {
    return { named: new Set(named), others };
  }

  function ask(timeout = 60_000): void {
    requests.open('id', census([...present.named], present.others), timeout, [], (error, responses) =>
      outcomes.push({ error: error?.message, responses }),
    );
  }

  const answered = (...responses: unknown[]) => [{ error: undefined, responses }];

  test('ends when all have answered', () => {
    ask();
    requests.answer('id', 'a', ['one']);
    expect(outcomes).toEqual([]);
    requests.answer('id', 'b', ['two', 'three']);
    expect(outcomes).toEqual(answered('one', 'two', 'three'));
    expect(requests.size).toBe(0);
  });

  test('ends at once when there is nobody to answer', () => {
    present = census([]);
    ask();
    expect(outcomes).toEqual(answered());
  });

  test('takes the first answer of each, and none after its end', () => {
    ask();
    requests.answer('id', 'a', ['one']);
    requests.answer('id', 'a', ['again']);
    requests.answer('other', 'b', ['to another']);
    expect(outcomes).toEqual([]);
    requests.answer('id', 'b', ['two']);
    requests.answer('id', 'b', ['late']);
    expect(outcomes).toEqual(answered('one', 'two'));
  });

  test('counts the answers of servers that have no heartbeat', () => {
    present = census(['a'], 2);
    ask();
    ['a', 'x', 'y'].forEach((uid) => requests.answer('id', uid, [uid]));
    expect(outcomes).toEqual(answered('a', 'x', 'y'));
  });

  test('does not wait for those that are gone', async () => {
    present = census(['a', 'b'], 2);
    ask();
    requests.answer('id', 'a', ['a']);
    requests.answer('id', 'x', ['x']);
    present = census(['a'], 1);
    await requests.recheck();
    expect(outcomes).toEqual(answered('a', 'x'));
  });

  test('waits for those that have become known since it was sent', async () => {
    present = census([], 2);
    ask();
    requests.answer('id', 'a', ['a']);
    present = census(['a', 'b']);
    await requests.recheck();
    expect(outcomes).toEqual([]);
    requests.answer('id', 'b', ['b']);
    expect(outcomes).toEqual(answered('a', 'b'));
  });

  test('does not wait for those that have come since it was sent', async () => {
    ask();
    requests.answer('id', 'a', ['a']);
    present = census(['a', 'c'], 1);
    await requests.recheck();
    expect(outcomes).toEqual(answered('a'));
  });

  test('goes on when nobody can tell who is there', async () => {
    const asked = new PendingRequests(() => Promise.reject(new Error('Redis is away')));
    asked.open('id', census(['a']), 60_000, [], (error, responses) =>
      outcomes.push({ error: error?.message, responses }),
    );
    await asked.recheck();
    expect(outcomes).toEqual([]);
    asked.answer('id', 'a', ['a']);
    expect(outcomes).toEqual(answered('a'));
    asked.close();
  });

  test('ends without an error when its server closes', () => {
    ask();
    requests.answer('id', 'a', ['a']);
    requests.close();
    expect(outcomes).toEqual(answered('a'));
  });

  test('ends with an error when its time is over, and with the answers so far', () => {
    jest.useFakeTimers();
    try {
      present = census(['a'], 2);
      ask(5_000);
      requests.answer('id', 'x', ['x']);
      jest.advanceTimersByTime(5_000);
    } finally {
      jest.useRealTimers();
    }
    expect(outcomes).toEqual([{ error: 'timeout reached: only 1 responses received out of 3', responses: ['x'] }]);
  });
});
