import { describe, expect, test } from '@jest/globals';
import { isFor, type Recipient } from '../../lib/stream/recipient.js';
import { EntryType, type LogEntry } from '../../lib/wire/entry.js';

interface Spec {
  rooms: string[];
  /** Written by the reference adapter: it has no field for its rooms, and no number. */
  isPlain?: boolean;
}

function entry({ rooms, isPlain = false }: Spec): LogEntry {
  return {
    ...{ id: '1-0', uid: 'sender', nsp: '/', type: EntryType.Broadcast },
    data: JSON.stringify({ packet: { type: 2, data: ['msg'] }, opts: { rooms, except: [], flags: {} } }),
    ...(!isPlain && { rooms, origin: { node: 'sender', seq: 1 } }),
  };
}

describe('isFor', () => {
  const inA: Recipient = { nsp: '/', rooms: ['a'], wasIn: (room) => room === 'a' };

  test('passes over what is for other rooms without decoding it', () => {
    const one = entry({ rooms: ['b'] });
    const undecoded = Object.defineProperty({ ...one }, 'data', {
      get: () => {
        throw new Error('it was decoded');
      },
    });
    expect(isFor(undecoded, inA)).toBe(false);
    expect(isFor(entry({ rooms: ['b', 'a'] }), inA)).toBe(true);
  });

  test('decodes what a node of the reference has written, to know the rooms', () => {
    const answers = [['a'], ['b'], []].map((rooms) => isFor(entry({ rooms, isPlain: true }), inA));
    expect(answers).toEqual([true, false, true]);
  });

  test('leaves out what is of another namespace, is no broadcast, or cannot be decoded', () => {
    const one = entry({ rooms: ['a'] });
    const others = [{ nsp: '/chat' }, { type: EntryType.SocketsJoin }, { data: '{"opts":' }].map((wrong) => ({
      ...one,
      ...wrong,
    }));
    expect([one, ...others].map((each) => isFor(each, inA))).toEqual([true, false, false, false]);
  });
});
