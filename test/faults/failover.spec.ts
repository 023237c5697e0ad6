import { describe, expect, test } from '@jest/globals';
import { allReceived, from, Member, numbers, RedisSentinel, RedisServer, TcpProxy, until } from '../kit/index.js';
import { record } from './record.js';

describe('a failover to a replica without the last entries', () => {
  test('at the same address: what is written after is read, nothing twice, and it is reported', async () => {
    const master = await RedisServer.start();
    const replication = await TcpProxy.start(master.port);
    const replica = await RedisServer.start();
    await replica.command('REPLICAOF', '127.0.0.1', String(replication.port));
    await replica.inSync();
    const address = await TcpProxy.start(master.port);
    const [a, b] = [await Member.start({ port: address.port }), await Member.start({ port: address.port })];
    for (const i of numbers(100)) {
      a.io.emit('msg', i);
    }
    await allReceived([a, b], 100);
    await until(async () => (await replica.command('XLEN', 'socket.io')) === 100, { what: 'the replica to have them' });

    replication.cut();
    replication.refuse();
    for (const i of numbers(20)) {
      a.io.emit('msg', 100 + i);
    }
    await allReceived([a, b], 120);
    await until(() => a.counters.appended === 120, { what: 'all to be appended' });
    await master.kill();
    await replica.command('REPLICAOF', 'NO', 'ONE');
    address.target(replica.port);
    for (const i of numbers(50)) {
      (i % 2 ? a : b).io.emit('msg', 120 + i);
    }

    await allReceived([a, b], 170);
    for (const { received } of [a, b]) {
      expect([...(received as number[])].sort((x, y) => x - y)).toEqual(numbers(170));
    }
    await until(() => b.eventsOf('stream-replaced').length > 0, { what: 'the failover to be reported' });
    expect(b.eventsOf('stream-replaced')).toMatchObject([{ reason: 'rewound' }]);
    expect(b.counters).toMatchObject({ duplicates: 0, lost: 0 });
    record('failover at the same address to a replica without the last 20 entries', [a, b], 170);
  });

  test('through Sentinel: all nodes follow the new master', async () => {
    const sentinel = await RedisSentinel.start();
    const redis = { sentinels: sentinel.addresses, name: sentinel.name };
    const start = (): Promise<Member> => Member.start({ port: 0, redis });
    const [a, b] = [await start(), await start()];
    for (const i of numbers(50)) {
      a.io.emit('msg', [0, i]);
    }
    await allReceived([a, b], 50);

    let sent = 50;
    const timer = setInterval(() => {
      a.io.emit('msg', [0, sent]);
      b.io.emit('msg', [1, sent++ - 50]);
    }, 10);
    await sentinel.failover();
    const at = sent;
    await until(() => sent > at + 50, { what: 'some broadcasts after the failover' });
    clearInterval(timer);

    // Redis replicates asynchronously: what was acknowledged and not replicated can be lost, but is never silent.
    await until(
      () =>
        [a, b].every(({ received }) => from(0, received).at(-1) === sent - 1 && from(1, received).at(-1) === sent - 51),
      { what: 'the last messages', timeout: 20_000 },
    );
    for (const { received, counters } of [a, b]) {
      for (const sender of [0, 1]) {
        const numbers = from(sender, received);
        expect(numbers).toEqual([...new Set(numbers)].sort((x, y) => x - y));
      }
      expect(received.length + counters.lost).toBeGreaterThanOrEqual(2 * sent - 50);
    }
    const lost = a.counters.lost + b.counters.lost;
    record('failover by Sentinel while two nodes broadcast', [a, b], 2 * sent - 50, lost);
  });
});
