import { describe, expect, test } from '@jest/globals';
import { allReceived, Member, numbers, RedisServer, until } from '../kit/index.js';
import { record } from './record.js';

const isReader = ({ name }: { name: string }): boolean => name.endsWith(':reader');

describe('a reader whose connection is cut', () => {
  test('before it has read its first entry misses nothing', async () => {
    const redis = await RedisServer.start();
    const [sender, receiver] = [await Member.start({ port: redis.port }), await Member.start({ port: redis.port })];

    expect(await redis.killClients(isReader)).toBe(2);
    for (const i of numbers(200)) {
      sender.io.emit('msg', i);
    }

    await allReceived([sender, receiver], 200);
    expect(receiver.received).toEqual(numbers(200));
    expect(sender.received).toEqual(numbers(200));
    record('reader cut (`CLIENT KILL`) before its first read', [sender, receiver], 200);
  });

  test('ten times in a row under load delivers everything once and in order', async () => {
    const redis = await RedisServer.start();
    const [sender, receiver] = [await Member.start({ port: redis.port }), await Member.start({ port: redis.port })];

    let sent = 0;
    for (let cut = 0; cut < 10; cut++) {
      for (let i = 0; i < 500; i++) {
        sender.io.emit('msg', sent++);
      }
      await until(async () => (await redis.killClients(isReader)) > 0, { what: 'a reader to be cut' });
      await until(() => receiver.received.length > sent - 400, { what: 'the receiver to go on' });
    }

    await allReceived([sender, receiver], sent);
    expect(receiver.received).toEqual(numbers(sent));
    expect(receiver.counters).toMatchObject({ lost: 0, rejected: 0 });
    record('reader cut ten times in a row under load', [sender, receiver], sent);
  });
});

describe('a burst', () => {
  test.each(['log', 'local-first'] as const)(
    'of 50,000 broadcasts over a stream of 10,000 entries arrives whole and in order (%s)',
    async (ordering) => {
      const redis = await RedisServer.start();
      const adapter = { ordering };
      const sender = await Member.start({ port: redis.port, adapter });
      const receiver = await Member.start({ port: redis.port, adapter });

      for (const i of numbers(50_000)) {
        sender.io.emit('msg', i);
      }

      await allReceived([sender, receiver], 50_000, 60_000);
      expect(receiver.received).toEqual(numbers(50_000));
      expect(sender.received).toEqual(numbers(50_000));
      expect(receiver.counters.lost).toBe(0);
      record(`burst of 50,000 over a stream of 10,000 entries (${ordering})`, [sender, receiver], 50_000);
    },
    90_000,
  );
});
