import { expect, test } from '@jest/globals';
import { RedisServer, until } from '../kit/index.js';
import { allReceived, Member } from './fleet.js';

test.each(['log', 'local-first'] as const)(
  'volatile broadcasts are not put on the stream and never wait for Redis (%s)',
  async (ordering) => {
    const redis = await RedisServer.start();
    const adapter = { ordering };
    const sender = await Member.start({ port: redis.port, adapter });
    const receiver = await Member.start({ port: redis.port, adapter });
    await until(
      () => {
        sender.io.volatile.emit('msg', 'volatile');
        return receiver.received.length > 0;
      },
      { what: 'a volatile broadcast to arrive' },
    );
    expect(await redis.command('EXISTS', 'socket.io')).toBe(0);

    await redis.kill();
    await until(() => sender.node.status().state === 'degraded', { what: 'the loss to be noticed' });
    sender.received.length = 0;
    sender.io.volatile.emit('msg', 'here only');
    await allReceived([sender], 1);
    expect(sender.received).toEqual(['here only']);
  },
);
