import { join } from 'node:path';
import { NodeProcess, RedisServer } from '../kit/index.js';
import type { Builds } from './adapters.js';
import type { BenchNodeOptions } from './node.child.js';
import { MAX_UNDERWAY, NODES, RECIPIENTS, type AdapterName, type Scenario } from './scenarios.js';
import { mean, quantile } from './statistics.js';
import { usageOf, type RedisUsage } from './usage.js';

/** How many are asked for at once. */
const STEP = 250;

/** One run of a scenario. Times are microseconds of CPU a message, but for the latencies, which are milliseconds. */
export interface Measurement {
  perSecond: number;
  publisher: number;
  /** Of a node, other than the publisher, whose client is a recipient. */
  recipient?: number;
  /** Of a node, other than the publisher, without a recipient. */
  bystander?: number;
  redis: number;
  /** Bytes that Redis sent to all nodes together, a message. */
  bytes: number;
  p50: number;
  p99: number;
  sent: number;
  lost: number;
}

interface Usage {
  at: number;
  nodes: number[];
  redis: RedisUsage;
}

/** Three nodes with one adapter on a Redis of their own. */
export class BenchCluster {
  private static lastRun = 0;

  private constructor(
    readonly adapter: AdapterName,
    private readonly name: string,
    private readonly redis: RedisServer,
    private readonly nodes: NodeProcess[],
    private readonly clients: NodeProcess,
  ) {}

  static async start(
    adapter: AdapterName,
    recovery: boolean,
    clients: NodeProcess,
    builds: Builds = {},
  ): Promise<BenchCluster> {
    const build = adapter === 'ours' || adapter === 'before' ? builds[adapter] : undefined;
    const redis = await RedisServer.start();
    const name = recovery ? `${adapter} with recovery` : adapter;
    const nodes = await Promise.all(
      Array.from({ length: NODES }, (_, index) =>
        NodeProcess.start(new URL('./node.child.ts', import.meta.url), {
          options: { port: redis.port, adapter, index, recovery, build } satisfies BenchNodeOptions,
          name: `node ${index} of ${name}`,
          startTimeout: 60_000,
        }),
      ),
    );
    const cluster = new BenchCluster(adapter, name, redis, nodes, clients);
    if (adapter !== 'raw') {
      const urls = await Promise.all(nodes.map((node) => node.call<string>('url')));
      await clients.call('connect', name, urls, RECIPIENTS.room[0]);
    }
    return cluster;
  }

  async run(scenario: Scenario, seconds: number): Promise<Measurement> {
    const { target, payload, rate } = scenario;
    const recipients = RECIPIENTS[target];
    const run = ++BenchCluster.lastRun;
    const publisher = this.nodes[0]!;
    await this.start(run, recipients);
    const before = await this.usage();
    let sent = 0;
    if (rate === undefined) {
      const until = performance.now() + seconds * 1_000;
      do {
        await publisher.call('publish', target, payload, run, STEP);
        sent += STEP;
      } while ((await this.reached(recipients, sent - MAX_UNDERWAY + STEP)) && performance.now() < until);
    } else {
      sent = await publisher.call<number>('pace', target, payload, run, rate, seconds);
    }
    await this.reached(recipients, sent);
    const after = await this.usage();
    const { received, latencies } = await this.finish(recipients);
    const cpu = after.nodes.map((used, i) => (used - before.nodes[i]!) / sent);
    const others = cpu.map((used, i) => ({ used, given: recipients.includes(i) })).slice(1);
    return {
      perSecond: (sent / (after.at - before.at)) * 1_000,
      publisher: cpu[0]!,
      ...meanAs(
        'recipient',
        others.filter(({ given }) => given),
      ),
      ...meanAs(
        'bystander',
        others.filter(({ given }) => !given),
      ),
      redis: (after.redis.cpu - before.redis.cpu) / sent,
      bytes: (after.redis.bytes - before.redis.bytes) / sent,
      p50: quantile(latencies, 0.5) / 1_000,
      p99: quantile(latencies, 0.99) / 1_000,
      sent,
      lost: sent * recipients.length - received,
    };
  }

  /** Runs a scenario, and writes a CPU profile of each node into a folder. */
  async profile(scenario: Scenario, seconds: number, folder: string): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.call('profile')));
    await this.run(scenario, seconds);
    const fileOf = (i: number): string => join(folder, `${scenario.name}.${this.adapter}.${i}.cpuprofile`);
    await Promise.all(this.nodes.map((node, i) => node.call('profiled', fileOf(i))));
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.close()));
    await this.redis.close();
  }

  private async usage(): Promise<Usage> {
    const [nodes, redis] = await Promise.all([
      Promise.all(this.nodes.map((node) => node.call<number>('cpu'))),
      usageOf(this.redis),
    ]);
    return { at: performance.now(), nodes, redis };
  }

  private async start(run: number, recipients: number[]): Promise<void> {
    await (this.adapter === 'raw'
      ? Promise.all(recipients.map((i) => this.nodes[i]!.call('start', run, [i])))
      : this.clients.call('start', this.name, run, recipients));
  }

  private async reached(recipients: number[], target: number): Promise<boolean> {
    if (this.adapter !== 'raw') {
      return this.clients.call<boolean>('reached', this.name, target);
    }
    const reached = await Promise.all(recipients.map((i) => this.nodes[i]!.call<boolean>('reached', target)));
    return reached.every(Boolean);
  }

  private async finish(recipients: number[]): Promise<{ received: number; latencies: number[] }> {
    const receipts = await (this.adapter === 'raw'
      ? Promise.all(recipients.map((i) => this.nodes[i]!.call('finish')))
      : [await this.clients.call('finish', this.name)]);
    return {
      received: receipts.reduce((sum: number, { received }) => sum + received, 0),
      latencies: receipts.flatMap(({ latencies }) => [...latencies]),
    };
  }
}

/** The mean of nodes under a name; nothing if there are none. */
function meanAs<K extends string>(key: K, nodes: { used: number }[]): Partial<Record<K, number>> {
  return nodes.length > 0 ? ({ [key]: mean(nodes.map(({ used }) => used)) } as Record<K, number>) : {};
}
