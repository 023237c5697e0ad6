import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { encodeCommand, RecurringCommand, type EncodedCommands } from '../../lib/redis/resp/encode-command.js';
import { ReplySplitter } from '../../lib/redis/resp/reply-splitter.js';
import { RespCursor } from '../../lib/redis/resp/resp-cursor.js';

const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.constantFrom('', '\r\n', '$-1\r\n', '☃'));

test('encoded commands are arrays of strings of bytes, whatever their words are', () => {
  const word = fc.oneof(
    text,
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  );
  fc.assert(
    fc.property(fc.array(fc.array(word, { minLength: 1 }), { minLength: 1 }), (commands) => {
      const out: EncodedCommands = [];
      for (const command of commands) {
        encodeCommand(command, out);
      }
      const read: unknown[] = [];
      const splitter = new ReplySplitter((bytes, start) => read.push(new RespCursor(bytes, start).decode(true)));
      splitter.push(Buffer.concat(out.map((part) => Buffer.from(part as string))));
      expect(read).toEqual(commands.map((command) => command.map((one) => Buffer.from(one as string))));
    }),
  );
});

test('a recurring command is encoded as any other, whatever it has in common with the one before', () => {
  const word = fc.oneof(fc.constantFrom('XREAD', 'COUNT', '100', '☃', ''), text);
  fc.assert(
    fc.property(fc.array(fc.array(word, { minLength: 1, maxLength: 4 }), { minLength: 1 }), (commands) => {
      const recurring = new RecurringCommand();
      for (const command of commands.flatMap((one) => [one, [...one.slice(0, -1), 'x'], one])) {
        const out: EncodedCommands = [];
        encodeCommand(command, out);
        expect(recurring.encode(command)).toBe(out.join(''));
      }
    }),
  );
});

test('a recurring command with bytes is not encoded as text, and changes nothing for the next', () => {
  const recurring = new RecurringCommand();
  expect(recurring.encode(['GET', 'a'])).toBe('*2\r\n$3\r\nGET\r\n$1\r\na\r\n');
  expect(recurring.encode(['SET', Buffer.from('a'), 'b'])).toBeUndefined();
  expect(recurring.encode(['GET', Buffer.from('a')])).toBeUndefined();
  expect(recurring.encode(['GET', 'b'])).toBe('*2\r\n$3\r\nGET\r\n$1\r\nb\r\n');
});
