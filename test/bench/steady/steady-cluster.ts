import { join } from 'node:path';
import { closeAfterwards, closed, NodeProcess, RedisServer } from '../../kit/index.js';
import type { Receipts } from '../receipts.js';
import { MAX_UNDERWAY } from '../scenarios.js';
import { mean, quantile } from '../statistics.js';
import { usageOf, type RedisUsage } from '../usage.js';
import type { ClientOptions } from './clients.child.js';
import type { NodeOptions } from './node.child.js';
import { CLIENTS, hasRecovery, nameOf, Targets, type Payload, type Point, type Setup, type Variant } from './points.js';

/** How many each node is asked for at once, at full speed. */
const STEP = 100;

/** One run at a steady rate. CPU is in microseconds a message of the cluster, latencies are in milliseconds. */
export interface Measurement {
  /** Of a node: the mean of all. */
  node: number;
  /** Share of the time for which a node was ready to run and had no core: near 0, or the machine was busy. */
  waited: number;
  /** Of Redis; it and what follows are missing in memory. */
  redis?: number;
  /** Commands that Redis carried out, a message. */
  commands?: number;
  /** Bytes that Redis sent to all nodes together, a message. */
  bytes?: number;
  /** Of all clients together: it says whether they were in the way. */
  clients: number;
  p50: number;
  p99: number;
  /** Of messages of the client's own node; missing if there were none. */
  own?: Latency;
  /** Of messages of other nodes; missing if there were none. */
  remote?: Latency;
  /** Messages a second, in total, that were really sent. */
  rate: number;
  sent: number;
  /** Not received; below 0 if some were received twice. */
  lost: number;
}

/** Milliseconds from `emit` until the client has the message. */
export type Latency = Pick<Measurement, 'p50' | 'p99'>;

/** Bytes of a node: the mean of all. */
export interface Memory {
  /** Resident set. */
  rss: number;
  /** Used by JavaScript: the heap and what it holds outside. */
  used: number;
}

interface Usage {
  at: number;
  nodes: { used: number; waited: number }[];
  clients: number;
  redis?: RedisUsage | undefined;
}

export interface Stage {
  /** The process with the clients. */
  clients: NodeProcess;
  /** Where a compiled file is. */
  compiled: (source: string) => URL;
}

export interface Load {
  rate: number;
  payload: Payload;
  seconds: number;
  arrivals: 'random' | 'even';
}

/** Nodes with one adapter, on a Redis of their own, with their clients. */
export class SteadyCluster {
  private static lastRun = 0;
  private static count = 0;

  private constructor(
    readonly variant: Variant,
    private readonly id: string,
    private readonly redis: RedisServer | undefined,
    private readonly nodes: NodeProcess[],
    private readonly clients: NodeProcess,
  ) {}

  static async start(
    { clients, compiled }: Stage,
    variant: Variant,
    setup: Setup,
    build: string | undefined,
  ): Promise<SteadyCluster> {
    const { contender } = variant;
    const redis = contender === 'memory' ? undefined : await RedisServer.start();
    const optionsOf = (index: number): NodeOptions => ({
      ...{ contender, build, setup, index, port: redis?.port },
      recovery: variant.recovery && hasRecovery(contender),
    });
    const nodes = await Promise.all(
      Array.from({ length: setup.nodes }, (_, i) =>
        NodeProcess.start(compiled('test/bench/steady/node.child.ts'), {
          options: optionsOf(i),
          execArgv: ['--expose-gc'],
          isCompiled: true,
          name: `node ${i} of ${nameOf(variant)}`,
          startTimeout: 60_000,
        }),
      ),
    );
    const cluster = closeAfterwards(
      new SteadyCluster(variant, `${nameOf(variant)} ${SteadyCluster.count++}`, redis, nodes, clients),
    );
    await cluster.connect(setup);
    return cluster;
  }

  async run({ rate, payload, seconds, arrivals }: Load): Promise<Measurement> {
    const run = await this.begin();
    const share = rate / this.nodes.length;
    const count = Math.max(1, Math.round(share * seconds));
    const sent = count * this.nodes.length;
    const before = await this.usage();
    await Promise.all(this.nodes.map((node) => node.call('pace', run, payload, share, count, arrivals)));
    const emitted = performance.now();
    await this.clients.call('reached', this.id, sent);
    const after = await this.usage();
    const { received, latencies, own, remote } = await this.clients.call<ReturnType<Receipts['finish']>>(
      'finish',
      this.id,
    );
    const spent = (what: 'used' | 'waited'): number =>
      mean(after.nodes.map((cpu, i) => cpu[what] - before.nodes[i]![what]));
    return {
      node: spent('used') / sent,
      waited: spent('waited') / 1_000 / (after.at - before.at),
      ...(after.redis &&
        before.redis && {
          redis: (after.redis.cpu - before.redis.cpu) / sent,
          commands: (after.redis.commands - before.redis.commands) / sent,
          bytes: (after.redis.bytes - before.redis.bytes) / sent,
        }),
      clients: (after.clients - before.clients) / sent,
      ...latencyOf(latencies),
      ...(own.length > 0 && { own: latencyOf(own) }),
      ...(remote.length > 0 && { remote: latencyOf(remote) }),
      rate: (sent / (emitted - before.at)) * 1_000,
      sent,
      lost: sent - received,
    };
  }

  /** Emits so many messages at full speed, of all nodes together. */
  async flood(payload: Payload, messages: number): Promise<void> {
    const run = await this.begin();
    for (let sent = 0; sent < messages;) {
      await Promise.all(this.nodes.map((node) => node.call('flood', run, payload, STEP)));
      sent += STEP * this.nodes.length;
      if (!(await this.clients.call<boolean>('reached', this.id, sent - MAX_UNDERWAY))) {
        throw new Error(`${this.id} lost messages at full speed: ${sent} were sent\n${this.nodes[0]!.log}`);
      }
    }
  }

  async memory(): Promise<Memory> {
    const all = await Promise.all(this.nodes.map((node) => node.call<Memory>('memory')));
    return { rss: mean(all.map(({ rss }) => rss)), used: mean(all.map(({ used }) => used)) };
  }

  /** Makes a run, and writes a CPU profile of the first node into a folder. */
  async profile({ nodes, rooms, namespaces, rate, payload }: Point, load: Load, folder: string): Promise<string> {
    const node = this.nodes[0]!;
    await node.call('profile');
    await this.run(load);
    const where = `${nodes}-nodes.${rooms}-rooms.${namespaces}-namespaces.${rate}.${payload}`;
    const file = join(folder, `${nameOf(this.variant)}.${where}.cpuprofile`);
    await node.call('profiled', file);
    return file;
  }

  async close(): Promise<void> {
    closed(this);
    if (this.clients.isRunning) await this.clients.call('disconnect', this.id);
    await Promise.all(this.nodes.map((node) => node.close()));
    await this.redis?.close();
  }

  private async connect(setup: Setup): Promise<void> {
    const targets = new Targets(setup, this.variant.contender);
    const urls = await Promise.all(this.nodes.map((node) => node.call<string>('url')));
    const clients = Array.from({ length: CLIENTS }, (_, client): ClientOptions => ({
      url: urls[targets.nodeOf(client)]!,
      node: targets.nodeOf(client),
      namespaces: targets.namespacesOf(client),
    }));
    await this.clients.call('connect', this.id, clients);
  }

  private async begin(): Promise<number> {
    const run = ++SteadyCluster.lastRun;
    await this.clients.call('start', this.id, run);
    return run;
  }

  private async usage(): Promise<Usage> {
    const [nodes, clients, redis] = await Promise.all([
      Promise.all(this.nodes.map((node) => node.call<Usage['nodes'][number]>('cpu'))),
      this.clients.call<number>('cpu'),
      this.redis && usageOf(this.redis),
    ]);
    return { at: performance.now(), nodes, clients, redis };
  }
}

/** @param micros - of each message */
function latencyOf(micros: Float64Array): Latency {
  return { p50: quantile([...micros], 0.5) / 1_000, p99: quantile([...micros], 0.99) / 1_000 };
}
