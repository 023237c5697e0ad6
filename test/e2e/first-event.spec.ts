import { beforeAll, describe, expect, test } from '@jest/globals';
import { RedisStreamsEmitter } from '../../lib/emitter/index.js';
import { RedisCluster, RedisSentinel, RedisServer, until } from '../kit/index.js';
import { openRedisClient, type RedisAddress, type RedisClientKind } from '../kit/redis-client.js';
import { SocketServer } from '../kit/socket-server.js';

const CLIENTS = ['ioredis 5', 'ioredis 6', 'iovalkey', 'redis 4', 'redis 5', 'redis 6'] as const;
const ROUNDS = 2;

interface Servers {
  address: RedisAddress;
  /** Appends to a stream as any process may that knows of the form of its entries. */
  append(stream: string, fields: Record<string, string>): Promise<unknown>;
}

const topologies: Record<RedisAddress['topology'], () => Promise<Servers>> = {
  single: async () => {
    const redis = await RedisServer.start();
    return {
      address: { topology: 'single', port: redis.port },
      append: (stream, fields) => redis.command('XADD', stream, '*', ...Object.entries(fields).flat()),
    };
  },
  cluster: async () => {
    const cluster = await RedisCluster.start();
    return {
      address: { topology: 'cluster', nodes: cluster.rootNodes },
      append: async (stream, fields) =>
        (await cluster.masterOf(stream)).command('XADD', stream, '*', ...Object.entries(fields).flat()),
    };
  },
  sentinel: async () => {
    const group = await RedisSentinel.start();
    return {
      address: { topology: 'sentinel', name: group.name, sentinels: group.addresses },
      append: async (stream, fields) =>
        (await group.master()).command('XADD', stream, '*', ...Object.entries(fields).flat()),
    };
  },
};

describe.each(Object.keys(topologies) as RedisAddress['topology'][])(
  'What is sent right after nodes have started (%s)',
  (topology) => {
    let servers: Servers;
    beforeAll(async () => {
      servers = await topologies[topology]();
    }, 60_000);

    describe.each<RedisClientKind>(
      topology === 'sentinel' ? CLIENTS.filter((name) => name !== 'redis 4') : [...CLIENTS],
    )('with %s', (client) => {
      test.each([false, true])(
        'reaches them (sharded PUB/SUB: %s)',
        async (useShardedPubSub) => {
          for (let round = 0; round < ROUNDS; round++) {
            const streamName = `${client.replace(' ', '-')}-${useShardedPubSub}-${round}`;
            const options = { streamName, useShardedPubSub };
            const settings = { adapter: 'ours' as const, client, address: servers.address, options, server: {} };
            const nodes = [0, 1].map(() => SocketServer.start(settings));
            const [a, b] = (await Promise.all(nodes)) as [SocketServer, SocketServer];
            const heard: unknown[][] = [[], []];
            [a, b].forEach(({ io }, i) => io.on('event', (from: string) => heard[i]!.push(from)));

            const packet = (from: string): string => JSON.stringify({ packet: ['event', from] });
            const foreign = { uid: 'emitter', nsp: '/', type: '9', data: packet('an emitter of others') };
            await servers.append(streamName, foreign);
            a.io.serverSideEmit('event', 'the other node');
            const redis = await openRedisClient(client, servers.address);
            const emitter = new RedisStreamsEmitter(redis.client, options);
            emitter.serverSideEmit('event', 'an emitter');
            emitter.socketsJoin('nowhere');
            await until(() => heard.flat().length >= 5, { what: 'the first events', timeout: 4_000 }).catch(
              () => undefined,
            );
            await emitter.close();
            await Promise.all([a.close(), b.close(), redis.close()]);
            expect(heard.map((one) => [...one].sort())).toEqual([
              ['an emitter', 'an emitter of others'],
              ['an emitter', 'an emitter of others', 'the other node'],
            ]);
          }
        },
        60_000,
      );
    });
  },
);
