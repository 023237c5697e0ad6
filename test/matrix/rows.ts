import { describeFeatures } from '../e2e/features.js';
import type { ServerKind, Topology } from '../kit/deployment.js';
import type { Row } from '../kit/fleet.js';
import type { RedisClientKind } from '../kit/redis-client.js';
import { describeFaults } from './faults.js';

/** The clients that can be used with each topology. */
const clients: Record<Topology, readonly RedisClientKind[]> = {
  single: ['ioredis 5', 'ioredis 6', 'iovalkey', 'redis 4', 'redis 5', 'redis 6'],
  cluster: ['ioredis 5', 'ioredis 6', 'redis 4', 'redis 5', 'redis 6'],
  sentinel: ['ioredis 5', 'ioredis 6', 'redis 5', 'redis 6'],
};
/** Those that are tried with Valkey too: the present one of each library, since what is older is told by Redis. */
const present: ReadonlySet<RedisClientKind> = new Set(['ioredis 6', 'iovalkey', 'redis 6']);

/** The rows of the matrix with one kind of server and one topology. */
export function describeRows(server: ServerKind, topology: Topology): void {
  for (const client of clients[topology].filter((one) => server === 'Redis' || present.has(one))) {
    describeRow({ client, server, topology });
  }
}

/** All features, and all faults. */
export function describeRow(row: Omit<Row, 'nodes' | 'recovery'>): void {
  const whole: Row = { ...row, nodes: ['ours', 'ours', 'ours'], recovery: true };
  describeFeatures(whole);
  describeFaults(whole);
}
