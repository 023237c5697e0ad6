import { expect, test } from '@jest/globals';
import { Cluster } from 'ioredis';
import { Member, numbers, RedisCluster, until } from '../kit/index.js';
import { welcome } from '../recovery/recovery-node.js';
import { receives, visit, type Visitor, visits } from '../recovery/visitor.js';

/** Two nodes with connection state recovery on a Redis Cluster. */
async function setUp(adapter: object = {}): Promise<{ cluster: RedisCluster; a: Member; b: Member }> {
  const cluster = await RedisCluster.start();
  const Client = class extends Cluster {
    constructor() {
      super(cluster.rootNodes);
    }
  };
  const start = async (): Promise<Member> => {
    const member = await Member.start({
      ...{ port: 0, Client, client: false },
      adapter: { commandTimeout: 60_000, ...adapter },
      server: { connectionStateRecovery: { maxDisconnectionDuration: 120_000, skipMiddlewares: true } },
    });
    welcome(member.io.of('/'), undefined);
    return member;
  };
  return { cluster, a: await start(), b: await start() };
}

/** Clients that were at node a, and have missed a message since. */
async function clientsAway(cluster: RedisCluster, a: Member, count: number): Promise<Visitor[]> {
  const visitors = await Promise.all(numbers(count).map(() => visit(a)));
  a.io.emit('msg', 0);
  await Promise.all(visitors.map((visitor) => receives(visitor, 1)));
  await Promise.all(visitors.map((visitor) => visitor.stayAway()));
  await until(() => a.io.of('/').sockets.size === 0, { what: 'the sockets to be gone' });
  a.io.emit('msg', 1);
  for (const { pid } of visitors) {
    const key = `sio:session:${pid}`;
    await until(async () => (await (await cluster.masterOf(key)).command('EXISTS', key)) === 1, { what: 'a session' });
  }
  for (const name of [...visitors.map(({ pid }) => `sio:session:${pid}`), 'socket.io']) {
    const [master, [replica]] = [await cluster.masterOf(name), await cluster.replicasOf(name)];
    const offset = Number((await master.info('replication'))['master_repl_offset']);
    const hasAll = async (): Promise<boolean> =>
      Number((await replica!.info('replication'))['slave_repl_offset']) >= offset;
    await until(hasAll, { what: 'what the master has to come to its replica' });
  }
  return visitors;
}

/**
 * Kills the master of `key`. The clients come back as soon as the node has noticed, and wait for the failover, however long it
 * takes: if no replica gets the votes at once, the next election is seconds later.
 */
async function comeBackInFailover(visitors: Visitor[], b: Member, cluster: RedisCluster, key: string): Promise<void> {
  const master = await cluster.masterOf(key);
  await master.kill();
  await until(() => b.node.status().reasons.some((reason) => reason.includes('commands')), { what: 'the loss' });
  for (const visitor of visitors) {
    visitor.comeBack(b.url);
  }
  await cluster.movedFrom(master, key);
  await Promise.all(visitors.map((visitor) => visits(visitor, 2)));
  await Promise.all(visitors.map((visitor) => receives(visitor, 2)));
  expect(visitors.map(({ values, refused }) => [values, refused])).toEqual(visitors.map(() => [numbers(2), 0]));
}

test('Redis Cluster: clients that come back while the master of their sessions fails over are waited for', async () => {
  const { cluster, a, b } = await setUp();
  const visitors = await clientsAway(cluster, a, 12);
  await comeBackInFailover(visitors, b, cluster, `sio:session:${visitors[0]!.pid}`);
}, 90_000);

test('Redis Cluster: what clients missed is replayed once the master of the stream is back', async () => {
  const { cluster, a, b } = await setUp({ replayMaxEntries: 0 });
  const visitors = await clientsAway(cluster, a, 6);
  await comeBackInFailover(visitors, b, cluster, 'socket.io');
}, 90_000);
