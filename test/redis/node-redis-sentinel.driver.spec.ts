import { createSentinel } from 'redis-5';
import { beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { redisSentinelDriver } from '../../lib/redis/drivers/node-redis-sentinel.driver.js';
import { RedisSentinel, until } from '../kit/index.js';
import { Probe } from './rows.js';

describe('NodeRedisSentinelDriver, NodeRedisSentinelSocket, NodeRedisMasterSearch', () => {
  const roles = ['commands', 'subscriber', 'reader', 'reader', 'reader'] as const;
  let group: RedisSentinel;
  let made: string[];
  /** A driver that writes down each sentinel client that it makes, which costs a tenth of a second each. */
  const driver = (): any =>
    redisSentinelDriver(
      (options: { sentinelRootNodes: { port: number }[] }) => {
        made.push(options.sentinelRootNodes.map(({ port }) => port).join(' '));
        return createSentinel(options as never);
      },
      { name: group.name, sentinelRootNodes: group.addresses },
    );

  beforeAll(async () => {
    group = await RedisSentinel.start({ sentinels: 3 });
  }, 60_000);
  beforeEach(() => {
    made = [];
  });

  test('connections that are opened together share one search for the master, and one each failover', async () => {
    const shared = driver();
    const probes = await Promise.all(roles.map((role) => new Probe(shared, { role }).ready()));
    expect(made).toHaveLength(1);

    for (const { connection } of probes) connection.reset();
    await Promise.all(probes.map((probe) => probe.ready(2)));
    expect(made).toHaveLength(2);
  });

  test('a silent sentinel is passed over within one search, which leaves no connection', async () => {
    const silent = group.sentinels[0]!;
    const connections = async (): Promise<string> => String(await silent.command('CLIENT', 'LIST'));
    silent.pause();
    try {
      const shared = driver();
      const probes = await Promise.all(roles.map((role) => new Probe(shared, { role }).ready()));
      expect(made).toHaveLength(1);
      expect(probes.map(({ errors }) => errors)).toEqual(roles.map(() => []));
      await Promise.all(probes.map(({ connection }) => connection.close()));
    } finally {
      silent.resume();
    }
    await until(async () => !/name=redis-streams|lib-name=node-redis/.test(await connections()), {
      what: 'the connections to the sentinel to go',
    });
  }, 30_000);
});
