import { encode } from '@msgpack/msgpack';
import type { Redis } from 'ioredis';
import type { BenchNode } from './node.child.js';
import { Receipts } from './receipts.js';
import { messageOf, ROOM, type Message, type Payload, type Target } from './scenarios.js';

const STREAM = 'socket.io';

/** What any adapter on a stream must do at the least: append an entry of the same bytes, and read it. */
export function rawNode(redis: Redis, index: number): BenchNode {
  const receipts = new Receipts();
  void read(redis.duplicate(), (message) => receipts.note(index, message));
  return {
    receipts,
    emit(target: Target, message: Message) {
      redis
        .xadd(
          STREAM,
          'MAXLEN',
          '~',
          10_000,
          '*',
          ...['at', message.at, 'run', message.run],
          ...fieldsOf(target, message),
        )
        .catch(() => undefined);
    },
  };
}

async function read(redis: Redis, note: (message: Pick<Message, 'at' | 'run'>) => void): Promise<void> {
  let position = '0-0';
  for (;;) {
    const reply = await redis.xread('COUNT', 100, 'BLOCK', 5_000, 'STREAMS', STREAM, position);
    for (const [id, [, at, , run]] of reply?.[0]?.[1] ?? []) {
      position = id;
      note({ at: Number(at), run: Number(run) });
    }
  }
}

const encoded = new Map<string, string[]>();

/** The fields of an entry of the reference, encoded once. */
function fieldsOf(target: Target, message: Message): string[] {
  const payload: Payload = message.bytes ? 'binary' : message.text === 'hello' ? 'small' : 'large';
  const key = `${target} ${payload}`;
  let fields = encoded.get(key);
  if (!fields) {
    const packet = { type: 2, data: ['message', messageOf(payload, 0, 0)], nsp: '/' };
    const data = { packet, opts: { rooms: target === 'all' ? [] : [ROOM], except: [], flags: {} } };
    const text = message.bytes ? Buffer.from(encode(data)).toString('base64') : JSON.stringify(data);
    fields = ['uid', '0123456789abcdef', 'nsp', '/', 'type', '3', 'data', text];
    encoded.set(key, fields);
  }
  return fields;
}
