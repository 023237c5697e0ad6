import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import type { ClusterNodeStatus } from '../../lib/adapter/index.js';
import { decodeSession } from '../../lib/wire/session.js';
import { RedisCluster, type RedisServer, until } from '../kit/index.js';
import { startRecoveryProcess } from './recovery-process.js';
import { Cluster, NodeNetwork, type RedisPlace } from './topology.js';
import { receives, visit, visits } from './visitor.js';

test('what a master of a cluster did not pass on before it became a replica is written again', async () => {
  const redis = await RedisCluster.start();
  const adapter = { heartbeatInterval: 200, heartbeatTimeout: 800 };
  const place = placeOf(redis);
  const [first, second] = [
    await startRecoveryProcess({ kind: 'ours', adapter, place }, { name: 'first' }),
    await startRecoveryProcess({ kind: 'ours', adapter, place }, { name: 'second' }),
  ];
  const visitor = await visit({ url: await first.call<string>('url') });
  const hash = `sio:session:live:${await first.call<string>('id')}`;
  const rooms = async (server: RedisServer): Promise<string[]> =>
    decodeSession(await server.command('HGET', hash, visitor.pid!), visitor.pid!)?.rooms ?? [];
  const master = await redis.masterOf(hash);
  const [replica] = await redis.replicasOf(hash);
  await until(async () => (await rooms(master)).length > 0, { what: 'the session to be written' });
  await first.call('emit', 'hello');
  await receives(visitor, 1);

  await replica!.command('CONFIG', 'SET', 'masterauth', 'wrong');
  await master.command('CLIENT', 'KILL', 'TYPE', 'replica');
  await until(async () => (await replica!.info('replication'))['master_link_status'] === 'down', {
    what: 'the replica to be left behind',
  });
  await visitor.socket.emitWithAck('join', 'late');
  await until(async () => (await rooms(master)).includes('late'), { what: 'the room to be written' });
  await replica!.command('CLUSTER', 'FAILOVER', 'TAKEOVER');
  await until(async () => (await master.info('replication'))['role'] === 'slave', { what: 'the master to follow' });
  await until(async () => (await rooms(replica!)).includes('late'), { what: 'the room to be written again' });

  visitor.goTo(await second.call<string>('url'));
  await first.kill();
  await visits(visitor, 2);
  expect(visitor.visits[1]).toMatchObject({ recovered: true });
  expect(await visitor.socket.emitWithAck('rooms')).toContain('late');
});

test('while a master is away, a node that does not answer is asked again: it may know more', async () => {
  const redis = await RedisCluster.start({ masters: 8, replicas: 0, config: ['cluster-require-full-coverage no'] });
  const adapter = { heartbeatInterval: 200, heartbeatTimeout: 5_000, commandTimeout: 10_000 };
  const network = await NodeNetwork.start(new Cluster(redis));
  const [first, second] = [
    await startRecoveryProcess({ kind: 'ours', adapter, place: network.place }, { name: 'first' }),
    await startRecoveryProcess({ kind: 'ours', adapter, place: placeOf(redis) }, { name: 'second' }),
  ];
  const visitor = await visit({ url: await first.call<string>('url') });
  await first.call('emit', 'hello');
  await receives(visitor, 1);
  const hashes = await Promise.all(
    [first, second].map(async (node) => `sio:session:live:${await node.call<string>('id')}`),
  );
  const sessionKeys = [`sio:session:${visitor.pid!}`, `sio:session:claims:${visitor.pid!}`, 'sio:session:live:nodes'];
  const used = await Promise.all(['socket.io', ...hashes, ...sessionKeys].map((key) => redis.masterOf(key)));
  await until(async () => (await used[1]!.command('HEXISTS', hashes[0]!, visitor.pid!)) === 1, {
    what: 'the session to be written',
  });

  await redis.nodes.find((node) => !used.includes(node))!.kill();
  await until(
    async () => (await second.call<ClusterNodeStatus>('status')).reasons.some((one) => /commands/.test(one)),
    { what: 'the loss of a master to be noticed' },
  );
  network.blackhole();
  await visitor.socket.emitWithAck('join', 'late');
  visitor.goTo(await second.call<string>('url'));
  visitor.cut();
  await sleep(2_000); // longer than a node has to answer
  expect(visitor.visits).toHaveLength(1);
  network.heal();

  await visits(visitor, 2);
  expect(visitor.visits[1]).toMatchObject({ recovered: true });
  expect(await visitor.socket.emitWithAck('rooms')).toContain('late');
}, 60_000);

/** Where a node finds it without anything between. */
function placeOf({ rootNodes }: RedisCluster): RedisPlace {
  return { kind: 'cluster', nodes: rootNodes, natMap: {} };
}
