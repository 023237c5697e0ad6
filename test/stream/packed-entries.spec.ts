import { beforeEach, describe, expect, jest, test } from '@jest/globals';
import fc from 'fast-check';
import { FieldsInReply } from '../../lib/redis/stream-reply.js';
import { PackedEntries } from '../../lib/stream/packed-entries.js';
import { weightOf, type LogEntry } from '../../lib/wire/entry.js';
import { parseEntry } from '../../lib/wire/parse-entry.js';
import { compareStreamIds } from '../../lib/wire/stream-id.js';

/** Ids that would be out of order as texts, or as doubles. */
const idOf = (n: number): string => `${9 + Math.floor(n / 3)}-${9_007_199_254_740_990n + BigInt(n)}`;

const text = fc.string({ unit: 'grapheme', maxLength: 12 });
const specs = fc.record({
  ...{ nsp: fc.constantFrom('/', '/chat', '/ü'), data: text.map((value) => JSON.stringify({ value })) },
  rooms: fc.option(fc.oneof(fc.array(text, { maxLength: 3 }), fc.constant('no array')), { nil: undefined }),
  node: fc.constantFrom('a', 'b', 'c'),
  lane: fc.constantFrom('', '~'),
  isNumbered: fc.boolean(),
  rest: fc.record(
    { prev: fc.nat(9), bus: fc.nat(9), trace: fc.constant('00-trace'), resent: fc.constant(1) },
    { requiredKeys: [] },
  ),
});
type Spec = (typeof specs extends fc.Arbitrary<infer T> ? T : never) & { length?: number };

/** The fields of the n-th entry, as Redis returns them. */
function fields(n: number, { nsp, data, rooms, node, lane, isNumbered, rest }: Spec): string[] {
  const numbered = isNumbered ? { seq: `${lane}${n + 1}`, ...rest } : {};
  const all = { uid: `${node}_1`, nsp, type: 3, data, ...(rooms && { rooms: JSON.stringify(rooms) }), ...numbered };
  return Object.entries(all).flatMap(([name, value]) => [name, String(value)]);
}

/** In the middle of a reply, or as values, as clients return them. */
function parse(n: number, values: string[], isInBytes: boolean): LogEntry {
  if (!isInBytes) {
    return parseEntry(idOf(n), values);
  }
  const before = Buffer.from('*12\r\n');
  const body = Buffer.from(values.map((value) => `$${Buffer.byteLength(value)}\r\n${value}\r\n`).join(''));
  const reply = Buffer.concat([before, body, Buffer.from('$4\r\nnext\r\n')]);
  return parseEntry(idOf(n), new FieldsInReply(reply, before.length, values.length, body.length));
}

/** All that is known of an entry, but for its size. */
function read({ id, uid, nsp, type, data, origin, rooms, prev, bus, problem, isResent, trace }: LogEntry): unknown {
  return { id, uid, nsp, type, data, origin, rooms, prev, bus, problem, isResent, trace };
}

const PLAIN: Spec = { nsp: '/', data: '{}', rooms: ['a'], node: 'a', lane: '', isNumbered: true, rest: {} };
const plain = (n: number, data = '{}'): LogEntry => parse(n, fields(n, { ...PLAIN, data }), true);

describe('PackedEntries', () => {
  let entries: PackedEntries;

  beforeEach(() => {
    entries = new PackedEntries();
  });

  test('returns each entry as it was, and finds it by its id, whatever was pushed and removed', () => {
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.record({ spec: specs, isInBytes: fc.boolean() }) },
      { weight: 1, arbitrary: fc.constant('shift' as const) },
    );
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 60, size: 'max' }), fc.nat(70), (steps, n) => {
        const packed = new PackedEntries();
        const model: LogEntry[] = [];
        let count = 0;
        for (const one of steps) {
          if (one !== 'shift') {
            const entry = parse(count, fields(count, one.spec), one.isInBytes);
            expect(packed.push(entry)).toBe(count++);
            model.push(entry);
          } else if (model.length > 0) {
            const { id, origin } = model.shift()!;
            expect(packed.shift()).toEqual({ id, origin });
          }
        }
        expect([...packed].map(read)).toEqual(model.map(read));
        expect(packed.length).toBe(model.length);
        expect(packed.first).toBe(count - model.length);
        expect(packed.bytes).toBe(model.reduce((sum, entry) => sum + weightOf(entry), 0));
        const found = packed.find(idOf(n));
        expect(found && read(found)).toEqual(model.filter(({ id }) => id === idOf(n)).map(read)[0]);
        const after = model.findIndex(({ id }) => compareStreamIds(id, idOf(n)) > 0);
        expect(packed.placeAfter(idOf(n))).toBe(after < 0 ? count : packed.first + after);
      }),
      { numRuns: 300 },
    );
  });

  test('keeps its order while it grows, and when places have gone round its slots many times', () => {
    for (let n = 0; n < 20_000; n++) {
      entries.push(plain(n));
      if (entries.length > 1_500) entries.shift();
    }
    expect([...entries].map(({ origin }) => origin!.seq)).toEqual(Array.from({ length: 1_500 }, (_, i) => 18_501 + i));
    for (let n = 20_000; n < 25_000; n++) entries.push(plain(n));
    expect([...entries].map(({ id }) => id)).toEqual(Array.from({ length: 6_500 }, (_, i) => idOf(18_500 + i)));
  });

  test('makes one object of an entry, however often it is asked for', () => {
    const place = entries.push(plain(0));
    expect(entries.at(place)).toBe(entries.at(place));
    expect(entries.find(idOf(0))).toBe(entries.at(place));
  });

  test('keeps entries of any size, and what lies beside large ones', () => {
    const sizes = [10, 20_000, 10, 500_000, 130_000, 10, 100_000, 10];
    sizes.forEach((size, n) => entries.push(plain(n, JSON.stringify('x'.repeat(size)))));
    expect([...entries].map(({ data }) => data.length - 2)).toEqual(sizes);
  });

  test('takes no memory for entries that come once as many have left', () => {
    const data = JSON.stringify('x'.repeat(1_000));
    for (let n = 0; n < 1_000; n++) entries.push(plain(n, data));
    const allocated = jest.spyOn(Buffer, 'allocUnsafeSlow');
    for (let n = 1_000; n < 6_000; n++) {
      entries.push(plain(n, data));
      if (n % 100 === 0) while (entries.length > 900) entries.shift(); // as it is evicted: many at once
    }
    expect(allocated.mock.calls.length).toBeLessThan(5);
    allocated.mockRestore();
  });

  test('leaves an entry that somebody has as it is, whatever comes when it has left', () => {
    const kept = [0, 200, 400].map((n) => ({ n, entry: undefined as LogEntry | undefined }));
    for (let n = 0; n < 3_000; n++) {
      const place = entries.push(plain(n, JSON.stringify(`${n} ${'x'.repeat(500)}`)));
      for (const one of kept) if (one.n === n) one.entry = entries.at(place);
      if (entries.length > 500) entries.shift();
    }
    for (const { n, entry } of kept) {
      expect(read(entry!)).toEqual(read(plain(n, JSON.stringify(`${n} ${'x'.repeat(500)}`))));
    }
  });

  test('does not hold the reply in which an entry came', () => {
    const values = fields(0, PLAIN);
    const body = Buffer.from(values.map((value) => `$${Buffer.byteLength(value)}\r\n${value}\r\n`).join(''));
    entries.push(parseEntry(idOf(0), new FieldsInReply(body, 0, values.length, body.length)));
    body.fill(0);
    expect(read(entries.at(0))).toEqual(read(plain(0)));
  });
});
