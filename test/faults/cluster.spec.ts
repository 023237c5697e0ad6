import { expect, test } from '@jest/globals';
import { Cluster } from 'ioredis';
import { allReceived, Member, numbers, RedisCluster, until } from '../kit/index.js';
import { record } from './record.js';

test('a master of a cluster that dies, without a stream of ours, does not hold up what is broadcast', async () => {
  const redis = await RedisCluster.start({ replicas: 0, config: ['cluster-require-full-coverage no'] });
  const Client = class extends Cluster {
    constructor() {
      super(redis.rootNodes);
    }
  };
  const adapter = { maxLen: 1_000 };
  const members = [
    await Member.start({ port: 0, Client, adapter }),
    await Member.start({ port: 0, Client, adapter }),
  ] as const;
  const [sender] = members;
  const ofStream = await redis.masterOf('socket.io');
  const other = redis.alive.find((node) => node !== ofStream)!;
  await other.kill();
  await until(() => sender.node.status().reasons.some((reason) => reason.includes('commands')), { what: 'the loss' });

  for (const i of numbers(2_000)) {
    sender.io.emit('msg', i);
  }
  await allReceived([...members], 2_000);
  for (const { received, counters } of members) {
    expect(received).toEqual(numbers(2_000));
    expect(counters).toMatchObject({ lost: 0, dropped: 0 });
  }
  record('Redis Cluster: a master without the stream killed, no replica', [...members], 2_000);
});
