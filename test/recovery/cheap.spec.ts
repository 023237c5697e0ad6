import { expect, test } from '@jest/globals';
import { comeback } from '../bench/comeback.js';
import { type Member, RedisServer, until } from '../kit/index.js';
import { startNode } from './recovery-node.js';
import { Visitor } from './visitor.js';

const CLIENTS = 500;
const ENTRIES = 9_000;

async function setUp(): Promise<{ redis: RedisServer; a: Member; visitors: Visitor[]; sent: number[] }> {
  const redis = await RedisServer.start();
  const a = await startNode({ port: redis.port });
  const visitors = Array.from({ length: CLIENTS }, () => new Visitor(a.url));
  await until(() => visitors.every(({ isConnected }) => isConnected), { what: 'all to connect', timeout: 30_000 });
  a.io.emit('msg', -1);
  await until(() => visitors.every(({ received }) => received.length === 1), { what: 'all to have an offset' });
  await Promise.all(visitors.map((visitor) => visitor.stayAway()));
  const sent = Array.from({ length: ENTRIES }, (_, i) => i);
  sent.forEach((i) => (i % 450 === 0 ? a.io : a.io.to(`nobody ${i}`)).emit('msg', i, 'x'.repeat(100)));
  await until(() => a.counters.read === ENTRIES + 1, { what: 'all to be read' });
  return { redis, a, visitors, sent: sent.filter((i) => i % 450 === 0) };
}

/** What Redis sent, and how often entries were read, until all clients were recovered by a node. */
async function comeBack(redis: RedisServer, node: Member, visitors: Visitor[]) {
  await redis.command('CONFIG', 'RESETSTAT');
  visitors.forEach((visitor) => visitor.comeBack(node.url));
  await until(() => visitors.every(({ received }) => received.length === 21), {
    what: 'all to have what they missed',
    timeout: 30_000,
  });
  const bytes = Number((await redis.info('stats'))['total_net_output_bytes']);
  const { cmdstat_xrevrange = '' } = await redis.info('commandstats');
  return { bytes, reads: Number(/calls=(\d+)/.exec(cmdstat_xrevrange)?.[1] ?? 0) };
}

test('500 clients with 9,000 entries behind them are recovered from the memory of their node', async () => {
  const { redis, a, visitors, sent } = await setUp();
  const { bytes, reads } = await comeBack(redis, a, visitors);
  expect(bytes).toBeLessThan(1_000_000);
  expect(reads).toBe(0);
  expect(visitors.every(({ refused }) => refused === 0)).toBe(true);
  expect(visitors[7]!.values).toEqual([-1, ...sent]);
}, 60_000);

test('500 clients with 9,000 entries behind them make a node that has just started read the stream once', async () => {
  const { redis, visitors, sent } = await setUp();
  const b = await startNode({ port: redis.port });
  const { bytes, reads } = await comeBack(redis, b, visitors);
  expect(reads).toBeLessThanOrEqual(15); // batches of up to 1,000
  expect(bytes).toBeLessThan(2 * ENTRIES * 400 + 1_000_000); // each entry twice at most: one is of about 350 bytes
  expect(visitors.every(({ refused }) => refused === 0)).toBe(true);
  expect(visitors[7]!.values).toEqual([-1, ...sent]);
  const { entries, bytes: kept } = b.node.status().streams[0]!.replay;
  expect(entries).toBeGreaterThanOrEqual(ENTRIES);
  expect(kept).toBeGreaterThan(ENTRIES * 100);
}, 60_000);

test('500 clients that come back at once hold up their node for less than a second', async () => {
  const { recovered, missing, bytes, ms, pause } = await comeback({ kind: 'ours', clients: CLIENTS, entries: ENTRIES });
  expect({ recovered, missing }).toEqual({ recovered: CLIENTS, missing: 0 });
  expect(bytes).toBeLessThan(1_000_000);
  expect(ms).toBeLessThan(10_000); // about one on a machine with nothing else to do
  expect(pause).toBeLessThan(1_000);
}, 120_000);
