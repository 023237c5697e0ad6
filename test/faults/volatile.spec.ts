import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import { allReceived, Member, RedisServer, startMemberProcess, until } from '../kit/index.js';
import { observe } from './record.js';

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

test('what is published to a node while it is stopped for long waits in its subscriber connection', async () => {
  const redis = await RedisServer.start();
  const heartbeatTimeout = 1_000;
  const sender = await Member.start({ port: redis.port, adapter: { heartbeatTimeout } });
  const receiver = await startMemberProcess({ port: redis.port, adapter: { heartbeatTimeout } });
  await until(
    async () => {
      sender.io.volatile.emit('msg', 'before');
      return (await receiver.call<unknown[]>('received')).length > 0;
    },
    { what: 'a volatile broadcast to arrive' },
  );

  await sleep(100); // while a write to the client is under way, it is given nothing volatile
  receiver.pause();
  sender.io.volatile.emit('msg', 'meanwhile');
  await sleep(3 * heartbeatTimeout); // it will find that it has not heard itself for so long
  receiver.resume();

  await until(async () => (await receiver.call<unknown[]>('received')).at(-1) === 'meanwhile', {
    what: 'what was published while it was stopped',
  });
  observe(
    `node stopped (SIGSTOP) for ${(3 * heartbeatTimeout) / 1_000} s, three times its \`heartbeatTimeout\``,
    'the volatile broadcast of that time arrived',
  );
});
