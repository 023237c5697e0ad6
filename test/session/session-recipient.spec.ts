import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { SessionRecipient } from '../../lib/session/session-recipient.js';
import { cutAt, type Cut } from '../../lib/wire/cut.js';

describe('SessionRecipient', () => {
  test('was in a room of its session that it joined before anything is known at all times', () => {
    const client = new SessionRecipient('/', { rooms: ['room'] });
    expect(['0-0', '1-1', '18446744073709551615-0'].map((id) => client.wasIn('room', { id }))).toEqual([
      true,
      true,
      true,
    ]);
    expect(client.wasIn('other', { id: '1-1' })).toBe(false);
    expect([...client.rooms]).toEqual(['room']);
  });

  test('was not in a room before it joined it', () => {
    const client = new SessionRecipient('/', { rooms: ['room'], joined: [['room', cutAt('5-0')]] });
    expect(['4-0', '5-0', '5-1', '10-0'].map((id) => client.wasIn('room', { id }))).toEqual([false, false, true, true]);
  });

  test('was in a room that it has left until then', () => {
    const client = new SessionRecipient('/', {
      rooms: [],
      left: [
        ['old', cutAt('0-0'), cutAt('5-0')],
        ['visited', cutAt('7-0'), cutAt('9-0')],
      ],
    });
    expect(['1-0', '5-0', '5-1'].map((id) => client.wasIn('old', { id }))).toEqual([true, true, false]);
    expect(['7-0', '7-1', '9-0', '10-0'].map((id) => client.wasIn('visited', { id }))).toEqual([
      false,
      true,
      true,
      false,
    ]);
    expect([...client.rooms].sort()).toEqual(['old', 'visited']);
  });

  test('was not in a room for what its node had given before it joined, whether that is read back or not', () => {
    const joined = { position: '5-0', ahead: [{ node: 'here', seq: 7 }] };
    const client = new SessionRecipient('/', { rooms: ['room'], joined: [['room', joined]] });
    const wasIn = (seq: number, id?: string): boolean => client.wasIn('room', { id, origin: { node: 'here', seq } });
    expect([wasIn(7), wasIn(7, '6-0'), wasIn(8), wasIn(8, '6-1')]).toEqual([false, false, true, true]);
    expect(client.wasIn('room', { id: '6-0', origin: { node: 'elsewhere', seq: 1 } })).toBe(true);
  });

  test('was in a room that it has left for what its node had given before, whether that is read back or not', () => {
    const upTo = { position: '5-0', ahead: [{ node: 'here', seq: 7 }] };
    const client = new SessionRecipient('/', { rooms: [], left: [['room', cutAt('0-0'), upTo]] });
    const wasIn = (seq: number, id?: string): boolean => client.wasIn('room', { id, origin: { node: 'here', seq } });
    expect([wasIn(7), wasIn(7, '6-0'), wasIn(8), wasIn(8, '6-1')]).toEqual([true, true, false, false]);
    expect(client.wasIn('room', { id: '6-0', origin: { node: 'elsewhere', seq: 1 } })).toBe(false);
  });

  test('is not in a room whose joining is recorded though it is not among its rooms', () => {
    const client = new SessionRecipient('/', { rooms: [], joined: [['room', cutAt('5-0')]] });
    expect(client.wasIn('room', { id: '6-0' })).toBe(false);
  });

  test('was in a room exactly while it was, however often it came and went', () => {
    const moves = fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 8 });
    fc.assert(
      fc.property(moves, fc.boolean(), (gaps, inAtFirst) => {
        let at = 0;
        let since: string | undefined = inAtFirst ? '0-0' : undefined;
        const left: [string, Cut, Cut][] = [];
        const times = gaps.map((gap) => (at += gap));
        for (const time of times) {
          if (since === undefined) {
            since = `${time}-0`;
          } else {
            left.push(['room', cutAt(since), cutAt(`${time}-0`)]);
            since = undefined;
          }
        }
        const client = new SessionRecipient('/', {
          rooms: since === undefined ? [] : ['room'],
          left,
          ...(since !== undefined && since !== '0-0' && { joined: [['room', cutAt(since)]] }),
        });
        for (let time = 1; time <= at + 2; time++) {
          const changes = times.filter((change) => change < time).length;
          expect([time, client.wasIn('room', { id: `${time}-0` })]).toEqual([time, inAtFirst === (changes % 2 === 0)]);
        }
      }),
    );
  });
});
