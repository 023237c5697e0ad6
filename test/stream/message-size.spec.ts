import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { checkBytes, checkSize, MessageTooLargeError, nameOf } from '../../lib/stream/message-size.js';
import { encodeMessage, EntryType, type LogMessage } from '../../lib/wire/entry.js';

const opts = { rooms: [], except: [], flags: {} };
const server = { uid: 'me', nsp: '/' };
const fieldsOf = (message: Partial<LogMessage>): string[] =>
  encodeMessage({ ...server, ...message } as LogMessage, { onlyPlaintext: false });
const broadcast = (...data: unknown[]): string[] =>
  fieldsOf({ type: EntryType.Broadcast, data: { packet: { type: 2, data }, opts } });

function isRefused(check: () => void): boolean {
  try {
    check();
    return false;
  } catch (error) {
    expect(error).toBeInstanceOf(MessageTooLargeError);
    return true;
  }
}

describe('the size of a message', () => {
  test('is refused by its bytes, neither one too early nor one too late, whatever characters it has', () => {
    const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.constantFrom('☃☃☃', 'naïve', '💥'));
    fc.assert(
      fc.property(fc.array(text, { minLength: 1 }), (fields) => {
        const bytes = Buffer.byteLength(fields.join(''));
        fc.pre(bytes > 1);
        const refusals = [bytes - 1, bytes, bytes + 1].map((limit) => isRefused(() => checkSize(fields, limit)));
        expect(refusals).toEqual([true, false, false]);
      }),
    );
  });

  test('is of no interest without a limit', () => {
    expect(isRefused(() => checkSize(['x'.repeat(1_000)], 0))).toBe(false);
    expect(isRefused(() => checkBytes('e', Buffer.alloc(1_000), 0))).toBe(false);
  });

  test('is that of the bytes if they are published', () => {
    const refusals = [9, 10, 11].map((limit) => isRefused(() => checkBytes('e', Buffer.alloc(10), limit)));
    expect(refusals).toEqual([true, false, false]);
  });

  test('too large says which event it is, how large, and what may be done', () => {
    expect(() => checkSize(broadcast('news', 'x'.repeat(100)), 50)).toThrow(
      /^the event "news" is too large: \d{3} bytes, and maxMessageBytes is 50\. Send less/,
    );
    expect(() => checkBytes('news', Buffer.alloc(60), 50)).toThrow('the event "news" is too large: 60 bytes');
  });
});

describe('nameOf', () => {
  test.each<[name: string, fields: string[]]>([
    ['the event "news"', broadcast('news', 1)],
    ['the event "news"', broadcast('news', Buffer.from('binary'))],
    ['the event 7', broadcast(7)],
    ['socketsJoin', fieldsOf({ type: EntryType.SocketsJoin, data: { opts, rooms: ['r'] } })],
    ['socketsLeave', fieldsOf({ type: EntryType.SocketsLeave, data: { opts, rooms: ['r'] } })],
    ['disconnectSockets', fieldsOf({ type: EntryType.DisconnectSockets, data: { opts, close: true } })],
    ['a message', ['uid', 'me', 'nsp', '/', 'type', '3', 'data', '{broken']],
  ])('is %s', (name, fields) => {
    expect(nameOf(fields)).toBe(name);
  });
});
