import { describe, expect, test } from '@jest/globals';
import { Encoder } from 'socket.io-parser';
import { bytesOf, toPlain } from '../../lib/wire/binary.js';
import { decodeMsgpack, encodeMsgpack } from '../../lib/wire/msgpack.js';

/** What a client is sent. */
function sent(data: unknown): unknown[] {
  const parts = new Encoder().encode({ type: 2, nsp: '/', data }) as (string | ArrayBuffer | ArrayBufferView)[];
  return parts.map((part) => (typeof part === 'string' ? part : Buffer.from(bytesOf(part))));
}

class Money {
  constructor(readonly cents: number) {}
  toJSON(key: string): unknown {
    return { key, cents: this.cents };
  }
}

const withOwnToJson = {
  id: 1,
  toJSON() {
    return { ...this, name: 'a' };
  },
};
const withItself = {
  id: 1,
  toJSON() {
    return this;
  },
};
const chain = { toJSON: () => ({ first: 1, toJSON: () => ({ second: 2 }) }) };
const callable = Object.assign(() => 1, { toJSON: () => 'called' });

const VALUES: [string, unknown[]][] = [
  ['toJSON that returns a copy which has it, too', [withOwnToJson, [withOwnToJson], { withOwnToJson }]],
  ['toJSON that returns the object itself', [withItself, [withItself]]],
  ['toJSON that returns an object with another toJSON', [chain, { chain }]],
  ['toJSON that is told a key', [new Money(1), [new Money(2)], { price: new Money(3) }]],
  [
    'toJSON that returns nothing, a function or a symbol',
    [{ a: { toJSON() {} } }, [{ toJSON: () => Symbol('a') }], { toJSON: () => () => 1 }],
  ],
  ['a function with toJSON', [callable, { callable }, [callable]]],
  ['boxed values', [new Boolean(false), new Number(3), new String('text'), { a: new Boolean(true) }]],
  ['keys that are special in JavaScript', [JSON.parse('{"__proto__":{"a":1},"constructor":1,"toString":2,"":3}')]],
  [
    'values that JSON does not have',
    [undefined, NaN, -0, Infinity, [undefined, -0], { a: undefined, b: () => 1, c: Symbol('a') }],
  ],
  ['an array with holes', [Object.assign([], { 3: 1 })]],
  ['dates', [new Date(0), [new Date(NaN)], Object.assign(new Date(0), { toJSON: () => 'own' })]],
  [
    'maps, sets, errors and instances of classes',
    [new Map([[1, 2]]), new Set([1]), new Error('a'), /a/g, Object.create({ inherited: 1 }), Object.create(null)],
  ],
  ['placeholders of attachments', [{ _placeholder: true, num: 0 }]],
  [
    'frozen objects and proxies',
    [Object.freeze({ a: Object.freeze([1]) }), new Proxy({ a: 1 }, {}), new Proxy([1], {})],
  ],
  ['one object in several places', [withItself, [withItself, { withItself }]]],
];
const BINARY: [string, unknown[]][] = [
  [
    'typed arrays',
    [new Float64Array([1.5]), new Uint8Array([1, 2, 3]).subarray(1, 2), new DataView(new ArrayBuffer(4), 1, 2)],
  ],
  [
    'an ArrayBuffer, and a shared one',
    [new ArrayBuffer(2), new Uint8Array(new SharedArrayBuffer(2)), new SharedArrayBuffer(2)],
  ],
  ['binary data within toJSON', [{ toJSON: () => ({ bytes: Buffer.from('a') }) }]],
];

describe('The arguments of an event, as another node is given them', () => {
  test.each([
    ...VALUES,
    ...VALUES.map(([name, values]) => [`${name} beside binary data`, [Buffer.from('a'), ...values]] as const),
    ...BINARY,
  ])('are for its clients what they are for those of this node: %s', (_name, values) => {
    const data = ['event', ...values];
    expect(sent(toPlain(data))).toEqual(sent(data));
    expect(sent(decodeMsgpack(encodeMsgpack(toPlain(data))))).toEqual(sent(data));
  });

  test.each<[string, () => unknown, string]>([
    ['a Blob', () => [new Blob(['a'])], 'A Blob or File cannot be sent to clients'],
    ['a File beside binary data', () => [Buffer.from('a'), new File(['a'], 'name')], 'A Blob or File cannot be sent'],
    ['a circle', () => circle(), 'A circular reference'],
    ['a BigInt', () => [1n], 'BigInt'],
    ['a BigInt beside binary data', () => [Buffer.from('a'), 1n], 'BigInt'],
    ['what is nested too deep', () => nested(300), 'nested more than 248 deep'],
    ['what is nested too deep beside binary data', () => [Buffer.from('a'), nested(300)], 'nested more than 248 deep'],
    ['what is nested too deep to be looked at', () => [Buffer.from('a'), nested(100_000)], 'nested too deeply'],
  ])('are refused at the call if they hold %s', (_name, make, message) => {
    expect(() => toPlain(make())).toThrow(TypeError);
    expect(() => toPlain(make())).toThrow(message);
  });

  test('may hold a BigInt if the application has taught it to be JSON', () => {
    const prototype = BigInt.prototype as { toJSON?: () => string };
    prototype.toJSON = function (this: bigint) {
      return String(this);
    };
    try {
      expect(toPlain([1n, { a: 2n }])).toEqual(['1', { a: '2' }]);
      expect(toPlain([Buffer.from('a'), 1n])).toEqual([Buffer.from('a'), '1']);
    } finally {
      delete prototype.toJSON;
    }
  });
});

function circle(): unknown[] {
  const list: unknown[] = [];
  list.push({ list });
  return list;
}

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = [value];
  return value;
}
