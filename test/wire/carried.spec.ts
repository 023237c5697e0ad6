import { describe, expect, test } from '@jest/globals';
import { carry, exceedsJson, type NotCarried } from '../../lib/wire/carried.js';
import { decodeMsgpack, encodeMsgpack } from '../../lib/wire/msgpack.js';

const there = (value: unknown): unknown => decodeMsgpack(encodeMsgpack(value));

describe('what another process is given of a value', () => {
  test.each<[string, unknown]>([
    ['a date', new Date(1_700_000_000_123)],
    ['a date before 1970', new Date(-1)],
    [
      'a map',
      new Map<unknown, unknown>([
        ['a', 1],
        [{ key: 'an object' }, new Date(0)],
      ]),
    ],
    ['a map within a map', new Map([['a', new Map([['b', new Set([1])]])]])],
    ['a set', new Set([1, 'a', null])],
    ['a BigInt', 12345678901234567890n],
    ['a negative BigInt', -1n],
    ['a Buffer', Buffer.from([1, 2, 3])],
    ['an array of 32-bit numbers', new Int32Array([1, -2])],
    ['a part of an array of doubles', new Float64Array([1, 2.5, 3]).subarray(1)],
    ['64-bit numbers', new BigUint64Array([1n, 2n ** 64n - 1n])],
    ['a DataView', new DataView(new Uint8Array([1, 2, 3]).buffer, 1)],
    ['an ArrayBuffer', new Uint8Array([1, 2]).buffer],
    ['NaN and infinities', [NaN, Infinity, -Infinity]],
    [
      'all of it in one object',
      { at: new Date(5), tags: new Set(['a']), sum: 5n, image: Buffer.from('x'), list: [[]] },
    ],
    ['an object with any names', JSON.parse('{"constructor": 1, "toString": 2, "": 3, "__proto__": {"a": [1]}}')],
  ])('is %s, if it was one', (_name, value) => {
    expect(there(value)).toEqual(value);
    expect(Object.prototype.toString.call(there(value))).toBe(Object.prototype.toString.call(value));
  });

  test('is what toJSON returns, if it has that, or its own properties', () => {
    class Money {
      constructor(readonly cents: number) {}
      toJSON(): unknown {
        return { cents: this.cents, at: new Date(0) };
      }
    }
    class Point {
      readonly x = 1;
      readonly y = undefined;
      get length(): number {
        return 1;
      }
    }
    expect(there([new Money(5), new Point(), undefined])).toEqual([{ cents: 5, at: new Date(0) }, { x: 1 }, null]);
  });

  test.each<[string, () => unknown, string]>([
    ['a function', () => ({ user: { save: () => 1 } }), '"user.save" cannot be sent: a function'],
    ['a symbol', () => ['a', Symbol('b')], '"1" cannot be sent: a symbol'],
    ['a circle', circle, '"user.self" cannot be sent: it is a circular reference'],
    ['a promise', () => ({ later: Promise.resolve() }), '"later" cannot be sent: a Promise'],
    ['a Blob', () => new Blob(['a']), 'the value cannot be sent: a Blob'],
    ['what is nested too deeply', () => nested(300), 'nested more than 256 deep'],
  ])('is an error that names it, if it is %s', (_name, make, message) => {
    expect(() => encodeMsgpack(make())).toThrow(TypeError);
    expect(() => encodeMsgpack(make())).toThrow(message);
  });

  test('is the rest of it, if what cannot be carried may be left out', () => {
    const leftOut: NotCarried[] = [];
    const timer = setTimeout(() => undefined, 1_000);
    clearTimeout(timer);
    const value = {
      ...{ name: 'a', since: new Date(0), save: () => 1, list: [Symbol('x'), 1], ...circle() },
      entity: {
        get lazy(): never {
          throw new Error('the connection is closed');
        },
        toJSON: undefined,
      },
      broken: {
        toJSON(): never {
          throw new Error('not loaded');
        },
      },
      timer,
    };
    const carried = carry(value, { onLeftOut: (what) => leftOut.push(what) }) as Record<string, unknown>;
    expect(carried).toMatchObject({ name: 'a', since: new Date(0), list: [null, 1], user: { id: 1 }, entity: {} });
    expect(carried).not.toHaveProperty('save');
    expect(carried).not.toHaveProperty('broken');
    expect(carried).not.toHaveProperty('user.self');
    expect(leftOut.map(({ path }) => path)).toEqual(
      expect.arrayContaining(['save', 'list.0', 'user.self', 'entity.lazy', 'broken']),
    );
    expect(() => encodeMsgpack(carried)).not.toThrow();
  });

  test.each<[string, () => unknown]>([
    ['a proxy that is revoked', revoked],
    ['a proxy whose traps throw', () => new Proxy({}, { get: fail, ownKeys: fail })],
    ['a toJSON that is a getter and throws', () => Object.defineProperty({ a: 1 }, 'toJSON', { get: fail })],
    ['a tag that throws', () => Object.defineProperty({ a: 1 }, Symbol.toStringTag, { get: fail })],
    ['a tag without a class', () => Object.assign(Object.create(null) as object, { [Symbol.toStringTag]: 'Promise' })],
    ['a Map that cannot be iterated', () => Object.assign(new Map(), { [Symbol.iterator]: fail })],
    ['a boxed number whose value throws', () => Object.assign(new Number(1), { valueOf: fail })],
    ['a boxed number whose value is a function', () => Object.assign(new Number(1), { valueOf: () => fail })],
    ['an ArrayBuffer that is detached', detached],
    ['a toJSON that throws what has no text', () => ({ toJSON: () => fail(Object.create(null)) })],
  ])('is the rest of it, if there is %s in it', (_name, make) => {
    const leftOut: NotCarried[] = [];
    const carried = carry({ a: 1, b: { odd: make() } }, { onLeftOut: (what) => leftOut.push(what) });
    expect(carried).toEqual({ a: 1, b: {} });
    expect(leftOut).toEqual([{ path: 'b.odd', reason: expect.any(String) }]);
  });

  test('is what toJSON returns, though that has a toJSON itself', () => {
    const itself = { a: 1, toJSON: () => itself };
    const copy = {
      a: 1,
      toJSON() {
        return { ...this, b: 2 };
      },
    };
    expect(carry([itself, copy])).toEqual([{ a: 1 }, { a: 1, b: 2 }]);
  });

  test('exceeds JSON only where JSON would make something else of it', () => {
    for (const value of [new Date(), new Map(), new Set(), 1n, NaN, Buffer.alloc(0), new ArrayBuffer(0)]) {
      expect(exceedsJson(carry({ a: [value] }))).toBe(true);
    }
    expect(exceedsJson(carry({ a: [1, null, 'b', { c: true }], d: undefined }))).toBe(false);
  });
});

function fail(error: unknown = new Error('it fails')): never {
  throw error;
}

function revoked(): unknown {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

function detached(): ArrayBuffer {
  const buffer = new ArrayBuffer(4);
  structuredClone(buffer, { transfer: [buffer] });
  return buffer;
}

function circle(): { user: Record<string, unknown> } {
  const user: Record<string, unknown> = { id: 1 };
  user['self'] = user;
  return { user };
}

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = [value];
  return value;
}
