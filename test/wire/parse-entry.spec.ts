import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { RawReply } from '../../lib/redis/resp/raw-reply.js';
import { toEntries, type FieldsInReply } from '../../lib/redis/stream-reply.js';
import { DIRECT_LANE, encodeOrigin, type LogEntry } from '../../lib/wire/entry.js';
import { fieldsInBytes, parseEntry, toFields } from '../../lib/wire/parse-entry.js';

const bulk = (text: string): string => `$${Buffer.byteLength(text)}\r\n${text}\r\n`;

/** The fields as they lie in a reply of Redis. */
function inReply(fields: readonly string[]): FieldsInReply {
  const reply = `*1\r\n*2\r\n${bulk('1-0')}*${fields.length}\r\n${fields.map(bulk).join('')}`;
  return toEntries(new RawReply(Buffer.from(reply), 0))[0]!.fields as FieldsInReply;
}

/** All that is known of an entry, but for how large it is. */
function read({ id, uid, nsp, type, data, origin, rooms, prev, bus, problem, isResent, trace }: LogEntry): object {
  return { id, uid, nsp, type, data, origin, rooms, prev, bus, problem, isResent, trace };
}

const text = fc.string({ unit: 'grapheme', maxLength: 8 });
const count = fc.integer({ min: 1, max: 9_999 });
const names = ['uid', 'nsp', 'type', 'data', 'rooms', 'seq', 'prev', 'resent', 'bus', 'trace'] as const;

/** Fields as anybody may have written them: in any order, more than once, with others among them. */
const anyFields = fc
  .array(
    fc.tuple(
      fc.oneof(fc.constantFrom(...names), text),
      fc.oneof(text, count.map(String), fc.constantFrom('["r"]', 'null', 'a.1', `${DIRECT_LANE}7`, '-1', '1.5', '')),
    ),
    { maxLength: 12 },
  )
  .map((pairs) => pairs.flat());

/** Fields of an entry that can be understood, as a node or the reference writes them. */
const goodFields = fc
  .record({
    ...{ uid: fc.constantFrom('a', 'b.1', '0123456789abcdef'), nsp: text, type: fc.nat(20), data: text },
    rooms: fc.option(fc.array(text, { minLength: 1, maxLength: 3 })),
    origin: fc.option(fc.tuple(fc.constantFrom('', DIRECT_LANE), count, fc.nat(3), fc.boolean())),
    ...{ bus: fc.option(count), trace: fc.option(text) },
  })
  .map(({ uid, nsp, type, data, rooms, origin, bus, trace }) => [
    ...['uid', uid, 'nsp', nsp, 'type', String(type), 'data', data],
    ...(rooms ? ['rooms', JSON.stringify(rooms)] : []),
    ...(trace === null ? [] : ['trace', trace]),
    ...(bus === null ? [] : ['bus', String(bus)]),
    ...(origin ? encodeOrigin(`x${origin[0]}`, origin[1], Math.max(0, origin[1] - 1 - origin[2]), origin[3]) : []),
  ]);

describe('parseEntry', () => {
  test('reads the same from the bytes of a reply as from values, whatever the fields are', () => {
    fc.assert(
      fc.property(fc.oneof(anyFields, goodFields), (fields) => {
        const entry = read(parseEntry('5-1', fields));
        expect(read(parseEntry('5-1', inReply(fields)))).toEqual(entry);
        const bytes = fields.map((field) => Buffer.from(field));
        expect(read(parseEntry('5-1', bytes))).toEqual(entry);
      }),
      { numRuns: 1_000 },
    );
  });

  test('reads what toFields writes of an entry as the same entry', () => {
    fc.assert(
      fc.property(goodFields, (fields) => {
        const entry = parseEntry('5-1', fields);
        expect(entry.problem).toBeUndefined();
        expect(read(parseEntry('5-1', toFields(entry)))).toEqual(read(entry));
      }),
    );
  });

  test('keeps publishers and rooms apart, though it remembers those that recur', () => {
    const fieldsOf = (i: number): string[] => [
      ...['uid', `node-${i % 40}`, 'nsp', `/${i % 3}`, 'type', '3', 'data', '{}', 'seq', String(i + 1)],
      ...['rooms', JSON.stringify([`room ${i % 9_000}`])],
    ];
    const order = [...Array(20_000).keys(), ...Array(20_000).keys()];
    const wrong = order.filter((i) => {
      const { uid, origin, nsp, rooms } = parseEntry('5-1', inReply(fieldsOf(i)));
      const node = `node-${i % 40}`;
      return uid !== node || origin!.node !== node || nsp !== `/${i % 3}` || rooms![0] !== `room ${i % 9_000}`;
    });
    expect(wrong).toEqual([]);
  });

  test('keeps the bytes that an entry came from, and none of an entry that came as values', () => {
    const fields = inReply(['uid', 'a', 'nsp', '/', 'type', '3', 'data', '{}']);
    expect(fieldsInBytes(parseEntry('5-1', fields))).toBe(fields);
    expect(fieldsInBytes(parseEntry('5-1', ['uid', 'a', 'nsp', '/', 'type', '3', 'data', '{}']))).toBeUndefined();
  });

  test.each<[string, string[], string]>([
    [
      'without a namespace',
      ['uid', 'a', 'type', '3', 'seq', '4'],
      'an entry without the fields "uid", "nsp" and "type"',
    ],
    ['of a type that is no number', ['uid', 'a', 'nsp', '/', 'type', 'x', 'seq', '4'], 'the field "type" is no number'],
  ])('says what is wrong with an entry %s, whose number it still knows', (_what, fields, problem) => {
    expect(parseEntry('5-1', fields)).toMatchObject({ problem, type: -1, origin: { node: 'a', seq: 4 } });
  });

  test('knows no number of an entry whose uid is of no node', () => {
    const entry = parseEntry('5-1', ['uid', 'a b', 'nsp', '/', 'type', '3', 'seq', '4']);
    expect(entry.origin).toBeUndefined();
    expect(entry.problem).toBe('the field "seq" is no number, or the uid with it is not of a node');
  });
});
