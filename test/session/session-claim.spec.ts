import { performance } from 'node:perf_hooks';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { SessionClaim, UNKNOWN, type SessionClaimOptions, type SessionState } from '../../lib/session/session-claim.js';

const HELD: SessionState = { sid: 'sid', rooms: ['now'], data: { n: 2 } };

describe('SessionClaim', () => {
  /** What the keeper was asked for, and whether the socket was released. */
  let log: string[];

  beforeEach(() => {
    log = [];
  });
  afterEach(() => void jest.restoreAllMocks());

  const keeper = {
    touch: () => void log.push('touch'),
    finish: ({ mode }: SessionClaim) => void log.push(mode),
  };

  const claimOf = (more: Partial<SessionClaimOptions> = {}): SessionClaim =>
    new SessionClaim(keeper, {
      session: { sid: 'sid', pid: 'p', rooms: ['then'], data: { n: 1 }, nsp: '/other', epoch: 0, owner: 'other' },
      ...{ pid: 'p', nsp: '/', epoch: 4, owner: 'me', duration: 1_000, isConfirmed: true, isCopyDropped: true },
      ...more,
    });

  function held(more: Partial<SessionClaimOptions> = {}): SessionClaim {
    const claim = claimOf(more);
    claim.hold({ current: () => HELD, data: HELD.data, release: () => log.push('release') }, false);
    return claim;
  }

  const ids = { pid: 'p', nsp: '/', epoch: 4, owner: 'me' };

  test('has the session as it was claimed until a socket holds it, and then as that says', () => {
    const claim = claimOf();
    expect([claim.current(), claim.data]).toEqual([{ sid: 'sid', rooms: ['then'], data: { n: 1 }, ...ids }, { n: 1 }]);
    claim.hold({ current: () => HELD, data: HELD.data, release: () => undefined }, false);
    expect([claim.current(), claim.data]).toEqual([{ ...HELD, ...ids }, { n: 2 }]);
  });

  test('is written when it has changed, as long as it is held and known', () => {
    const unknown = claimOf({ session: UNKNOWN });
    unknown.touch();
    unknown.giveBack();
    expect([log, unknown.mode, unknown.isUsable]).toEqual([[], 'held', false]);
    unknown.hold({ current: () => HELD, data: HELD.data, release: () => undefined }, true);
    unknown.touch();
    unknown.giveBack();
    unknown.touch();
    expect(log).toEqual(['touch', 'touch', 'saving']);
  });

  test('given back is saved as it was when its client left, and of use for as long as that can come back', () => {
    const now = jest.spyOn(performance, 'now').mockReturnValue(5_000);
    const claim = held();
    claim.giveBack({ ...HELD, rooms: ['at the end'] });
    claim.giveBack();
    claim.discard();
    expect([claim.mode, log]).toEqual(['saving', ['saving']]);
    expect(claim.current()).toEqual({ ...HELD, rooms: ['at the end'], ...ids });
    now.mockReturnValue(5_999);
    expect(claim.isUsable).toBe(true);
    now.mockReturnValue(6_000);
    expect(claim.isUsable).toBe(false);
  });

  test('discarded is of no use, and cannot be given back', () => {
    const claim = held();
    claim.discard();
    claim.giveBack();
    claim.discard();
    expect([claim.mode, claim.isUsable, log]).toEqual(['discarding', false, ['discarding']]);
  });

  test('yielded releases its client, and keeps the session as it was then', () => {
    const claim = held();
    claim.yield();
    expect([claim.mode, claim.isReleased, log]).toEqual(['yielded', true, ['release']]);
    expect(claim.current()).toEqual({ ...HELD, ...ids });
  });

  test('ended releases the client that it has, and is no loss to one that is gone', () => {
    const [connected, gone] = [held(), held()];
    gone.giveBack();
    gone.end();
    expect([gone.mode, gone.isReleased, log]).toEqual(['ended', false, ['saving']]);
    connected.end();
    connected.end();
    expect([connected.isReleased, log]).toEqual([true, ['saving', 'release']]);
  });

  test('names the epoch that Redis has given, and for another node the one before that node’s at most', () => {
    const [known, open] = [claimOf(), claimOf({ isConfirmed: false })];
    expect([known.confirmedEpoch, open.confirmedEpoch]).toEqual([4, 3]);
    expect([known.epochFor(4), known.epochFor(9)]).toEqual([4, 4]);
    expect([open.epochFor(4), open.epochFor(5), open.epochFor(9)]).toEqual([3, 4, 4]);
  });

  test('is too large from the size on that was refused, or with which the connection was lost three times', () => {
    const refused = claimOf();
    refused.onUnwritten(500, new Error('OOM command not allowed'));
    expect(refused.isTooLarge(500)).toBe(false);
    refused.onUnwritten(500, new Error('ERR Protocol error: invalid bulk length'));
    expect([refused.isTooLarge(499), refused.isTooLarge(500)]).toEqual([false, true]);

    const lost = claimOf();
    const [small, large] = [1_000, 1_000_000];
    for (let n = 0; n < 5; n++) lost.onUnwritten(small, new Error('the connection is lost'));
    for (let n = 0; n < 2; n++) lost.onUnwritten(large, new Error('the connection is lost'));
    expect(lost.isTooLarge(large)).toBe(false);
    lost.onUnwritten(large, new Error('the connection is lost'));
    expect([lost.isTooLarge(large), lost.isTooLarge(small)]).toEqual([true, false]);
  });
});
