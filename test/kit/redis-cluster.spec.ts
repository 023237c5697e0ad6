import { beforeEach, expect, test } from '@jest/globals';
import { RedisCluster } from './index.js';

let cluster: RedisCluster;

beforeEach(async () => {
  cluster = await RedisCluster.start();
});

test('a cluster has masters for all slots and a replica for each', async () => {
  expect(cluster.nodes).toHaveLength(6);
  const masters = await Promise.all(['a', 'b', 'c'].map((key) => cluster.masterOf(key)));
  expect(new Set(masters).size).toBe(3);
  expect(await cluster.replicasOf('a')).toHaveLength(1);
});

test('a replica takes over from a master that is killed, and keeps its data', async () => {
  const master = await cluster.masterOf('key');
  await master.command('SET', 'key', 'value');
  await master.command('WAIT', 1, 1_000);
  expect(await cluster.killMaster('key')).toBe(master);
  expect(await (await cluster.masterOf('key')).command('GET', 'key')).toBe('value');
  await master.restart();
  await master.inSync();
});

test('a replica takes over from a living master in good order', async () => {
  const master = await cluster.masterOf('key');
  await cluster.failover('key');
  expect(await cluster.masterOf('key')).not.toBe(master);
});

test('a slot moves to another master with its keys', async () => {
  const master = await cluster.masterOf('key');
  await master.command('SET', 'key', 'value');
  const next = await cluster.migrateSlot('key');
  expect(next).not.toBe(master);
  expect(await cluster.masterOf('key')).toBe(next);
  expect(await next.command('GET', 'key')).toBe('value');
  await expect(master.command('GET', 'key')).rejects.toThrow('MOVED');
});
