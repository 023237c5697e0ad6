import { beforeEach, describe, expect, test } from '@jest/globals';
import { SessionClaim } from '../../lib/session/session-claim.js';
import { fingerprint, SessionEncoder } from '../../lib/session/session-encoder.js';
import { decodeSession, type Session } from '../../lib/wire/session.js';

const keeper = { touch: () => undefined, finish: () => undefined };

function claimOf(session: Partial<Session>): SessionClaim {
  const whole = { sid: 'sid', pid: 'p', rooms: [], data: {}, ...session };
  return new SessionClaim(keeper, {
    ...{ pid: 'p', nsp: '/chat', epoch: 3, owner: 'me', session: whole, duration: 1_000 },
    ...{ isConfirmed: true, isCopyDropped: true },
  });
}

describe('SessionEncoder', () => {
  let reported: string[];
  let encoder: SessionEncoder;

  beforeEach(() => {
    reported = [];
    encoder = new SessionEncoder({
      onLeftOut: (nsp, { path }) => reported.push(`${nsp}: ${path}`),
      onError: (operation, { name }) => reported.push(`${operation}: ${name}`),
    });
  });

  test('encodes a session as it is now, of the epoch of its claim, or of the one that is asked for', () => {
    const claim = claimOf({ rooms: ['old'] });
    const current = { sid: 'sid', rooms: ['new'], data: { n: 1 } };
    claim.hold({ current: () => current, data: current.data, release: () => undefined }, false);
    const decoded = (epoch?: number): Session => decodeSession(encoder.encode('save', claim, epoch), 'p')!;
    expect(decoded()).toEqual({ ...current, pid: 'p', nsp: '/chat', epoch: 3, owner: 'me' });
    expect(decoded(2)).toMatchObject({ rooms: ['new'], epoch: 2 });
    expect(reported).toEqual([]);
  });

  test('leaves out, and reports, what no other node can be given', () => {
    const claim = claimOf({ data: { name: 'Ann', socket: { send: () => undefined } } });
    expect(decodeSession(encoder.encode('checkpoint', claim), 'p')!.data).toMatchObject({ name: 'Ann' });
    expect(reported).toEqual(['/chat: data.socket.send']);
  });

  test('does not encode what cannot be serialized, and reports it', () => {
    expect(encoder.encode('save', claimOf({ joined: [['room', undefined as never]] }))).toBeUndefined();
    expect(reported).toEqual(['save: TypeError']);
  });

  test('does not encode what was refused for its size, until it is smaller', () => {
    const data = { text: 'x'.repeat(1_000) };
    const claim = claimOf({ data });
    const { length } = encoder.encode('save', claim)!;
    claim.onUnwritten(length, new Error('ERR Protocol error: invalid bulk length'));
    expect(encoder.encode('save', claim)).toBeUndefined();
    data.text = 'x'.repeat(990);
    expect(encoder.encode('save', claim)).toMatch(/^[\w+/]+=*$/);
    expect(reported).toEqual([]);
  });
});

describe('fingerprint', () => {
  const circular = (n: number): object => {
    const one: Record<string, unknown> = { n };
    return Object.assign(one, { self: one });
  };

  test.each<[what: string, make: (n: number) => unknown]>([
    ['an object', (n) => ({ deep: [{ n }] })],
    ['a Map', (n) => ({ map: new Map([['key', n]]) })],
    ['a Set', (n) => ({ set: new Set([n]) })],
    ['a Map in an array in a Map', (n) => new Map([['a', [new Map([['b', n]])]]])],
    ['a BigInt', (n) => ({ big: BigInt(n) })],
    ['a Date', (n) => ({ at: new Date(n) })],
    ['something beside a Map', (n) => ({ map: new Map(), n })],
    ['data that are no object', (n) => n],
  ])('of %s is another when it has changed, and the same when it has not', (_what, make) => {
    expect(fingerprint(make(1))).toBe(fingerprint(make(1)));
    expect(fingerprint(make(1))).not.toBe(fingerprint(make(2)));
  });

  test('does not count what no other node can be given', () => {
    const timer = (n: number): unknown => ({ name: 'Ann', tick: () => n, map: new Map() });
    expect(fingerprint(timer(1))).toBe(fingerprint(timer(2)));
  });

  test('fails with nothing that an app can have put there', () => {
    const throwing = Object.defineProperty({}, 'x', {
      enumerable: true,
      get: () => {
        throw new Error('no');
      },
    });
    for (const data of [undefined, null, Symbol('s'), () => undefined, circular(1), throwing]) {
      expect(typeof fingerprint(data)).toBe('string');
    }
  });
});
