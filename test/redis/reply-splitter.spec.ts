import { describe, expect, jest, test } from '@jest/globals';
import fc from 'fast-check';
import { ReplySplitter } from '../../lib/redis/resp/reply-splitter.js';
import { RESP, RespCursor } from '../../lib/redis/resp/resp-cursor.js';
import { RespError } from '../../lib/redis/resp/resp-error.js';

/** A reply, as Redis would send it, and what it means in RESP2. */
interface Sample {
  bytes: Buffer;
  value: unknown;
}

const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.constantFrom('', '\r\n', '$-1\r\n', '☃'));
const line = fc.string().map((value) => value.replaceAll(/[\r\n]/g, ' '));

function sized(type: string, value: string): Buffer {
  return Buffer.from(`${type}${Buffer.byteLength(value)}\r\n${value}\r\n`);
}

function many(type: string, count: number, parts: Sample[]): Buffer {
  return Buffer.concat([Buffer.from(`${type}${count}\r\n`), ...parts.map(({ bytes }) => bytes)]);
}

const { reply } = fc.letrec<{ reply: Sample; leaf: Sample; aggregate: Sample }>((tie) => ({
  reply: fc.oneof({ maxDepth: 4 }, tie('leaf'), tie('aggregate')),
  leaf: fc.oneof(
    text.map((value) => ({ bytes: sized('$', value), value: Buffer.from(value).toString() })),
    text.map((value) => ({ bytes: sized('=', `txt:${value}`), value: Buffer.from(value).toString() })),
    text.map((value) => ({ bytes: sized('!', value), value: new Error(Buffer.from(value).toString()) })),
    line.map((value) => ({ bytes: Buffer.from(`+${value}\r\n`), value: Buffer.from(value).toString() })),
    line.map((value) => ({ bytes: Buffer.from(`-${value}\r\n`), value: new Error(Buffer.from(value).toString()) })),
    fc.maxSafeInteger().map((value) => ({ bytes: Buffer.from(`:${value}\r\n`), value })),
    fc.boolean().map((value) => ({ bytes: Buffer.from(`#${value ? 't' : 'f'}\r\n`), value: value ? 1 : 0 })),
    fc.constantFrom('1.5', '-inf', 'nan').map((value) => ({ bytes: Buffer.from(`,${value}\r\n`), value })),
    fc.constantFrom('12345678901234567890').map((value) => ({ bytes: Buffer.from(`(${value}\r\n`), value })),
    fc.constantFrom('$-1\r\n', '*-1\r\n', '_\r\n').map((value) => ({ bytes: Buffer.from(value), value: null })),
  ),
  aggregate: fc.oneof(
    fc
      .tuple(fc.constantFrom('*', '~'), fc.array(tie('reply'), { maxLength: 5 }))
      .map(([type, parts]) => ({ bytes: many(type, parts.length, parts), value: parts.map(({ value }) => value) })),
    fc.array(fc.tuple(tie('reply'), tie('reply')), { maxLength: 3 }).map((pairs) => ({
      bytes: many('%', pairs.length, pairs.flat()),
      value: pairs.flat().map(({ value }) => value),
    })),
    fc.tuple(tie('leaf'), tie('leaf'), tie('reply')).map(([key, value, about]) => ({
      bytes: Buffer.concat([many('|', 1, [key, value]), about.bytes]),
      value: about.value,
    })),
  ),
}));

/** Splits bytes at some places. */
function cut(bytes: Buffer, places: number[]): Buffer[] {
  const at = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].map((from, i) => Buffer.from(bytes.subarray(from, at[i] ?? bytes.length)));
}

describe('ReplySplitter and RespCursor: replies of Redis', () => {
  test('are distinguished and read, however they are cut into pieces', () => {
    fc.assert(
      fc.property(fc.array(reply, { maxLength: 6 }), fc.array(fc.nat(), { maxLength: 30 }), (samples, places) => {
        const found: RespCursor[] = [];
        const splitter = new ReplySplitter((bytes, start, end) => {
          expect(end).toBeGreaterThan(start);
          found.push(new RespCursor(bytes, start));
        });
        const bytes = Buffer.concat(samples.map((sample) => sample.bytes));
        for (const piece of cut(bytes, places)) {
          splitter.push(piece);
        }
        // They are read after all has come: what was handed on is not overwritten by what comes later.
        expect(found.map((cursor) => cursor.decode(false))).toEqual(samples.map(({ value }) => value));
      }),
      { numRuns: 2_000 },
    );
  });

  test('large ones in many pieces are not copied with each piece', () => {
    const value = 'x'.repeat(100_000);
    const bytes = Buffer.concat([Buffer.from('*200\r\n'), ...Array<Buffer>(200).fill(sized('$', value))]);
    let replies = 0;
    const copy = jest.spyOn(Buffer.prototype, 'copy');
    const splitter = new ReplySplitter(() => replies++);
    for (let at = 0; at < bytes.length; at += 16_384) {
      splitter.push(bytes.subarray(at, at + 16_384));
    }
    const copied = copy.mock.results.reduce((sum, { value }) => sum + Number(value), 0);
    copy.mockRestore();
    expect(replies).toBe(1);
    expect(copied).toBeLessThan(5 * bytes.length);
  });

  test.each([
    ['an answer of something else', 'HTTP/1.1 400 Bad Request\r\n\r\n'],
    ['a length that does not end', `$${'1'.repeat(40)}`],
    ['a line that does not end', '$5\rhello\r\n'],
  ])('are refused if they are %s', (_what, sent) => {
    expect(() => new ReplySplitter(() => undefined).push(Buffer.from(sent))).toThrow(RespError);
  });

  test('are walked through without making anything of them', () => {
    const cursor = new RespCursor(Buffer.from('*3\r\n$5\r\nhello\r\n:12\r\n$-1\r\n'));
    cursor.next();
    expect([cursor.type, cursor.size]).toEqual([RESP.array, 3]);
    cursor.next();
    expect(cursor.text()).toBe('hello');
    cursor.next();
    expect(cursor.text()).toBe('12');
    cursor.next();
    expect(cursor.isNull).toBe(true);
  });
});
