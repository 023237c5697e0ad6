import { expect, test } from '@jest/globals';
import { Member, numbers, RedisServer, RespClient, startMemberProcess, until } from '../kit/index.js';
import { encode } from '@msgpack/msgpack';
import { observe } from './record.js';

test('nothing grows without a bound over 200,000 messages and 1,500 nodes that come and go', async () => {
  const redis = await RedisServer.start();
  const sender = await Member.start({ port: redis.port, client: false });
  const receiver = await startMemberProcess(
    {
      port: redis.port,
      adapter: { replayMaxEntries: 5_000, heartbeatInterval: 100, heartbeatTimeout: 200 },
      server: { connectionStateRecovery: {} },
    },
    { execArgv: ['--expose-gc'] },
  );
  const client = await RespClient.connect(redis.port);
  const seen = (): Promise<number> => receiver.call<number>('readCount');
  let sent = 0;
  const round = async (messages: number, nodes: number): Promise<number> => {
    for (const i of numbers(nodes)) {
      const node = { id: `peer-${sent}-${i}`, host: 'h', pid: 1, startedAt: 1, sockets: 0, backlog: 0, servers: 1 };
      for (const kind of ['ping', 'goodbye']) {
        const payload = Buffer.from(encode({ kind, node, streams: {} }));
        await client.command('PUBLISH', 'socket.io#heartbeat#socket.io#', payload);
      }
    }
    for (let batch = 0; batch < messages; batch += 5_000) {
      for (let i = 0; i < 5_000; i++) {
        // Rooms of their own, as with socket.emit: what is remembered by room must be bounded too.
        sender.io.to(`room ${sent++}`).emit('msg', 'x'.repeat(20));
      }
      await until(async () => (await seen()) >= sent, { what: 'a batch to be read', timeout: 20_000 });
    }
    return receiver.call<number>('heapUsed');
  };
  await round(120_000, 500); // what is remembered is full now
  const before = await round(5_000, 0);
  const after = await round(75_000, 1_000);
  expect(after - before).toBeLessThan(10 * 1024 * 1024);
  observe(
    '75,000 messages and 1,000 nodes more, after 125,000 and 500',
    `heap ${(before / 1e6).toFixed(1)} MB before, ${(after / 1e6).toFixed(1)} MB after`,
  );
  const { replay } = await receiver.call<{ replay: { entries: number } }>('stream');
  expect(replay.entries).toBe(5_000);
  expect(await receiver.call('nodeCount')).toBeLessThanOrEqual(1_001);
  client.close();
}, 90_000);
