import { setTimeout as sleep } from 'node:timers/promises';
import type { ClusterEvent } from '../../lib/adapter/index.js';
import { type NodeProcess, RedisServer, startMemberProcess, TcpProxy, until } from '../kit/index.js';
import { Random } from '../kit/random.js';

export interface SoakOptions {
  seed: number;
  /** For how long faults are caused. */
  seconds: number;
  ordering: 'log' | 'local-first';
  /** Told what is done. */
  log?: (line: string) => void;
}

export interface DeliveryReport {
  seed: number;
  seconds: number;
  ordering: string;
  /** How often each fault was caused. */
  faults: Record<string, number>;
  /** Broadcasts of all nodes. */
  sent: number;
  /** What all clients together should have received: each broadcast at each node. */
  expected: number;
  received: number;
  /** Counted and told by the nodes. */
  reportedLost: number;
  /** Neither received nor reported. */
  missing: number;
  doubled: number;
  /** Messages that came before an earlier one of the same sender. */
  disordered: number;
  /** With ordering "log": pairs of clients that saw another order, though no loss or replacement was told. */
  differentOrders: number;
  /** The same where a node had told of one: what was sent again after a loss comes later there. */
  toldDifferentOrders: number;
}

const NODES = 3;
const INTERVAL = 5;

/** Three nodes broadcast all the time, while Redis, the network and the nodes fail at random; then all is counted. */
export async function soakDelivery({
  seed,
  seconds,
  ordering,
  log = () => undefined,
}: SoakOptions): Promise<DeliveryReport> {
  const random = new Random(seed);
  const redis = await RedisServer.start({ appendonly: true });
  const proxies = await Promise.all(Array.from({ length: NODES }, () => TcpProxy.start(redis.port)));
  const nodes = await Promise.all(
    proxies.map((proxy, i) =>
      startMemberProcess({ port: proxy.port, adapter: { ordering } }, { name: `node ${i}`, startTimeout: 60_000 }),
    ),
  );
  const ms = (least: number, most: number): number => random.between(least, most);
  const faults: Record<string, () => Promise<unknown>> = {
    'Redis killed': async () => {
      await redis.kill();
      await sleep(ms(50, 4_000));
      await redis.restart();
    },
    'Redis paused': async () => {
      redis.pause();
      await sleep(ms(50, 4_000));
      redis.resume();
    },
    'readers cut': () => redis.killClients(({ name }) => name.endsWith(':reader')),
    'publishers cut': () => redis.killClients(({ name }) => name.endsWith(':commands')),
    'all connections cut': () => redis.killClients(),
    'answer lost': () => Promise.race([random.pick(proxies).loseReplyTo('XADD'), sleep(2_000)]),
    'node cut off': async () => {
      const proxy = random.pick(proxies);
      proxy.refuse();
      proxy.cut();
      await sleep(ms(50, 3_000));
      await proxy.accept();
    },
    'network silent': async () => {
      const proxy = random.pick(proxies);
      proxy.blackhole(...random.pick([['toServer'], ['toClient'], ['toServer', 'toClient']] as const));
      await sleep(ms(50, 3_000));
      proxy.heal();
    },
    'node stopped': async () => {
      const node = random.pick(nodes);
      node.pause();
      await sleep(ms(50, 2_500));
      node.resume();
    },
    'stream trimmed past a stopped node': async () => {
      const node = random.pick(nodes);
      node.pause();
      await sleep(ms(500, 1_500));
      await redis.command('XTRIM', 'socket.io', 'MAXLEN', String(ms(1, 20)));
      node.resume();
    },
  };
  const counts: Record<string, number> = {};
  await Promise.all(nodes.map((node, i) => node.call('startLoad', i, INTERVAL)));
  const end = performance.now() + seconds * 1_000;
  while (performance.now() < end) {
    const name = random.pick(Object.keys(faults));
    log(name);
    counts[name] = (counts[name] ?? 0) + 1;
    await faults[name]!();
    await sleep(ms(50, 1_500));
  }
  const sent = await Promise.all(nodes.map((node) => node.call<number>('stopLoad')));
  const total = sent.reduce((sum, one) => sum + one, 0);

  // Each client has received, or its node has reported as lost, all that each node has sent.
  const lostBy = async (node: NodeProcess): Promise<Map<string, number>> => {
    const gaps = await node.call<Extract<ClusterEvent, { type: 'gap' }>[]>('eventsOf', 'gap');
    const lost = new Map<string, number>();
    for (const gap of gaps) {
      lost.set(gap.origin, (lost.get(gap.origin) ?? 0) + gap.lost);
    }
    return lost;
  };
  const ids = await Promise.all(nodes.map((node) => node.call<string>('id')));
  const receipts = (): Promise<[number, number][][]> =>
    Promise.all(nodes.map((node) => node.call<[number, number][]>('received')));
  const settled = async (): Promise<boolean> => {
    const received = await receipts();
    const lost = await Promise.all(nodes.map(lostBy));
    return received.every((messages, at) =>
      sent.every((count, sender) => {
        const distinct = new Set(messages.filter(([from]) => from === sender).map(([, number]) => number)).size;
        const isOwn = ordering === 'local-first' && sender === at;
        return distinct + (isOwn ? 0 : (lost[at]!.get(ids[sender]!) ?? 0)) >= count;
      }),
    );
  };
  await until(settled, { what: 'everything to arrive', timeout: 30_000, interval: 200 }).catch(() => undefined);

  const received = await receipts();
  const report: DeliveryReport = {
    ...{ seed, seconds, ordering, faults: counts, sent: total, expected: total * NODES },
    ...{ received: 0, reportedLost: 0, missing: 0, doubled: 0, disordered: 0 },
    ...{ differentOrders: 0, toldDifferentOrders: 0 },
  };
  for (const [at, messages] of received.entries()) {
    const lost = await lostBy(nodes[at]!);
    for (const [sender, count] of sent.entries()) {
      const numbers = messages.filter(([from]) => from === sender).map(([, number]) => number);
      const distinct = new Set(numbers).size;
      const told = ordering === 'local-first' && sender === at ? 0 : (lost.get(ids[sender]!) ?? 0);
      report.received += distinct;
      report.reportedLost += told;
      report.doubled += numbers.length - distinct;
      report.missing += Math.abs(count - distinct - told);
      report.disordered += numbers.filter((number, i) => i > 0 && number < numbers[i - 1]!).length;
    }
  }
  const tellsLoss = async (at: number): Promise<boolean> =>
    (await nodes[at]!.call<ClusterEvent[]>('eventsOf', 'gap')).length > 0 ||
    (await nodes[at]!.call<ClusterEvent[]>('eventsOf', 'stream-replaced')).length > 0;
  if (ordering === 'log') {
    for (const [i, a] of received.entries()) {
      for (const [j, b] of [...received.entries()].slice(i + 1)) {
        if (!sameOrder(a, b)) {
          const told = (await tellsLoss(i)) || (await tellsLoss(j));
          report[told ? 'toldDifferentOrders' : 'differentOrders']++;
        }
      }
    }
  }
  await Promise.all(nodes.map((node) => node.close()));
  proxies.forEach((proxy) => proxy.close());
  await redis.close();
  return report;
}

/** Whether what both have received came to both in the same order. */
function sameOrder(a: [number, number][], b: [number, number][]): boolean {
  const inB = new Set(b.map(String));
  const inA = new Set(a.map(String));
  return (
    a
      .map(String)
      .filter((message) => inB.has(message))
      .join() ===
    b
      .map(String)
      .filter((message) => inA.has(message))
      .join()
  );
}

/** What must not be: the report's anomalies. */
export function anomalies({ missing, doubled, disordered, differentOrders }: DeliveryReport): number {
  return missing + doubled + disordered + differentOrders;
}
