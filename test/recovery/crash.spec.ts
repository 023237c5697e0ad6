import { describe, expect, test } from '@jest/globals';
import { RedisServer, until } from '../kit/index.js';
import { Random } from '../kit/random.js';
import { anomalies, Ledger } from './ledger.js';
import { startNode } from './recovery-node.js';
import { startRecoveryProcess, type RecoveryProcessOptions } from './recovery-process.js';
import { receives, visit, type Visitor, visits } from './visitor.js';

const ADAPTER = { heartbeatInterval: 200, heartbeatTimeout: 600, maxLen: 1_000_000 };

async function startChild(port: number, name: string, more: Partial<RecoveryProcessOptions> = {}) {
  const options: RecoveryProcessOptions = { kind: 'ours', port, adapter: ADAPTER, middleware: 10, ...more };
  const node = await startRecoveryProcess(options, { name });
  return { node, url: await node.call<string>('url') };
}

describe('a node that is killed', () => {
  test('three times, under load, leaves clients that recover elsewhere with their rooms, exactly', async () => {
    const redis = await RedisServer.start();
    const random = new Random(3);
    const nodes = [
      await startChild(redis.port, 'a'),
      await startChild(redis.port, 'b'),
      await startChild(redis.port, 'c'),
    ];
    const ledger = new Ledger();
    const visitors: Visitor[] = [];
    for (let i = 0; i < 30; i++) {
      visitors.push(await visit(nodes[i % 3]!, { rooms: ledger.roomsOf(i) }));
    }
    const sids = visitors.map(({ sid }) => sid);
    await Promise.all(nodes.map(({ node }, i) => node.call('startLoad', `first ${i}`, i, 5, sids)));
    await Promise.all(visitors.map((visitor) => receives(visitor, 5)));

    for (let round = 0; round < 3; round++) {
      const [killed, ...others] = nodes;
      for (const visitor of visitors) {
        visitor.goTo(random.pick(others).url); // when it has lost its node
      }
      await killed!.node.kill();
      await until(() => visitors.every(({ isConnected }) => isConnected), { what: 'all clients to be back' });
      const next = await startChild(redis.port, `next ${round}`);
      await next.node.call('startLoad', `next ${round}`, round, 5, sids);
      const counts = visitors.map(({ received }) => received.length);
      await until(() => visitors.every(({ received }, i) => received.length > counts[i]! + 5), {
        what: 'all clients to go on',
      });
      nodes.splice(0, 1);
      nodes.push(next);
    }
    await Promise.all(nodes.map(({ node }) => node.call('stopLoad')));
    await until(
      async () => {
        const all = await Promise.all(nodes.map(({ node }) => node.call('status')));
        return all.every(({ streams: [stream] }: any) => stream.outbox.entries === 0 && stream.backlog === 0);
      },
      { what: 'all to be appended and read' },
    );
    await ledger.noteStream(redis, 'socket.io', sids);
    await ledger.arrived(visitors);

    const report = ledger.check(visitors);
    expect({ ...report, anomalies: anomalies(report) }).toMatchObject({ anomalies: 0, missing: 0, refused: 0 });
    expect(report.recoveries).toBeGreaterThanOrEqual(30);
  }, 120_000);

  test('leaves the data of its sockets as they were at its last heartbeat', async () => {
    const redis = await RedisServer.start();
    const { node, url } = await startChild(redis.port, 'a');
    const other = await startNode({ port: redis.port });
    const visitor = await visit({ url }, { rooms: ['red'] });
    await node.call('emit', 0);
    await receives(visitor, 1);
    const stored = async (): Promise<string> => {
      const hash = (await redis.command('HVALS', `sio:session:live:${await node.call<string>('id')}`)) as string[];
      return Buffer.from(hash.join(), 'base64').toString('latin1');
    };
    await node.call('setData', visitor.sid, { name: 'late, and without any change of rooms' });
    await until(async () => (await stored()).includes('late, and without'), { what: 'the data to be written' });
    visitor.goTo(other.url);

    await node.kill();
    other.io.to('red').emit('msg', 1);
    await visits(visitor, 2);

    await receives(visitor, 2);
    expect(visitor.values).toEqual([0, 1]);
    const [socket] = await other.io.in('red').local.fetchSockets();
    expect(socket!.data).toEqual({ name: 'late, and without any change of rooms', connections: 1 });
  });

  test('leaves nothing to recover from without checkpoints, but a clean disconnect does', async () => {
    const redis = await RedisServer.start();
    const adapter = { ...ADAPTER, sessionCheckpoints: false };
    const { node, url } = await startChild(redis.port, 'a', { adapter });
    const other = await startNode({ port: redis.port, adapter });
    const [clean, crashed] = [await visit({ url }), await visit({ url })];
    await node.call('emit', 0);
    await Promise.all([receives(clean, 1), receives(crashed, 1)]);
    expect(await redis.command('KEYS', 'sio:session:*')).toEqual([]);

    await clean.stayAway();
    await until(async () => ((await redis.command('KEYS', 'sio:session:*')) as string[]).length === 1, {
      what: 'the session to be written',
    });
    clean.comeBack(other.url);
    await visits(clean, 2);
    crashed.goTo(other.url);
    await node.kill();
    await visits(crashed, 2);

    expect(clean.socket.recovered).toBe(true);
    expect(crashed.socket.recovered).toBe(false);
  });

  test('leaves nothing in Redis for ever', async () => {
    const redis = await RedisServer.start();
    const { node, url } = await startChild(redis.port, 'a', { maxDisconnectionDuration: 1_000 });
    const visitor = await visit({ url });
    await until(async () => ((await redis.command('KEYS', 'sio:session:*')) as string[]).length === 2, {
      what: 'the session to be written',
    });
    const hash = `sio:session:live:${await node.call<string>('id')}`;
    expect(Number(await redis.command('PTTL', hash))).toBeGreaterThan(1_000);
    visitor.close();
    await node.kill();

    await until(async () => (await redis.command('EXISTS', hash)) === 0, { what: 'the hash to expire' });
    // Another node removes it from the directory, when it has been silent for a while.
    const other = await startNode({ port: redis.port });
    await visit(other);
    await until(async () => Number(await redis.command('ZCARD', 'sio:session:live:nodes')) === 1, {
      what: 'the directory to be tidied',
    });
  });
});
