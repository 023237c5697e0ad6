import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { sessionKeyPrefix, SessionKeys, streamIndexOf, streamNames } from '../../lib/wire/keys.js';
import { referenceIndexOf } from '../kit/fleet.js';

const nsp = fc.string({ unit: 'binary' }).map((name) => `/${name}`);
const pid = fc.stringMatching(/^[\w-]{1,24}$/);

describe('streamNames', () => {
  test('are the name alone, or the name with the numbers from 0', () => {
    expect(streamNames({ streamName: 'chat', streamCount: 1 })).toEqual(['chat']);
    expect(streamNames({ streamName: 'chat', streamCount: 3 })).toEqual(['chat-0', 'chat-1', 'chat-2']);
  });
});

describe('streamIndexOf', () => {
  test('is that of the reference, without the sign, and always the number of a stream', () => {
    fc.assert(
      fc.property(nsp, fc.integer({ min: 1, max: 64 }), (name, count) => {
        const index = streamIndexOf(name, count);
        expect(index).toBe(Math.abs(referenceIndexOf(name, count)));
        expect(Number.isInteger(index) && index >= 0 && index < count).toBe(true);
      }),
    );
  });
});

describe('SessionKeys', () => {
  test('of the reference’s stream are those of the reference', () => {
    const keys = new SessionKeys(sessionKeyPrefix('sio:session:', 'socket.io'));
    expect(keys.stored('abc')).toBe('sio:session:abc');
  });

  test('of one application are never those of another, nor of another purpose', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.string(), { minLength: 2, maxLength: 3 }), pid, pid, (streams, a, b) => {
        const all = streams.flatMap((stream) => {
          const keys = new SessionKeys(sessionKeyPrefix('p:', stream));
          const ids = [...new Set([a, b])];
          return [...ids.flatMap((id) => [keys.stored(id), keys.live(id), keys.claims(id)]), keys.directory];
        });
        // A node's id is 16 hexadecimal digits, so none is "nodes".
        fc.pre(a !== 'nodes' && b !== 'nodes');
        expect(new Set(all).size).toBe(all.length);
      }),
    );
  });
});
