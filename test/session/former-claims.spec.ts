import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { FormerClaims } from '../../lib/session/former-claims.js';
import { SessionClaim } from '../../lib/session/session-claim.js';

const claim = (pid: string, epoch: number): SessionClaim => {
  const session = { sid: 'sid', pid, rooms: [], data: {} };
  const keeper = { touch: () => undefined, finish: () => undefined };
  return new SessionClaim(keeper, {
    ...{ pid, epoch, session, nsp: '/', owner: 'node', duration: 1_000, isConfirmed: true, isCopyDropped: true },
  });
};

describe('FormerClaims', () => {
  let former: FormerClaims;

  beforeEach(() => {
    jest.useFakeTimers();
    former = new FormerClaims();
  });

  afterEach(() => {
    jest.useRealTimers();
  });

  test('finds the claim that came right before an epoch, yielded or stored, and none of another epoch', () => {
    const [yielded, stored] = [claim('a', 3), claim('b', 5)];
    former.addYielded(yielded);
    former.addLeft(stored);
    expect(former.before(4, 'a')).toBe(yielded);
    expect(former.before(6, 'b')).toBe(stored);
    expect([former.before(3, 'a'), former.before(5, 'a'), former.before(4, 'c')]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  test('finds what was stored before if what was yielded is of another epoch', () => {
    const stored = claim('a', 1);
    former.addLeft(stored);
    former.addYielded(claim('a', 2));
    expect(former.before(2, 'a')).toBe(stored);
  });

  test('finds the newest claim since an epoch, yielded or stored, but none whose client said goodbye', () => {
    const [stored, yielded, discarded] = [claim('a', 1), claim('a', 2), claim('b', 2)];
    former.addLeft(stored);
    expect([former.since(1, 'a'), former.since(2, 'a')]).toEqual([stored, undefined]);
    former.addYielded(yielded);
    expect([former.since(1, 'a'), former.since(3, 'a')]).toEqual([yielded, undefined]);
    discarded.discard();
    discarded.end();
    former.addLeft(discarded);
    expect(former.since(1, 'b')).toBeUndefined();
  });

  test('gives of each client that has left or has come elsewhere its newest claim', () => {
    const [old, left, yielded, older] = [claim('a', 1), claim('b', 3), claim('a', 2), claim('b', 2)];
    former.addLeft(old);
    former.addLeft(left);
    former.addYielded(yielded);
    former.addYielded(older);
    expect(former.ofThoseWhoLeft).toEqual([yielded, left]);
  });

  test('forgets what was yielded after 10 s and what was stored after a minute', () => {
    former.addYielded(claim('a', 1));
    former.addLeft(claim('b', 1));
    jest.advanceTimersByTime(9_999);
    expect([former.hasYielded('a'), former.before(2, 'b')?.pid]).toEqual([true, 'b']);
    jest.advanceTimersByTime(1);
    expect([former.hasYielded('a'), former.before(2, 'b')?.pid]).toEqual([false, 'b']);
    jest.advanceTimersByTime(49_999);
    expect(former.before(2, 'b')?.pid).toBe('b');
    jest.advanceTimersByTime(1);
    expect(former.before(2, 'b')).toBeUndefined();
  });

  test('keeps a session that was stored again for the whole time anew', () => {
    former.addLeft(claim('a', 1));
    jest.advanceTimersByTime(45_000);
    const again = claim('a', 2);
    former.addLeft(again);
    jest.advanceTimersByTime(45_000);
    expect(former.before(3, 'a')).toBe(again);
  });

  test('gives all whose clients have left, and hands out none whose client said goodbye', () => {
    const [stored, discarded] = [claim('a', 1), claim('b', 1)];
    discarded.discard();
    discarded.end();
    former.addLeft(stored);
    former.addLeft(discarded);
    expect(former.ofThoseWhoLeft).toEqual([stored, discarded]);
    expect([former.before(2, 'a'), former.before(2, 'b')]).toEqual([stored, undefined]);
  });

  test('keeps the 5,000 sessions that were stored last', () => {
    for (let i = 0; i <= 5_000; i++) {
      former.addLeft(claim(`client ${i}`, 1));
    }
    expect(former.before(2, 'client 0')).toBeUndefined();
    expect(former.before(2, 'client 1')?.pid).toBe('client 1');
  });
});
