import { expect, test } from '@jest/globals';
import { RedisSentinel } from './index.js';

test('a replica takes over from a master that is killed', async () => {
  const group = await RedisSentinel.start({ password: 'secret' });
  const master = await group.master();
  await master.command('SET', 'key', 'value');
  await master.command('WAIT', 1, 1_000);
  expect(await group.failover()).toBe(master);
  expect(await (await group.master()).command('GET', 'key')).toBe('value');
});

test('three sentinels agree on a switch while the master lives', async () => {
  const group = await RedisSentinel.start({ replicas: 2, sentinels: 3 });
  const former = await group.switchover();
  expect(await group.masterPort()).not.toBe(former.port);
  expect(former.isRunning).toBe(true);
});
