import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { RESP, RespCursor } from '../../lib/redis/resp/resp-cursor.js';

/** A value as a server sends it, and what is to be made of it. */
interface Sent {
  bytes: Buffer;
  value: unknown;
}

const join = (...parts: (string | Buffer)[]): Buffer => Buffer.concat(parts.map((part) => Buffer.from(part as string)));
const line = fc.string({ unit: 'grapheme-ascii' }).filter((text) => !/[\r\n]/.test(text));
const text = fc.string({ unit: 'binary' }).map((value) => Buffer.from(value).toString()); // lone surrogates are no text

const sized = (type: string, content: string): Buffer =>
  join(`${type}${Buffer.byteLength(content)}\r\n`, content, '\r\n');
const simple = (type: string, value: unknown): Sent => ({ bytes: join(`${type}${String(value)}\r\n`), value });

const { sent } = fc.letrec<{ sent: Sent; list: Sent }>((tie) => ({
  list: fc.tuple(fc.constantFrom('*', '~', '>'), fc.array(tie('sent'), { maxLength: 4 })).map(([type, items]) => ({
    bytes: join(`${type}${items.length}\r\n`, ...items.map(({ bytes }) => bytes)),
    value: items.map(({ value }) => value),
  })),
  sent: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    text.map((value) => ({ bytes: sized('$', value), value })),
    text.map((value) => ({ bytes: sized('=', `txt:${value}`), value })),
    text.map((value) => ({ bytes: sized('!', value), value: new Error(value) })),
    line.map((value) => simple('+', value)),
    line.map((value) => ({ bytes: join(`-${value}\r\n`), value: new Error(value) })),
    fc.maxSafeInteger().map((value) => simple(':', value)),
    fc.double({ noNaN: true }).map((value) => simple(',', String(value))),
    fc.bigInt().map((value) => simple('(', String(value))),
    fc.boolean().map((value) => ({ bytes: join(`#${value ? 't' : 'f'}\r\n`), value: Number(value) })),
    fc.constantFrom('$-1\r\n', '*-1\r\n', '_\r\n').map((bytes) => ({ bytes: join(bytes), value: null })),
    tie('list'),
    fc.array(fc.tuple(tie('sent'), tie('sent')), { maxLength: 3 }).map((pairs) => ({
      bytes: join(`%${pairs.length}\r\n`, ...pairs.flat().map(({ bytes }) => bytes)),
      value: pairs.flat().map(({ value }) => value),
    })),
    fc.tuple(tie('sent'), tie('sent')).map(([about, { bytes, value }]) => ({
      bytes: join('|1\r\n', about.bytes, about.bytes, bytes),
      value,
    })),
  ),
}));

describe('RespCursor', () => {
  test('makes of each reply what RESP2 knows, and stands behind it', () => {
    fc.assert(
      fc.property(sent, line, ({ bytes, value }, before) => {
        const cursor = new RespCursor(join(before, bytes, '+next\r\n'), Buffer.byteLength(before));
        expect(cursor.decode(false)).toEqual(value);
        expect(cursor.decode(false)).toBe('next');
      }),
    );
  });

  test('gives strings as their bytes on request, in lists too', () => {
    const cursor = new RespCursor(join('*3\r\n', sized('$', 'ä'), '$-1\r\n', '*1\r\n', sized('=', 'txt:b')));
    expect(cursor.decode(true)).toEqual([Buffer.from('ä'), null, [Buffer.from('b')]]);
  });

  test('steps over strings and into aggregates, with where the text lies and how many values follow', () => {
    const cursor = new RespCursor(join('%1\r\n', sized('$', 'key'), '*2\r\n', ':-7\r\n', sized('=', 'txt:é'), '_\r\n'));
    const steps = Array.from({ length: 6 }, () => {
      cursor.next();
      const { type, size, isNull } = cursor;
      const isAggregate = type === RESP.map || type === RESP.array;
      return { type: String.fromCharCode(type), isNull, of: isAggregate ? size : cursor.text() };
    });
    expect(steps).toEqual([
      { type: '%', isNull: false, of: 2 },
      { type: '$', isNull: false, of: 'key' },
      { type: '*', isNull: false, of: 2 },
      { type: ':', isNull: false, of: '-7' },
      { type: '=', isNull: false, of: 'é' },
      { type: '_', isNull: true, of: '' },
    ]);
    expect(cursor.at).toBe(cursor.bytes.length);
  });
});
