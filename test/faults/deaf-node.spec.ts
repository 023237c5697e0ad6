import { beforeEach, describe, expect, test } from '@jest/globals';
import type { RedisStreamsAdapterOptions } from '../../lib/adapter/index.js';
import { closeAfterwards, LocalServer, Member, RedisServer, startMemberProcess, until } from '../kit/index.js';
import { startDeployment, type Deployment, type Topology } from '../kit/deployment.js';
import type { RedisClientKind } from '../kit/redis-client.js';
import { SocketServer } from '../kit/socket-server.js';
import { TestClient } from '../kit/test-client.js';
import { observe } from './record.js';

type Row = [client: RedisClientKind, topology: Topology, pubsub: 'plain' | 'sharded'];

const ROWS: Row[] = [
  ['ioredis 6', 'single', 'plain'],
  ['ioredis 6', 'single', 'sharded'],
  ['redis 6', 'single', 'plain'],
  ['ioredis 6', 'cluster', 'plain'],
  ['ioredis 6', 'cluster', 'sharded'],
  ['redis 6', 'cluster', 'plain'],
  ['redis 6', 'cluster', 'sharded'],
];
/** Of each node. Their channels are on different masters of a cluster, if PUB/SUB is sharded. */
const NAMESPACES = ['/', '/a', '/b', '/c'];

describe.each(ROWS)(
  'a node that has lost its subscriber, and only that (%s, %s, %s PUB/SUB)',
  (client, topology, pubsub) => {
    let deployment: Deployment;
    let servers: SocketServer[];
    /** By namespace, what was asked of clients and servers, and of whom. */
    let asked: string[];

    beforeEach(async () => {
      deployment = closeAfterwards(await startDeployment('Redis', topology));
      servers = [];
      asked = [];
    });

    async function start(count: number, options: RedisStreamsAdapterOptions = {}): Promise<void> {
      for (let index = 0; index < count; index++) {
        const server = closeAfterwards(
          await SocketServer.start({
            ...{ adapter: 'ours', client, address: deployment.address, server: {} },
            options: {
              ...{ heartbeatInterval: 500, heartbeatTimeout: 10_000, useShardedPubSub: pubsub === 'sharded' },
              ...options,
            },
          }),
        );
        for (const nsp of NAMESPACES) {
          server.io.of(nsp).on('who?', (answer: (name: string) => void) => {
            asked.push(`server ${index} ${nsp}`);
            answer(`server ${index}`);
          });
          const { socket } = closeAfterwards(await TestClient.connect(server.url, { nsp }));
          socket.on('q', (answer: (name: string) => void) => {
            asked.push(`client ${index} ${nsp}`);
            answer(`client ${index}`);
          });
        }
        servers.push(server);
      }
      await until(
        async () => {
          const counts = servers.flatMap(({ io }) => NAMESPACES.map((nsp) => io.of(nsp).adapter.serverCount()));
          return (await Promise.all(counts)).every((number) => number === count);
        },
        { what: 'all servers of all namespaces' },
      );
    }

    /** Has Redis close what the nodes hear others by. Returns how many connections that were. */
    async function deafen(...nodes: SocketServer[]): Promise<number> {
      const names = nodes.map(({ node }) => `redis-streams:${node!.id}:subscriber`);
      const alive = deployment.servers.filter(({ isRunning }) => isRunning);
      const killed = await Promise.all(alive.map((one) => one.killClients(({ name }) => names.includes(name))));
      return killed.reduce((sum, count) => sum + count, 0);
    }

    const isDeaf = ({ node }: SocketServer): boolean =>
      node!.status().reasons.some((why) => why.includes('subscriber'));

    /** What a node is given by each question to all the others, and how long the slowest took. */
    async function ask({ io }: SocketServer, nsp: string): Promise<object> {
      const since = performance.now();
      const failed = (error: Error): string[] => [error.message];
      const [sockets, ids, acks, answers] = await Promise.all([
        io
          .of(nsp)
          .fetchSockets()
          .then(({ length }) => length, failed),
        io
          .of(nsp)
          .allSockets()
          .then(({ size }) => size, failed),
        io.of(nsp).timeout(5_000).emitWithAck('q').catch(failed) as Promise<string[]>,
        io.of(nsp).serverSideEmitWithAck('who?').catch(failed) as Promise<string[]>,
      ]);
      slowest = Math.max(slowest, performance.now() - since);
      return { sockets, ids, acks: acks.sort(), answers: answers.sort() };
    }
    let slowest = 0;

    /** All that were asked, each of them once. */
    function expectAll(answers: object[], asking: number): void {
      const nodes = servers.map((_, index) => index);
      const others = nodes.filter((index) => index !== asking);
      for (const one of answers) {
        expect(one).toEqual({
          ...{ sockets: nodes.length, ids: nodes.length, acks: nodes.map((index) => `client ${index}`) },
          answers: others.map((index) => `server ${index}`),
        });
      }
      expect(asked.sort()).toEqual(
        NAMESPACES.flatMap((nsp) => [
          ...nodes.map((index) => `client ${index} ${nsp}`),
          ...others.map((index) => `server ${index} ${nsp}`),
        ]).sort(),
      );
      expect(slowest).toBeLessThan(3_000);
    }

    const askAll = (server: SocketServer): Promise<object[]> => Promise.all(NAMESPACES.map((nsp) => ask(server, nsp)));

    test('is asked when it hears again, and the request ends with its answers', async () => {
      await start(3);
      const [asking, , deaf] = servers as [SocketServer, SocketServer, SocketServer];
      await deafen(deaf);
      await until(() => isDeaf(deaf), { what: 'the loss to be noticed', interval: 1 });
      expectAll(await askAll(asking), 0);
      observe(
        `subscriber of a node killed (${client}, ${topology}, ${pubsub} PUB/SUB), all asked at that moment`,
        `all answered, within ${Math.round(slowest)} ms`,
      );
    }, 30_000);

    test('is asked, though nobody knows yet that it does not hear', async () => {
      await start(2);
      const [asking, deaf] = servers as [SocketServer, SocketServer];
      const killing = deafen(deaf);
      const answers = askAll(asking);
      await killing;
      expectAll(await answers, 0);
      asked = [];
      await until(() => servers.every((server) => !isDeaf(server)), { what: 'it to hear again' });
      await deafen(deaf);
      expectAll(await askAll(asking), 0);
    }, 30_000);

    test('is given all answers, if it asks', async () => {
      await start(3);
      const [deaf] = servers as [SocketServer];
      await deafen(deaf);
      await until(() => isDeaf(deaf), { what: 'the loss to be noticed', interval: 1 });
      expectAll(await askAll(deaf), 0);
    }, 30_000);

    test('may be each of them at the same time, the one that asks too', async () => {
      await start(3);
      await deafen(...servers);
      expectAll(await askAll(servers[0]!), 0);
    }, 30_000);
  },
);

describe('a request of all servers', () => {
  const adapter = { heartbeatInterval: 500, heartbeatTimeout: 10_000 };

  /** Two nodes that know each other. */
  async function startTwo() {
    const redis = await RedisServer.start();
    const [asking, other] = [
      await Member.start({ port: redis.port, adapter }),
      await Member.start({ port: redis.port, adapter }),
    ];
    await until(async () => (await asking.io.of('/').adapter.serverCount()) === 2, { what: 'both' });
    return { redis, asking, other };
  }

  test('ends with an error in its time, if a node does not hear again', async () => {
    const { redis, asking, other: deaf } = await startTwo();
    let isOver = false;
    const killing = (async () => {
      while (!isOver) {
        await redis.killClients(({ name }) => name === `redis-streams:${deaf.node.id}:subscriber`);
      }
    })();
    await until(() => deaf.node.status().state === 'degraded', { what: 'the loss', interval: 1 });
    const message = 'timeout reached: only 0 responses received out of 1';
    await expect(asking.io.timeout(1_000).fetchSockets()).rejects.toThrow(message);
    await expect(asking.io.timeout(1_000).emitWithAck('q')).rejects.toThrow('operation has timed out');
    isOver = true;
    await killing;
    expect(await asking.io.timeout(5_000).fetchSockets()).toHaveLength(2);
  });

  test('waits for a node that was killed for a moment only, and the next ones not at all', async () => {
    const redis = await RedisServer.start();
    const asking = await Member.start({ port: redis.port, adapter });
    const killed = await startMemberProcess({ port: redis.port, adapter });
    await until(async () => (await asking.io.of('/').adapter.serverCount()) === 2, { what: 'both' });
    await killed.kill();
    const took: number[] = [];
    for (let round = 0; round < 5; round++) {
      const since = performance.now();
      expect(await asking.io.fetchSockets()).toHaveLength(1);
      expect(await asking.io.serverSideEmitWithAck('who?')).toEqual([]);
      took.push(performance.now() - since);
    }
    expect(asking.node.nodes()[1]!.state).toBe('up'); // nobody has missed its heartbeat yet
    expect(took[0]).toBeLessThan(2_000);
    expect(Math.min(...took.slice(1))).toBeLessThan(100);
  });

  test('is not carried out twice by a node that may not have heard it, and has', async () => {
    const { redis, asking, other: slow } = await startTwo();
    let asked = 0;
    const answers: ((answer: string) => void)[] = [];
    slow.io.on('who?', (answer: (name: string) => void) => {
      asked++;
      answers.push(answer);
    });
    const request = asking.io.serverSideEmitWithAck('who?');
    await until(() => asked === 1, { what: 'the request' });
    for (let round = 1; round <= 2; round++) {
      await redis.killClients(({ name }) => name === `redis-streams:${slow.node.id}:subscriber`);
      await until(() => slow.node.status().state === 'degraded', { what: 'the loss', interval: 1 });
      await until(() => slow.node.status().state === 'running', { what: 'it to hear again', interval: 1 });
    }
    await until(async () => (await asking.io.fetchSockets()).length === 2, { what: 'another request to be answered' });
    answers[0]!('slow');
    expect(await request).toEqual(['slow']);
    expect(asked).toBe(1);
  });

  test('reaches the other server of a process that does not hear', async () => {
    const redis = await RedisServer.start();
    const member = await Member.start({ port: redis.port, adapter });
    const other = closeAfterwards(new LocalServer(member.factory));
    await other.listen();
    other.io.on('who?', (answer: (name: string) => void) => answer('other'));
    await until(async () => (await member.io.serverSideEmitWithAck('who?')).length === 1, { what: 'the other server' });
    await redis.killClients(({ name }) => name === `redis-streams:${member.node.id}:subscriber`);
    expect(await member.io.serverSideEmitWithAck('who?')).toEqual(['other']);
    expect(await member.io.fetchSockets()).toHaveLength(1);
  });
});
