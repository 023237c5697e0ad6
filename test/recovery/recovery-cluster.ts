import type { ClusterNodeStatus } from '../../lib/adapter/index.js';
import { until, type NodeProcess, type RedisServer } from '../kit/index.js';
import { startRecoveryProcess, type RecoveryProcessOptions } from './recovery-process.js';
import { NodeNetwork, topologies, type Topology, type TopologyName } from './topology.js';

/** A node in a process of its own, and where its clients find it. */
export interface RecoveryNode {
  process: NodeProcess;
  url: string;
  /** The network between it and Redis. */
  network: NodeNetwork;
}

/** Nodes with connection state recovery in processes of their own, with this package's adapter or the reference. */
export class RecoveryCluster {
  readonly nodes: RecoveryNode[] = [];
  private started = 0;

  private constructor(
    readonly topology: Topology,
    /** The server, if there is only one; else the first master. */
    readonly redis: RedisServer,
    private readonly options: Omit<RecoveryProcessOptions, 'port' | 'place'>,
  ) {}

  static async start(
    options: Omit<RecoveryProcessOptions, 'port' | 'place'>,
    size = 3,
    topologyName: TopologyName = 'single',
  ): Promise<RecoveryCluster> {
    const topology = await topologies[topologyName]();
    const [redis] = await topology.masters();
    const cluster = new RecoveryCluster(topology, redis!, options);
    await Promise.all(Array.from({ length: size }, () => cluster.add()));
    return cluster;
  }

  async add(): Promise<RecoveryNode> {
    const network = await NodeNetwork.start(this.topology);
    const options: RecoveryProcessOptions = { ...this.options, place: network.place };
    const process = await startRecoveryProcess(options, { name: `node ${this.started++}` });
    const node = { process, url: await process.call<string>('url'), network };
    this.nodes.push(node);
    return node;
  }

  /** It is killed; its clients must go elsewhere. */
  async kill(node: RecoveryNode): Promise<void> {
    this.remove(node);
    await node.process.kill();
    node.network.close();
  }

  /** It closes as a server does that is replaced by another. */
  async retire(node: RecoveryNode): Promise<void> {
    this.remove(node);
    await node.process.call('close');
    await node.process.close();
    node.network.close();
  }

  /** Waits until all that was sent is in the log, and has been read by all nodes. Those of the reference do not tell. */
  async settled(): Promise<void> {
    const isSettled = async ({ process }: RecoveryNode): Promise<boolean> => {
      const status = await process.call<ClusterNodeStatus | null>('status');
      for (const { name, position, outbox } of status?.streams ?? []) {
        const master = await this.topology.masterOf(name);
        const [last] = (await master.command('XREVRANGE', name, '+', '-', 'COUNT', '1')) as [string][];
        if (outbox.entries > 0 || (last && last[0] !== position)) {
          return false;
        }
      }
      return true;
    };
    await until(async () => (await Promise.all(this.nodes.map(isSettled))).every(Boolean), {
      what: 'all to be appended and read',
      timeout: 30_000,
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.splice(0).map(({ process, network }) => process.close().then(() => network.close())));
    await this.topology.close();
  }

  private remove(node: RecoveryNode): void {
    this.nodes.splice(this.nodes.indexOf(node), 1);
  }
}
