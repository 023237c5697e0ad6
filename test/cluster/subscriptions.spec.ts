import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import { Cluster } from 'ioredis';
import { observe } from '../faults/record.js';
import { Member, RedisCluster, RedisServer, TcpProxy, until } from '../kit/index.js';

const NAMESPACES = 5_000;

describe('Subscriptions', () => {
  test.each([
    ['plain', {}],
    ['sharded', { useShardedPubSub: true }],
  ])(
    'of 5,000 namespaces on two nodes are subscribed within seconds, and again after an outage (%s)',
    async (how, adapter) => {
      const redis = await RedisServer.start();
      const members = [
        await Member.start({ port: redis.port, adapter, client: false }),
        await Member.start({ port: redis.port, adapter, client: false }),
      ];
      const [asking, other] = members as [Member, Member];
      const subscribe = how === 'plain' ? 'subscribe' : 'ssubscribe';
      const calls = async (): Promise<number> =>
        Number(/calls=(\d+)/.exec((await redis.info('commandstats'))[`cmdstat_${subscribe}`] ?? '')?.[1] ?? 0);
      const areBack = (since: number): Promise<number> =>
        until(
          async () => {
            const last = await asking.io.of(`/${NAMESPACES - 1}`).adapter.serverCount();
            return (
              last === 2 &&
              members.every(({ node }) => node.status().state === 'running') &&
              (await channelsOf(redis, how)) === 3 * (NAMESPACES + 1) + 1 && // two private ones and a public one of each
              performance.now() - since
            );
          },
          { what: 'all channels', timeout: 30_000, interval: 50 },
        );

      const created = performance.now();
      for (const { io } of members) {
        for (let i = 0; i < NAMESPACES; i++) io.of(`/${i}`);
      }
      const atFirst = await areBack(created);
      const callsAtFirst = await calls();
      let answers = 0;
      other.io.of(`/${NAMESPACES - 1}`).on('who?', (answer: (name: string) => void) => answer(`other ${++answers}`));

      await redis.killClients(({ name }) => name.startsWith('redis-streams:'));
      await until(() => members.every(({ node }) => node.status().state === 'degraded'), { what: 'the loss' });
      const lost = performance.now();
      const again = await areBack(lost);
      expect(await asking.io.of(`/${NAMESPACES - 1}`).serverSideEmitWithAck('who?')).toEqual(['other 1']);
      // Nobody was taken for gone meanwhile, and no command named more than 500 channels.
      expect(members.flatMap(({ events }) => events.filter(({ type }) => type === 'node-down'))).toEqual([]);
      if (how === 'plain') {
        expect(callsAtFirst).toBeLessThan(200);
        expect((await calls()) - callsAtFirst).toBeGreaterThanOrEqual(2 * Math.ceil((2 * NAMESPACES) / 500));
      }
      observe(
        `channels of ${NAMESPACES} namespaces on two nodes, ${how} PUB/SUB`,
        `all subscribed ${Math.round(atFirst)} ms after they were created, ${Math.round(again)} ms after an outage`,
      );
    },
    90_000,
  );

  test('of 5,000 namespaces are back within seconds after all masters of a cluster were restarted (sharded)', async () => {
    const redis = await RedisCluster.start({ replicas: 0 });
    const Client = class extends Cluster {
      constructor() {
        super(redis.rootNodes);
      }
    };
    const options = { port: 0, Client, adapter: { useShardedPubSub: true, heartbeatTimeout: 5_000 }, client: false };
    const members = [await Member.start(options), await Member.start(options)];
    const [asking, other] = members as [Member, Member];
    for (const { io } of members) {
      for (let i = 0; i < NAMESPACES; i++) io.of(`/${i}`);
    }
    const areSubscribed = (): Promise<unknown> =>
      until(
        async () => {
          const channels = await Promise.all(redis.alive.map((server) => channelsOf(server, 'sharded')));
          return (
            members.every(({ node }) => node.status().state === 'running') &&
            channels.reduce((sum, count) => sum + count) === 3 * (NAMESPACES + 1) + 1
          );
        },
        { what: 'all channels', timeout: 30_000, interval: 50 },
      );
    await areSubscribed();
    other.io.of('/77').on('who?', (answer: (name: string) => void) => answer('other'));
    const masters = [...redis.alive];
    await Promise.all(masters.map((server) => server.kill()));
    await until(() => members.every(({ node }) => node.status().state === 'degraded'), { what: 'the loss' });
    await Promise.all(masters.map((server) => server.restart()));
    await areSubscribed(); // measured: 3 s
    expect(await asking.io.of('/77').serverSideEmitWithAck('who?')).toEqual(['other']);
  }, 90_000);

  test('that Redis refuses are named by the status, affect no other, and are subscribed once permitted', async () => {
    const redis = await RedisServer.start({
      users: { app: 'on >secret ~* +@all resetchannels &socket.io#/# &socket.io#/#* &socket.io#heartbeat#*' },
    });
    const user = { username: 'app', password: 'secret' };
    const member = await Member.start({ port: redis.port, redis: user });
    const other = await Member.start({ port: redis.port });
    for (const { io } of [member, other]) {
      for (let i = 0; i < 20; i++) io.of(`/${i}`);
    }
    // The rule for "/" lets the channels of all namespaces pass; so it is taken away, and the connections with it.
    await redis.command('ACL', 'SETUSER', 'app', 'resetchannels', '&socket.io#/1*', '&socket.io#heartbeat#*');
    await redis.killClients(({ name }) => name === `redis-streams:${member.node.id}:subscriber`);
    const refused = (): string | undefined => member.node.status().reasons.find((reason) => reason.includes('NOPERM'));
    await until(
      () => /^the channel "socket\.io#\/.*" \(and 19 more\) cannot be subscribed to: NOPERM/.test(refused() ?? ''),
      {
        what: 'the reason',
      },
    );
    await until(async () => (await other.io.of('/1').adapter.serverCount()) === 2, {
      what: 'the channels that it may',
    });
    expect(member.node.status().state).toBe('degraded');
    const ask = (nsp: string): Promise<unknown[]> => other.io.of(nsp).timeout(500).fetchSockets();
    await until(() => ask('/1').catch(() => undefined), { what: 'a namespace that is heard to be answered' });
    const unanswered = 'timeout reached: only 0 responses received out of 1';
    await expect(ask('/2')).rejects.toThrow(unanswered); // it is there, and does not hear
    expect(member.node.nodes().map(({ state }) => state)).toEqual(['up', 'up']); // it hears heartbeats all the time

    const connections = async (): Promise<number> => Number((await redis.info('stats')).total_connections_received);
    const before = await connections();
    await redis.command('ACL', 'SETUSER', 'app', '&socket.io#*');
    const answer = other.io.of('/2').timeout(10_000).fetchSockets();
    await until(() => member.node.status().state === 'running', { what: 'the channels' });
    expect(await answer).toEqual([]);
    expect(await other.io.of('/2').adapter.serverCount()).toBe(2);
    expect((await connections()) - before).toBe(0);
  });

  test('are compared whole: a namespace whose name ends like the control channel’s gets its requests', async () => {
    const redis = await RedisServer.start();
    const members = [
      await Member.start({ port: redis.port, client: false }),
      await Member.start({ port: redis.port, client: false }),
    ];
    const names = ['/socket.io#heartbeat#socket.io', '/x#socket.io#heartbeat#socket.io', '/#heartbeat#socket.io'];
    for (const nsp of names) {
      members.forEach(({ io }) => io.of(nsp).on('who?', (answer: (name: string) => void) => answer(nsp)));
      await until(async () => (await members[0]!.io.of(nsp).adapter.serverCount()) === 2, { what: nsp });
      expect(await members[0]!.io.of(nsp).serverSideEmitWithAck('who?')).toEqual([nsp]);
    }
    expect(members.map(({ node }) => node.status().counters.rejectedMessages)).toEqual([0, 0]);
  });

  test('of a new namespace may come after the answer to what was asked in it at once: that is asked again', async () => {
    const redis = await RedisServer.start();
    const network = await TcpProxy.start(redis.port);
    const asking = await Member.start({ port: network.port, client: false });
    const other = await Member.start({ port: redis.port, client: false });
    let asked = 0;
    other.io.of('/new').on('who?', (answer: (name: string) => void) => answer(`other ${++asked}`));
    await until(async () => (await asking.io.of('/').adapter.serverCount()) === 2, { what: 'both nodes' });
    network.latency(100);
    asking.io.of('/before'); // one command at a time: the next channels are sent when these are there
    await sleep(20);
    const since = performance.now();
    expect(await asking.io.of('/new').serverSideEmitWithAck('who?')).toEqual(['other 1']);
    expect([performance.now() - since < 4_000, asked]).toEqual([true, 1]);
  });

  test('of namespaces that are closed are not subscribed any more, with what was asked for meanwhile', async () => {
    const redis = await RedisServer.start();
    const { io, node } = await Member.start({ port: redis.port, client: false });
    const base = await channelsOf(redis, 'plain');
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 100; i++) io.of(`/${i}`);
      for (let i = 0; i < 100; i++) if (i % 2 === 0 || round < 2) void (io.of(`/${i}`).adapter.close() as unknown);
      for (let i = 0; i < 100; i++) io._nsps.delete(`/${i}`);
    }
    await until(async () => (await channelsOf(redis, 'plain')) === base + 100, {
      what: 'two channels of each that is left',
    });
    await node.close(); // its server does not know of those that are left
  });
});

/** How many channels have subscribers. */
async function channelsOf(redis: RedisServer, how: string): Promise<number> {
  const command = how === 'plain' ? 'CHANNELS' : 'SHARDCHANNELS';
  return ((await redis.command('PUBSUB', command, 'socket.io#*')) as unknown[]).length;
}
