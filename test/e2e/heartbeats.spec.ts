import { EventEmitter } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { ClusterAdapterWithHeartbeat } from 'socket.io-adapter';
import { Fleet } from '../kit/fleet.js';
import { until } from '../kit/index.js';

const NAMESPACES = 500;
const INTERVAL = 400;
/** How many intervals are looked at. */
const INTERVALS = 5;

describe(`the heartbeats of three nodes with ${NAMESPACES} namespaces each`, () => {
  let fleet: Fleet;
  let listener: Redis;
  const heard: { channel: string; at: number }[] = [];

  beforeAll(async () => {
    fleet = await Fleet.start({
      client: 'ioredis 6',
      server: 'Redis',
      topology: 'single',
      nodes: ['ours', 'ours', 'ours'],
      options: { heartbeatInterval: INTERVAL, heartbeatTimeout: 5_000 },
    });
    for (const node of fleet.nodes) {
      await node.run(({ io }, count) => {
        for (let i = 1; i < count; i++) io.of(`/${i}`);
      }, NAMESPACES);
    }
    await fleet.isKnown(`/${NAMESPACES - 1}`);
    listener = new Redis(fleet.deployment.servers[0]!.port, '127.0.0.1');
    await listener.psubscribe('*');
    listener.on('pmessageBuffer', (_pattern, channel: Buffer) =>
      heard.push({ channel: channel.toString(), at: performance.now() }),
    );
  }, 30_000);
  afterAll(async () => {
    listener.disconnect();
    await fleet.close();
  });

  test('are one message a node and interval, whatever the number of namespaces', async () => {
    // From one heartbeat to the fifteenth after it: then five intervals have passed for each of the three nodes.
    const messages = await until(() => heard.length > 3 * INTERVALS && heard.slice(0, 3 * INTERVALS + 1), {
      what: `${INTERVALS} intervals of heartbeats`,
    });
    const intervals = (messages.at(-1)!.at - messages[0]!.at) / INTERVAL;
    const each = (messages.length - 1) / intervals / fleet.nodes.length;
    const theirs = await heartbeatsOfClusterAdapter();
    console.log(
      `heartbeats of 3 nodes with ${NAMESPACES} namespaces: ${each.toFixed(2)} messages a node and interval; ` +
        `with socket.io-adapter's ClusterAdapterWithHeartbeat ${theirs.toFixed(2)}`,
    );
    expect(new Set(messages.map(({ channel }) => channel))).toEqual(new Set(['socket.io#heartbeat#socket.io#']));
    expect(each).toBeGreaterThan(0.5);
    expect(each).toBeLessThan(1.2);
    expect(theirs).toBeGreaterThan(100 * each);
  });

  test('are nearly all that idle nodes ask of Redis', async () => {
    const redis = fleet.deployment.servers[0]!;
    const calls = async (): Promise<Map<string, number>> => {
      const stats = Object.entries(await redis.info('commandstats'));
      return new Map(stats.map(([command, stat]) => [command, Number(/calls=(\d+)/.exec(stat)![1])]));
    };
    const before = await calls();
    const published = heard.length;
    await until(() => heard.length >= published + 3 * INTERVALS, { what: `${INTERVALS} intervals` });
    const after = await calls();
    const grown = [...after].map(([command, count]) => [command, count - (before.get(command) ?? 0)] as const);
    // What this test asks itself is left out, and the reads that block for 200 ms each.
    const asked = grown.filter(([command]) => !/info|xread$/.test(command)).reduce((sum, [, count]) => sum + count, 0);
    expect(asked / 3 / INTERVALS).toBeLessThan(6);
  });
});

/**
 * Messages a node and interval of the adapters that announce each namespace by itself, as earlier versions of the
 * reference did; version 0.3 has no heartbeats.
 */
async function heartbeatsOfClusterAdapter(): Promise<number> {
  let published = 0;
  class Counting extends ClusterAdapterWithHeartbeat {
    constructor(nsp: object) {
      super(nsp, { heartbeatInterval: INTERVAL, heartbeatTimeout: 5_000 });
    }
    doPublish(): Promise<string> {
      published++;
      return Promise.resolve('');
    }
    doPublishResponse(): Promise<void> {
      return Promise.resolve();
    }
  }
  const server = { opts: {}, encoder: {} };
  const adapters = Array.from({ length: NAMESPACES }, (_, i) => {
    const nsp = Object.assign(new EventEmitter(), { name: `/${i}`, server });
    return new Counting(nsp);
  });
  adapters.forEach((adapter) => adapter.init());
  const since = performance.now();
  const first = published;
  await until(() => published >= first + NAMESPACES, { what: 'their heartbeats' });
  const intervals = Math.max(1, Math.round((performance.now() - since) / INTERVAL));
  const perInterval = (published - first) / intervals;
  adapters.forEach((adapter) => void adapter.close());
  return perInterval;
}
