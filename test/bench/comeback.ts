import { until } from '../kit/index.js';
import { RecoveryCluster } from '../recovery/recovery-cluster.js';
import type { RecoveryProcessOptions } from '../recovery/recovery-process.js';
import { Visitor } from '../recovery/visitor.js';

export interface ComebackOptions {
  kind: RecoveryProcessOptions['kind'];
  /** To a node that has just started, instead of to the one that they left. */
  isFresh?: boolean;
  /** @default 500 */
  clients?: number;
  /** How many entries the log has since they left; one in 90 is for them. @default 9_000 */
  entries?: number;
}

/** What it takes to recover many clients at once. */
export interface Comeback {
  clients: number;
  recovered: number;
  /** Messages that clients should have been given, all together, and were not. */
  expected: number;
  missing: number;
  /** What Redis sent meanwhile. */
  bytes: number;
  /** Milliseconds until all were connected and had what they were given. */
  ms: number;
  /** The longest time for which the node's event loop was busy, in milliseconds. */
  pause: number;
  /** Likewise when the same clients connected for the first time, with nothing to recover. */
  first: { ms: number; pause: number };
}

const BATCH = 450;
const ONE_IN = 90;

/** Many clients are cut off, the log grows, and all come back at once. They live in this process, their node in its own. */
export async function comeback({
  kind,
  isFresh = false,
  clients = 500,
  entries = 9_000,
}: ComebackOptions): Promise<Comeback> {
  const cluster = await RecoveryCluster.start({ kind }, 2);
  const [home, writer] = cluster.nodes;
  await home!.process.call('startMeasuring');
  const start = performance.now();
  const visitors = Array.from({ length: clients }, () => new Visitor(home!.url, { reconnectionDelayMax: 1_000 }));
  const every = (condition: (visitor: Visitor) => boolean, what: string, timeout = 60_000): Promise<unknown> =>
    until(() => visitors.every(condition), { what, timeout, interval: 2 });
  await every(({ isConnected }) => isConnected, 'all to connect');
  const first = { ms: performance.now() - start, pause: await home!.process.call<number>('longestPause') };

  await writer!.process.call('emit', 'first');
  await every(({ received }) => received.length === 1, 'all to have an offset');
  await Promise.all(visitors.map((visitor) => visitor.stayAway()));
  await until(async () => (await sessionsIn(cluster)) === clients, { what: 'all sessions to be written' });
  for (let sent = 0; sent < entries; sent += BATCH) {
    await writer!.process.call('fill', BATCH, ONE_IN);
  }
  const length = async (): Promise<number> => Number(await cluster.redis.command('XLEN', 'socket.io'));
  await until(async () => (await length()) === entries + 1, { what: 'all to be in the log', timeout: 30_000 });
  await cluster.settled();
  const { process, url } = isFresh ? await cluster.add() : home!;
  const messages = entries / ONE_IN;

  await process.call('startMeasuring');
  await cluster.redis.command('CONFIG', 'RESETSTAT');
  const since = performance.now();
  let last = since;
  visitors.forEach(({ socket }) => socket.onAny(() => (last = performance.now())));
  visitors.forEach((visitor) => visitor.comeBack(url));
  await every(({ visits }) => visits.length === 2, 'all to be back', 180_000);
  last = Math.max(last, performance.now());
  // Not for ever: some may be missing.
  await every(({ received }) => received.length > messages, 'all to arrive', 5_000).catch(() => undefined);
  const comeback: Comeback = {
    clients,
    recovered: visitors.filter(({ socket }) => socket.recovered).length,
    expected: clients * messages,
    missing: clients * messages - visitors.reduce((sum, { received }) => sum + received.length - 1, 0),
    bytes: Number((await cluster.redis.info('stats'))['total_net_output_bytes']),
    ms: last - since,
    pause: await process.call<number>('longestPause'),
    first,
  };
  visitors.forEach((visitor) => visitor.close());
  await cluster.close();
  return comeback;
}

async function sessionsIn({ redis }: RecoveryCluster): Promise<number> {
  const keys = (await redis.command('KEYS', 'sio:session:*')) as string[];
  return keys.filter((key) => !key.includes('live:')).length;
}
