import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { SessionRecipient } from '../../lib/session/session-recipient.js';

describe('the client of a session', () => {
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
    const client = new SessionRecipient('/', { rooms: ['room'], joined: [['room', '5-0']] });
    expect(['4-0', '5-0', '5-1', '10-0'].map((id) => client.wasIn('room', { id }))).toEqual([false, false, true, true]);
  });

  test('was in a room that it has left until then', () => {
    const client = new SessionRecipient('/', {
      rooms: [],
      left: [
        ['old', '0-0', '5-0'],
        ['visited', '7-0', '9-0'],
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

  test('is not in a room whose joining is told though it is not among its rooms', () => {
    const client = new SessionRecipient('/', { rooms: [], joined: [['room', '5-0']] });
    expect(client.wasIn('room', { id: '6-0' })).toBe(false);
  });

  test('was in a room exactly while it was, however often it came and went', () => {
    const moves = fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 8 });
    fc.assert(
      fc.property(moves, fc.boolean(), (gaps, inAtFirst) => {
        let at = 0;
        let since: string | undefined = inAtFirst ? '0-0' : undefined;
        const left: [string, string, string][] = [];
        const times = gaps.map((gap) => (at += gap));
        for (const time of times) {
          if (since === undefined) {
            since = `${time}-0`;
          } else {
            left.push(['room', since, `${time}-0`]);
            since = undefined;
          }
        }
        const client = new SessionRecipient('/', {
          rooms: since === undefined ? [] : ['room'],
          left,
          ...(since !== undefined && since !== '0-0' && { joined: [['room', since]] }),
        });
        for (let time = 1; time <= at + 2; time++) {
          const changes = times.filter((change) => change < time).length;
          expect([time, client.wasIn('room', { id: `${time}-0` })]).toEqual([time, inAtFirst === (changes % 2 === 0)]);
        }
      }),
    );
  });
});
