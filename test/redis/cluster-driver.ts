import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { driverFor } from '../../lib/redis/driver-for.js';
import { freePort, RedisCluster, until } from '../kit/index.js';
import { Probe, type Address, type Row } from './rows.js';

const ROLES = ['commands', 'reader', 'subscriber'] as const;

/** What a driver does with the client of a Redis Cluster that it is given. */
export function describeClusterDriver(driver: string, rows: readonly Row<Address[]>[]): void {
  describe.each(rows)(`${driver} of $name`, ({ name, create, hasKeyPrefix }) => {
    let cluster: RedisCluster;
    const unhandled: unknown[] = [];
    const onUnhandled = (error: unknown): number => unhandled.push(error);

    beforeAll(async () => {
      process.on('unhandledRejection', onUnhandled);
      cluster = await RedisCluster.start({ replicas: 0 });
    }, 60_000);
    afterAll(() => {
      process.off('unhandledRejection', onUnhandled);
      expect(unhandled).toEqual([]);
    });

    /** The names of all connections to all nodes, but for those of the nodes to each other. */
    const connections = async (): Promise<string[]> =>
      (await Promise.all(cluster.alive.map((server) => server.clients()))).flat().map((client) => client.name);

    test('says that it is a cluster, of which package, and what the client puts before names', () => {
      const made = driverFor(create(cluster.rootNodes));
      expect([made.isCluster, made.name, made.prefix]).toEqual([
        ...[true, name.split(' ')[0], { keys: '', shardedChannels: '' }],
      ]);
      if (hasKeyPrefix) {
        const { prefix } = driverFor(create(cluster.rootNodes, { keyPrefix: 'app:' }));
        expect(prefix).toEqual({ keys: 'app:', shardedChannels: name.startsWith('ioredis') ? 'app:' : '' });
      }
    });

    test('opens named connections of its own, never the client, and leaves none when they are closed', async () => {
      const client = create(cluster.rootNodes);
      const probes = ROLES.map((role) => new Probe(client, { role, key: 's', connectionName: `own:${role}` }));
      await Promise.all(probes.map((probe) => probe.ready()));
      const [commands, reader, subscriber] = probes as [Probe, Probe, Probe];
      await subscriber.connection.subscribe(['channel']);
      await commands.connection.call(['XADD', 's', '*', 't', 'text']);
      expect(await reader.entries('s')).toEqual(['text']);
      await commands.connection.publish('channel', Buffer.from('payload'));
      await until(() => subscriber.messages.length === 1, { what: 'the message' });
      const names = await connections();
      expect(ROLES.filter((role) => !names.includes(`own:${role}`))).toEqual([]);
      expect(names.filter((one) => !one.startsWith('own:'))).toEqual([]);
      expect([client.isOpen, client.status]).toEqual(
        name.startsWith('ioredis') ? [undefined, 'wait'] : [false, undefined],
      );

      await Promise.all(probes.map(({ connection }) => connection.close()));
      await until(async () => (await connections()).length === 0, { what: 'all connections to be closed' });
    });

    test('finds the nodes by one that answers, and says why if none does', async () => {
      const nobody = { host: '127.0.0.1', port: await freePort() };
      const probe = await new Probe(create([nobody, ...cluster.rootNodes.slice(0, 1)])).ready();
      for (const key of ['a', 'b', 'c', 'd']) {
        expect(await probe.connection.call(['INCR', key])).toBe(1); // wherever its slot is
      }
      const lost = new Probe(create([nobody]));
      await until(() => lost.errors.length > 0, { what: 'the failure' });
      expect([lost.connection.ready, lost.errors[0]!.message]).toEqual([
        ...[false, expect.stringMatching(/ECONNREFUSED|Failed to refresh|[Nn]one of/)],
      ]);
    });
  });
}
