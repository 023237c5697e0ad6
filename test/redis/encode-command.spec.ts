import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { encodeCommand, type EncodedCommands } from '../../lib/redis/resp/encode-command.js';
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
