import { describe, expect, test } from '@jest/globals';
import { toMessage, type Change } from '../../lib/adapter/change.js';
import { EntryType } from '../../lib/wire/entry.js';

describe('toMessage', () => {
  const opts = { rooms: ['red'], except: [], flags: {} };
  const sender = { uid: 'node.1', nsp: '/chat', areExact: false };
  const packet = { type: 2, data: ['news', 1] };

  test.each<[Change, object]>([
    [
      { type: EntryType.Broadcast, data: { packet } },
      { packet, opts },
    ],
    [
      { type: EntryType.SocketsJoin, data: { rooms: ['a', null as never, 7 as never] } },
      { opts, rooms: ['a', 7] },
    ],
    [
      { type: EntryType.SocketsLeave, data: { rooms: ['a'] } },
      { opts, rooms: ['a'] },
    ],
    [
      { type: EntryType.DisconnectSockets, data: { close: true } },
      { opts, close: true },
    ],
  ])('has what the others need of the change %j', (change, data) => {
    expect(toMessage(change, opts, sender)).toEqual({ uid: 'node.1', nsp: '/chat', type: change.type, data });
  });

  test('marks a broadcast whose values are meant as they are', () => {
    const change: Change = { type: EntryType.Broadcast, data: { packet } };
    expect(toMessage(change, opts, { ...sender, areExact: true })).toHaveProperty('exact', true);
  });
});
