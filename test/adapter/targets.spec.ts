import { describe, expect, test } from '@jest/globals';
import type { BroadcastOptions } from 'socket.io-adapter';
import { Targets } from '../../lib/adapter/targets.js';

const CONNECTED = 'aaaaaaaaaaaaaaaaaaaa';
const IN_MIDDLEWARE = 'bbbbbbbbbbbbbbbbbbbb';
const ELSEWHERE = 'cccccccccccccccccccc';

const rooms = new Map([
  ...[CONNECTED, IN_MIDDLEWARE].map((id) => [id, new Set([id])] as const),
  ['red', new Set([CONNECTED])],
]);
const sids = new Map([
  [CONNECTED, new Set([CONNECTED, 'red'])],
  [IN_MIDDLEWARE, new Set([IN_MIDDLEWARE])],
]);
const targets = (hasRecovery: boolean): Targets =>
  new Targets({ sids, rooms }, new Map([[CONNECTED, {}]]), hasRecovery);

const to = (...names: unknown[]): BroadcastOptions => ({ rooms: new Set(names as string[]) });

describe('Targets', () => {
  test('elsewhere has the rooms, exceptions and flags, without what is no name of a room', () => {
    const opts = { ...to('red', undefined, 7), except: new Set(['blue', null as never]), flags: { compress: true } };
    expect(targets(true).elsewhere(opts)).toEqual({ rooms: ['red', 7], except: ['blue'], flags: { compress: true } });
    expect(targets(true).elsewhere(to())).toEqual({ rooms: [], except: [], flags: {} });
  });

  test('elsewhere is nobody for a local broadcast, and for one to rooms that have no name', () => {
    expect(targets(true).elsewhere({ ...to('red'), flags: { local: true } })).toBeUndefined();
    expect(targets(true).elsewhere(to(undefined))).toBeUndefined();
  });

  test('hasRecipient asks for somebody in one of the rooms, and without rooms for anybody', () => {
    const here = targets(false);
    expect([here.hasRecipient(['blue', 'red']), here.hasRecipient(['blue']), here.hasRecipient([])]).toEqual([
      ...[true, false, true],
    ]);
    const empty = new Targets({ sids: new Map(), rooms: new Map() }, new Map(), false);
    expect(empty.hasRecipient([])).toBe(false);
  });

  test('isOne is true of the own room of a socket that is connected here only', () => {
    const here = targets(true);
    expect(
      [to(CONNECTED), to(IN_MIDDLEWARE), to(ELSEWHERE), to('red'), to(), to(CONNECTED, 'red')].map((opts) =>
        here.isOne(opts),
      ),
    ).toEqual([...[true, false, false, false, false, false]]);
  });

  test('mayBeOne is true of a socket that is not connected yet as well, if clients are recovered', () => {
    const calls = [to(CONNECTED), to(IN_MIDDLEWARE), to(ELSEWHERE), to('red'), to(), to(ELSEWHERE, 'red')];
    expect(calls.map((opts) => targets(true).mayBeOne(opts))).toEqual([true, true, true, false, false, false]);
    expect(calls.map((opts) => targets(false).mayBeOne(opts))).toEqual([true, false, false, false, false, false]);
  });

  test('mayBeOne is false of a room that is named like a socket and has others in it', () => {
    const crowded = new Map([[ELSEWHERE, new Set([CONNECTED, IN_MIDDLEWARE])]]);
    expect(new Targets({ sids, rooms: crowded }, new Map(), true).mayBeOne(to(ELSEWHERE))).toBe(false);
  });
});
