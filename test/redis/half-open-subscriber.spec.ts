import { describe, expect, test } from '@jest/globals';
import { Cluster } from 'ioredis';
import { Member, RedisCluster, TcpProxy, until } from '../kit/index.js';

/** Enough of them that each master of the cluster serves the channel of one, and one is not that of the heartbeats. */
const namespaces = ['/', '/a', '/b', '/c', '/d', '/e'];

describe.each([{ useShardedPubSub: false }, { useShardedPubSub: true }])(
  'a node on a Redis Cluster (useShardedPubSub: $useShardedPubSub) whose subscriber is half-open',
  (options) => {
    test('hears the others again', async () => {
      const cluster = await RedisCluster.start();
      const proxies = await Promise.all(cluster.nodes.map(({ port }) => TcpProxy.start(port)));
      const natMap = Object.fromEntries(
        cluster.nodes.map(({ port }, i) => [`127.0.0.1:${port}`, { host: '127.0.0.1', port: proxies[i]!.port }]),
      );
      const Proxied = class extends Cluster {
        constructor() {
          super([{ host: '127.0.0.1', port: proxies[0]!.port }], { natMap });
        }
      };
      const Direct = class extends Cluster {
        constructor() {
          super(cluster.rootNodes);
        }
      };
      const member = (Client: typeof Proxied): Promise<Member> =>
        Member.start({ port: 0, Client, adapter: options, client: false });
      const [listener, sender] = [await member(Proxied), await member(Direct)];
      const heard = new Map<string, number>();
      for (const name of namespaces) {
        listener.io.of(name).on('round', (round: number) => heard.set(name, round));
        sender.io.of(name);
      }
      const hearsRound = (round: number): Promise<unknown> =>
        until(
          () => {
            namespaces.forEach((name) => sender.io.of(name).serverSideEmit('round', round));
            return namespaces.every((name) => heard.get(name) === round);
          },
          { what: `all namespaces to be heard, not only ${[...heard].join(' ')}`, interval: 50 },
        );
      await hearsRound(1);

      let round = 1;
      for (const proxy of proxies) {
        if (proxy.strand(`${listener.node.id}:subscriber`) > 0) {
          await hearsRound(++round);
        }
      }
      expect(round).toBeGreaterThan(1);
      await until(() => listener.node.status().state === 'running', { what: 'the status to be well' });
      expect(listener.eventsOf('redis-lost').length).toBe(round - 1);
    }, 90_000);
  },
);
