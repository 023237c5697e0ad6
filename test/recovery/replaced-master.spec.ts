import { expect, test } from '@jest/globals';
import { decodeSession } from '../../lib/wire/session.js';
import { RedisCluster, type RedisServer, until } from '../kit/index.js';
import { startRecoveryProcess } from './recovery-process.js';
import { receives, visit, visits } from './visitor.js';

test('what a master of a cluster did not pass on before it became a replica is written again', async () => {
  const redis = await RedisCluster.start();
  const adapter = { heartbeatInterval: 200, heartbeatTimeout: 800 };
  const place = { kind: 'cluster', nodes: redis.rootNodes, natMap: {} } as const;
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
