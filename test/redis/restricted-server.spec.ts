import { AsyncLocalStorage } from 'node:async_hooks';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { Redis, type RedisOptions } from 'ioredis';
import { ClusterNode } from '../../lib/cluster/cluster-node.js';
import {
  allReceived,
  closeAfterwards,
  Member,
  numbers,
  RedisCluster,
  RedisServer,
  RespClient,
  TcpProxy,
  until,
} from '../kit/index.js';
import { clusterRows, outcomeOf, Probe, singleRows } from './rows.js';

describe('a server that knows no INFO, CLIENT and CONFIG', () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await RedisServer.start({ hidden: ['INFO', 'CLIENT', 'CONFIG'] });
  });

  test.each(singleRows)('can be used with $name', async ({ name, create }) => {
    const one = await new Probe(create(server.port)).ready();
    expect(await one.connection.transaction([['XADD', name, '*', 't', '1']])).toHaveLength(1);
    expect(one.warnings).toEqual([]);
    const subscriber = await new Probe(create(server.port), { role: 'subscriber', sharded: true }).ready();
    await subscriber.connection.subscribe(['c']);
  });

  test('carries what nodes broadcast', async () => {
    const members = [await Member.start({ port: server.port }), await Member.start({ port: server.port })];
    for (const i of numbers(50)) {
      members[0]!.io.emit('msg', i);
    }
    await allReceived(members, 50);
    expect(members.map(({ node }) => node.status().state)).toEqual(['running', 'running']);
  });
});

describe('what a node needs and the server does not know is named when it starts', () => {
  test.each([
    ['MULTI', /transactions are needed, and MULTI and EXEC are refused \(ERR unknown command 'multi'/i],
    ['XADD', undefined],
    ['XREVRANGE', /the stream "socket.io" cannot be read: ERR unknown command 'xrevrange'/i],
    ['SUBSCRIBE', /cannot be subscribed to: ERR unknown command 'subscribe'/i],
  ])('%s', async (command, message) => {
    const server = await RedisServer.start({ hidden: [command] });
    const client = new Redis(server.port, { lazyConnect: true });
    const node = closeAfterwards(new ClusterNode(client, { startTimeout: 1_000 }, silent));
    if (message) {
      await expect(node.start()).rejects.toThrow(message);
    } else {
      await node.start(); // nothing is appended at the start; the first broadcast says it
    }
  });

  test('skipServerCheck uses a server as it is', async () => {
    const server = await RedisServer.start({ hidden: ['MULTI'] });
    const client = new Redis(server.port, { lazyConnect: true });
    await new Probe(client, { skipServerCheck: true }).ready();
  });
});

const silent = { log: () => undefined, warn: () => undefined, error: () => undefined };

describe('a server that has as many connections as it allows', () => {
  test.each(singleRows)(
    'is reported as the reason with $name, tried ever more slowly, and used again',
    async ({ create }) => {
      const server = await RedisServer.start();
      const others = await Promise.all(numbers(3).map(() => RespClient.connect(server.port)));
      await Promise.all(others.map((other) => other.command('PING')));
      const taken = Number((await server.info('clients'))['connected_clients']);
      await server.command('CONFIG', 'SET', 'maxclients', taken);
      const network = await TcpProxy.start(server.port);
      const one = new Probe(create(network.port));
      await until(() => one.errors.length > 3, { what: 'four attempts' });
      for (const { message } of one.errors) {
        expect(message).toContain('as many connections as it allows (maxclients)');
      }
      const { length } = one.errors;
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      expect(one.errors.length - length).toBeLessThan(4);
      expect(one.events).toEqual(['lost']);

      others.forEach((other) => other.close());
      await one.ready();
      expect(await one.connection.call(['SET', 'k', 'v'])).toBe('OK');
    },
  );
});

describe('an eviction policy that may delete the stream or sessions', () => {
  test.each(['allkeys-lru', 'volatile-ttl'])('is reported by one warning of a node: %s', async (maxmemoryPolicy) => {
    const server = await RedisServer.start({ maxmemory: '100mb', maxmemoryPolicy });
    const lines: string[] = [];
    const logger = { ...silent, warn: (line: string) => lines.push(line) };
    const client = new Redis(server.port, { lazyConnect: true });
    const node = closeAfterwards(new ClusterNode(client, { streamCount: 3 }, logger));
    await node.start();
    await server.killClients();
    await until(() => node.status().state === 'running', { what: 'the node to be back' });
    expect(lines.filter((line) => line.includes('eviction'))).toEqual([expect.stringContaining(maxmemoryPolicy)]);
  });

  test.each(clusterRows)(
    'is reported by one warning of a node, though all of a cluster say it: $name',
    async ({ create }) => {
      const cluster = await RedisCluster.start({ config: ['maxmemory 100mb', 'maxmemory-policy allkeys-lru'] });
      const lines: string[] = [];
      const logger = { ...silent, warn: (line: string) => lines.push(line) };
      const node = closeAfterwards(new ClusterNode(create(cluster.rootNodes), { streamCount: 3 }, logger));
      await node.start();
      expect(lines).toEqual([expect.stringContaining('allkeys-lru')]);
    },
  );

  test('is not reported of a server that evicts nothing', async () => {
    const server = await RedisServer.start({ maxmemory: '100mb' });
    const one = await new Probe(new Redis(server.port, { lazyConnect: true })).ready();
    expect(one.warnings).toEqual([]);
  });
});

describe('the connections of a node', () => {
  const ofNode = async (servers: readonly RedisServer[]): Promise<number[]> =>
    Promise.all(
      servers.map(async (one) => (await one.clients()).filter(({ name }) => name.startsWith('redis-streams:')).length),
    );

  test('to a single server are two, and one for each stream', async () => {
    const server = await RedisServer.start();
    for (const streamCount of [1, 4]) {
      const node = new ClusterNode(new Redis(server.port, { lazyConnect: true }), { streamCount }, silent);
      await node.start();
      expect(await ofNode([server])).toEqual([2 + streamCount]);
      await node.close();
      await until(async () => (await ofNode([server]))[0] === 0, { what: 'the connections to be gone' });
    }
  });

  test.each(clusterRows)(
    'to a cluster are one to each node, one subscriber, and one for each stream: $name',
    async ({ create }) => {
      const cluster = await RedisCluster.start();
      const node = new ClusterNode(create(cluster.rootNodes), { streamCount: 2 }, silent);
      await node.start();
      const sum = async (): Promise<number> => (await ofNode(cluster.nodes)).reduce((a, b) => a + b, 0);
      await until(async () => (await sum()) === 6 + 1 + 2, { what: 'nine connections' });
      await node.close();
      const sharded = new ClusterNode(create(cluster.rootNodes), { useShardedPubSub: true }, silent);
      await sharded.start();
      await until(async () => (await sum()) === 6 + 3 + 1, { what: 'ten connections' });
      await sharded.close();
    },
    60_000,
  );
});

test('what connections do by themselves is outside of the async context in which they are opened', async () => {
  const server = await RedisServer.start();
  const context = new AsyncLocalStorage<string>();
  const seen: (string | undefined)[] = [];
  const Watched = class extends Redis {
    override duplicate(override: Partial<RedisOptions> = {}): Redis {
      seen.push(context.getStore());
      const copy = super.duplicate(override);
      copy.on('messageBuffer', () => seen.push(context.getStore()));
      copy.on('close', () => seen.push(context.getStore()));
      return copy;
    }
  };
  const one = await context.run('request', () =>
    new Probe(new Watched({ port: server.port, lazyConnect: true }), {
      role: 'subscriber',
      connectionName: 'one',
    }).ready(),
  );
  await context.run('request', () => one.connection.subscribe(['c']));
  await server.command('PUBLISH', 'c', 'm');
  await until(() => one.messages.length > 0, { what: 'the message' });
  await server.killClients(({ name }) => name === 'one');
  await one.ready(2);
  expect(seen.length).toBeGreaterThan(3);
  expect(seen.filter((store) => store !== undefined)).toEqual([]);
  expect((await outcomeOf(context.run('request', () => one.connection.call(['PING'])))).error).toBeUndefined();
});
