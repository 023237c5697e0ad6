import { AsyncLocalStorage } from 'node:async_hooks';
import { expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { ClusterNode } from '../../lib/cluster/cluster-node.js';
import { driverFor } from '../../lib/redis/driver-for.js';
import type { OpenOptions, RedisConnection, RedisDriver } from '../../lib/redis/driver.js';
import { closeAfterwards, RedisServer, until } from '../kit/index.js';

test('ClusterNode reads, sends heartbeats and reconnects outside the context in which it was made', async () => {
  const redis = await RedisServer.start();
  const client = new Redis(redis.port, { lazyConnect: true });
  const context = new AsyncLocalStorage<string>();
  /** What was sent, and in which context. */
  const sent: { what: string; context: string | undefined }[] = [];
  const driver = recording(driverFor(client), (what) => sent.push({ what, context: context.getStore() }));
  const count = (what: string): number => sent.filter((one) => one.what === what).length;
  const silent = { log: () => undefined, warn: () => undefined, error: () => undefined };

  const node = await context.run('a request', async () => {
    const made = closeAfterwards(new ClusterNode(driver, { heartbeatInterval: 50, blockTimeInMs: 50 }, silent));
    await made.start();
    // A channel that is wanted in a context, and one that is refused at first, are no reason to stay in it.
    made.attach(namespace('/chat', made.nextUid('/chat')));
    return made;
  });
  await until(() => count('PUBLISH') > 5 && count('XREAD') > 5, { what: 'heartbeats and reads' });
  await redis.killClients(({ name }) => name.startsWith('redis-streams:'));
  const [beats, reads, subscriptions] = [count('PUBLISH'), count('XREAD'), count('SUBSCRIBE')];
  await until(() => count('PUBLISH') > beats + 5 && count('XREAD') > reads + 5 && count('SUBSCRIBE') > subscriptions, {
    what: 'heartbeats, reads and subscriptions after a reconnection',
  });

  expect(sent.filter(({ context }) => context !== undefined)).toEqual([]);
  expect(context.run('a request', () => node.nodes().length)).toBe(1);
});

/** The driver, with connections that note each command. */
function recording(driver: RedisDriver, note: (what: string) => void): RedisDriver {
  return {
    ...{ name: driver.name, isCluster: driver.isCluster },
    open: (options: OpenOptions): RedisConnection => {
      const connection = driver.open(options);
      return {
        get ready() {
          return connection.ready;
        },
        call: (command, timeout) => (note(String(command[0])), connection.call(command, timeout)),
        read: (command, timeout) => (note(String(command[0])), connection.read(command, timeout)),
        transaction: (commands, timeout) => (note('MULTI'), connection.transaction(commands, timeout)),
        publish: (channel, payload, timeout) => (note('PUBLISH'), connection.publish(channel, payload, timeout)),
        subscribe: (channels, timeout) => (note('SUBSCRIBE'), connection.subscribe(channels, timeout)),
        unsubscribe: (channels, timeout) => connection.unsubscribe(channels, timeout),
        countSubscribers: (channels, timeout) => connection.countSubscribers(channels, timeout),
        reset: () => connection.reset(),
        close: () => connection.close(),
      };
    },
  };
}

function namespace(name: string, uid: string): Parameters<ClusterNode['attach']>[0] {
  return {
    name,
    uid,
    socketCount: 0,
    deliver: () => true,
    deliverAtOnce: () => {},
    onMessage: () => {},
    onPeersChanged: () => {},
    onSubscribed: () => {},
  };
}
