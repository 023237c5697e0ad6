import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from '@jest/globals';
import { encode } from '@msgpack/msgpack';
import fc from 'fast-check';
import { decodeMsgpack, encodeMsgpack } from '../../lib/wire/msgpack.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

describe('MessagePack', () => {
  test('is decoded to what was encoded', () => {
    const key = fc.oneof({ weight: 9, arbitrary: fc.string() }, { weight: 1, arbitrary: fc.constant('__proto__') });
    fc.assert(
      fc.property(fc.object({ key, withBigInt: false }), (object) => {
        const asJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
        expect(asJson(decodeMsgpack(encodeMsgpack(object)))).toEqual(asJson(object));
      }),
      { examples: [[{ nothing: undefined, list: [undefined], date: new Date(0) }]] },
    );
  });

  test('is refused when it states more than there is, before anything is allocated for it', () => {
    const statements = [
      ...[
        'dd ffffffff',
        'df ffffffff',
        'db ffffffff',
        'c6 ffffffff',
        'c9 ffffffff 01',
        'dd 7fffffff 00',
        'df 00ffffff',
      ],
      ...['dc ffff', 'de ffff', 'da ffff', 'c5 ffff', 'c8 ffff 01', 'd9 ff', 'c4 ff', 'c7 ff 01', '9f', '8f', 'bf'],
      // Each array states no more elements than there are bytes, but all of them together do.
      'dd 000000ff'.repeat(60) + '00'.repeat(255),
    ].map(hex);
    const allocated = (): number => process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed;
    for (const bytes of statements) {
      // What earlier ones have left must not be collected, or counted, between the two looks.
      collectGarbage();
      const before = allocated();
      let refused = false;
      try {
        decodeMsgpack(bytes);
      } catch {
        refused = true;
      }
      expect(allocated() - before).toBeLessThan(400 * 1024);
      expect(refused).toBe(true);
    }
  });

  test('is refused when it is nested too deeply, and does not exhaust the stack', () => {
    for (const head of ['91', '81 a0', 'dc 0001', 'dd 00000001']) {
      expect(() => decodeMsgpack(hex(head.repeat(100_000) + '00'))).toThrow('nested more than 256 deep');
    }
    expect(decodeMsgpack(hex('91'.repeat(256) + '00'))).toBeDefined();
  });

  test('is refused when it is cut off anywhere, or followed by other bytes', () => {
    const whole = Buffer.from(
      encode({
        a: [1, -1, 300, 70_000, 2 ** 40, 1.5, 'x'.repeat(40), null, true],
        b: new Uint8Array(300),
        c: new Date(1),
      }),
    );
    expect(decodeMsgpack(whole)).toBeDefined();
    for (let length = 0; length < whole.length; length++) {
      expect(() => decodeMsgpack(whole.subarray(0, length))).toThrow();
    }
    expect(() => decodeMsgpack(Buffer.concat([whole, Buffer.from([0])]))).toThrow('followed by other bytes');
  });

  test('of random bytes is decoded or refused, in time that their number bounds', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), (bytes) => {
        try {
          decodeMsgpack(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
        }
      }),
      { numRuns: 3_000 },
    );
  });
});
