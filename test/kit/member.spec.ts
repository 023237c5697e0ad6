import { expect, test } from '@jest/globals';
import { allReceived, from, Member, numbers, RedisServer, startMemberProcess, TcpProxy, until } from './index.js';

/** The smallest test on several nodes: see docs/testing.md. */
test('members on one Redis, in this process or another, receive what each emits, after an outage too', async () => {
  const redis = await RedisServer.start();
  const network = await TcpProxy.start(redis.port);
  const [near, far] = [await Member.start({ port: redis.port }), await Member.start({ port: network.port })];
  const child = await startMemberProcess({ port: redis.port });
  const receivedByChild = (): Promise<unknown[]> => child.call<unknown[]>('received');

  near.io.emit('msg', [0, 0]);
  await allReceived([near, far], 1);
  network.refuse();
  network.cut();
  await until(() => far.eventsOf('redis-lost').length > 0, { what: 'the far member to be without Redis' });
  near.io.emit('msg', [0, 1]);
  far.io.emit('msg', [1, 0]);
  await network.accept();

  await allReceived([near, far], 3);
  await until(async () => (await receivedByChild()).length === 3, { what: 'three messages in the child process' });
  for (const received of [near.received, far.received, await receivedByChild()]) {
    expect(from(0, received)).toEqual(numbers(2));
    expect(from(1, received)).toEqual(numbers(1));
  }
});
