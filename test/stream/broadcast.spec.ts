import { describe, expect, test } from '@jest/globals';
import { broadcastOf, targetOf } from '../../lib/stream/broadcast.js';
import { encodeMessage, EntryType, type LogEntry } from '../../lib/wire/entry.js';
import { parseEntry } from '../../lib/wire/parse-entry.js';

function entry(rooms: string[], except: string[], data: unknown[] = ['event'], more: object = {}): LogEntry {
  const packet = { type: 2, data, ...more };
  const message = { packet, opts: { rooms, except, flags: {} } };
  const fields = encodeMessage(
    { uid: 'a', nsp: '/', type: EntryType.Broadcast, data: message },
    { onlyPlaintext: false },
  );
  return parseEntry('1-0', fields);
}

const foreign = (type: number, data: string): LogEntry =>
  parseEntry('1-0', ['uid', 'a', 'nsp', '/', 'type', String(type), 'data', data]);

describe('targetOf', () => {
  test('says for which rooms, and who is excepted; for everybody it is one and the same', () => {
    expect(targetOf(entry(['a', 'b'], ['c']))).toEqual({ rooms: ['a', 'b'], except: ['c'] });
    expect(targetOf(entry([], []))).toBe(targetOf(entry([], [])));
  });

  test('shares the rooms with the entry, and is the same each time it is asked for', () => {
    const one = entry(['a', 'b'], []);
    expect(targetOf(one)!.rooms).toBe(one.rooms);
    expect(targetOf(one)).toBe(targetOf(one));
  });

  test('is of the data where the field "rooms" says something else', () => {
    const fields = ['uid', 'a', 'nsp', '/', 'type', '3', 'rooms', '["x"]'];
    const data = '{"opts":{"rooms":["a"],"except":[]},"packet":{"type":2,"data":["event"]}}';
    expect(targetOf(parseEntry('1-0', [...fields, 'data', data]))).toEqual({ rooms: ['a'], except: [] });
  });

  test('does not keep long lists of who is excepted', () => {
    const except = Array.from({ length: 17 }, (_, i) => `room ${i}`);
    const [long, short] = [entry(['a'], except), entry(['a'], except.slice(1))];
    expect([targetOf(long) === targetOf(long), targetOf(short) === targetOf(short)]).toEqual([false, true]);
    expect(targetOf(long)).toEqual({ rooms: ['a'], except });
  });

  test('is nobody for what is no broadcast, cannot be decoded, or asks for an acknowledgement', () => {
    const withId = '{"opts":{"rooms":[],"except":[]},"packet":{"type":2,"data":["event"],"id":1}}';
    const opts = '{"opts":{"rooms":[],"except":[]},"rooms":["a"]}';
    expect([foreign(3, withId), foreign(4, opts), foreign(3, 'broken'), foreign(99, '{}')].map(targetOf)).toEqual([
      ...[null, null, null, null],
    ]);
  });
});

describe('broadcastOf', () => {
  test('is decoded once for clients that are given it in turn, and again when many others were', () => {
    const one = entry([], [], ['event', { n: 1 }]);
    const first = broadcastOf(one)!;
    expect(first.packet.data).toEqual(['event', { n: 1 }]);
    expect(broadcastOf(one)).toBe(first);
    for (let i = 0; i < 1_024; i++) {
      broadcastOf(entry([], [], ['event', i]));
    }
    expect(broadcastOf(one)).not.toBe(first);
    expect(broadcastOf(one)).toEqual(first);
  });

  test('keeps few that are large', () => {
    const one = entry([], [], ['event', 'x'.repeat(400_000)]);
    const first = broadcastOf(one);
    broadcastOf(entry([], [], ['event', 'y'.repeat(400_000)]));
    expect(broadcastOf(one)).toBe(first);
    broadcastOf(entry([], [], ['event', 'z'.repeat(700_000)]));
    expect(broadcastOf(one)).not.toBe(first);
  });
});
