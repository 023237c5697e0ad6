import { RedisServer } from './redis-server.js';
import type { Reply } from './resp-client.js';
import { until } from './until.js';

export interface RedisClusterOptions {
  /** Path of the server program, such as Valkey's. @default the machine's redis-server */
  binary?: string;
  /** @default 3 */
  masters?: number;
  /** Replicas of each master. @default 1 */
  replicas?: number;
  /** Milliseconds of silence after which a node counts as failed. @default 1_000 */
  nodeTimeout?: number;
  /** Further lines of each node's configuration file. */
  config?: string[];
}

const SLOTS = 16_384;
/** Milliseconds after which nodes are introduced again: a handshake that takes longer than the node timeout is forgotten. */
const REPEATED_MEETING_MS = 3_000;
/** Milliseconds after which a replica is told again to take over: Redis gives up after five seconds. */
const REPEATED_FAILOVER_MS = 6_000;

/** A real Redis Cluster: masters that share the slots evenly, and replicas that take over when one is killed. */
export class RedisCluster {
  readonly nodes: readonly RedisServer[];

  private constructor(nodes: RedisServer[]) {
    this.nodes = nodes;
  }

  static async start(options: RedisClusterOptions = {}): Promise<RedisCluster> {
    const { masters = 3, replicas = 1, nodeTimeout = 1_000 } = options;
    const config = [
      `cluster-node-timeout ${nodeTimeout}`,
      'cluster-replica-validity-factor 0',
      ...(options.config ?? []),
    ];
    const start = (): Promise<RedisServer> =>
      RedisServer.start({
        ...(options.binary === undefined ? {} : { binary: options.binary }),
        cluster: true,
        config,
      });
    const cluster = new RedisCluster(await Promise.all(Array.from({ length: masters * (1 + replicas) }, start)));
    await cluster.#form(masters);
    return cluster;
  }

  /** What a client of the cluster is given to begin with. */
  get rootNodes(): { host: string; port: number }[] {
    return this.nodes.map(({ port }) => ({ host: '127.0.0.1', port }));
  }

  /** The nodes that are running. */
  get alive(): RedisServer[] {
    return this.nodes.filter((node) => node.isRunning);
  }

  async slotOf(key: string): Promise<number> {
    return Number(await this.#any.command('CLUSTER', 'KEYSLOT', key));
  }

  /** The node that serves `key`, in the opinion of one that runs. */
  async masterOf(key: string): Promise<RedisServer> {
    return this.#node((await this.#shardOf(this.#any, await this.slotOf(key)))[0]);
  }

  async replicasOf(key: string): Promise<RedisServer[]> {
    return (await this.#shardOf(this.#any, await this.slotOf(key))).slice(1).map((port) => this.#node(port));
  }

  /** SIGKILLs the master of `key`, and waits until another node serves it. Returns the one that was killed. */
  async killMaster(key: string): Promise<RedisServer> {
    const master = await this.masterOf(key);
    await master.kill();
    await this.movedFrom(master, key);
    return master;
  }

  /** Has a replica take over from the master of `key` in good order. */
  async failover(key: string): Promise<void> {
    const master = await this.masterOf(key);
    const [replica] = await this.replicasOf(key);
    if (!replica) throw new Error(`The master of ${key} has no replica`);
    let ordered = -Infinity;
    await until(
      async () => {
        if (performance.now() - ordered > REPEATED_FAILOVER_MS) {
          ordered = performance.now();
          await replica.command('CLUSTER', 'FAILOVER');
        }
        return (await this.replicasOf(key)).every((node) => node !== replica);
      },
      { what: `a replica to take over ${key}`, timeout: 30_000, interval: 50 },
    );
    await this.movedFrom(master, key);
  }

  /** Milliseconds of silence after which a node counts as failed from now on. */
  async setNodeTimeout(nodeTimeout: number): Promise<void> {
    await Promise.all(this.alive.map((node) => node.command('CONFIG', 'SET', 'cluster-node-timeout', nodeTimeout)));
  }

  /** Waits until all nodes that run agree that another node than `former` serves `key`, and that the cluster is whole. */
  async movedFrom(former: RedisServer, key: string): Promise<void> {
    const slot = await this.slotOf(key);
    await until(
      async () => {
        const masters = await Promise.all(this.alive.map(async (node) => (await this.#shardOf(node, slot))[0]));
        return masters[0] !== former.port && new Set(masters).size === 1 && (await this.#isOk());
      },
      { what: `a failover of ${key}`, timeout: 30_000, interval: 50 },
    );
  }

  /** Moves the slot of `key`, with its keys, to another master while clients use it. Returns the new master. */
  async migrateSlot(key: string): Promise<RedisServer> {
    const slot = await this.slotOf(key);
    const from = await this.masterOf(key);
    const to = (await this.#masters()).find((node) => node !== from);
    if (!to) throw new Error('There is no other master');
    const [fromId, toId] = [await this.#idOf(from), await this.#idOf(to)];

    await to.command('CLUSTER', 'SETSLOT', slot, 'IMPORTING', fromId);
    await from.command('CLUSTER', 'SETSLOT', slot, 'MIGRATING', toId);
    for (;;) {
      const keys = (await from.command('CLUSTER', 'GETKEYSINSLOT', slot, 100)) as string[];
      if (keys.length === 0) break;
      await from.command('MIGRATE', '127.0.0.1', to.port, '', 0, 5_000, 'AUTH2', 'kit', 'kit', 'KEYS', ...keys);
    }
    // First the new owner, so that the slot always has one; then the others, so that no opinion is stale.
    const others = (await this.#masters()).filter((node) => node !== from && node !== to);
    for (const node of [to, from, ...others]) await node.command('CLUSTER', 'SETSLOT', slot, 'NODE', toId);
    await this.movedFrom(from, key);
    return to;
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.close()));
  }

  get #any(): RedisServer {
    const node = this.alive[0];
    if (!node) throw new Error('No node of the cluster is running');
    return node;
  }

  async #form(masterCount: number): Promise<void> {
    const masters = this.nodes.slice(0, masterCount);
    const bounds = Array.from({ length: masterCount + 1 }, (_, i) => Math.floor((SLOTS * i) / masterCount));
    await Promise.all(
      this.nodes.map(async (node, i) => {
        await node.command('CLUSTER', 'SET-CONFIG-EPOCH', i + 1);
        if (i < masterCount) await node.command('CLUSTER', 'ADDSLOTSRANGE', bounds[i] ?? 0, (bounds[i + 1] ?? 0) - 1);
      }),
    );
    for (const node of this.nodes) await this.#meetOthers(node);
    let lastMeeting = performance.now();
    await until(
      async () => {
        const knows = await Promise.all(this.nodes.map((node) => this.#knows(node)));
        if (knows.every(Boolean)) return true;
        if (performance.now() - lastMeeting > REPEATED_MEETING_MS) {
          for (const node of this.nodes.filter((_node, i) => !knows[i])) await this.#meetOthers(node);
          lastMeeting = performance.now();
        }
        return false;
      },
      { what: 'the nodes of the cluster to know each other', timeout: 20_000 },
    );

    const replicas = this.nodes.slice(masterCount);
    await Promise.all(
      replicas.map(async (replica, i) => {
        const id = await this.#idOf(masters[i % masterCount] ?? this.#any);
        await replica.command('CLUSTER', 'REPLICATE', id);
      }),
    );
    await Promise.all(replicas.map((replica) => replica.inSync()));
    const shards = replicas.length / masterCount + 1;
    await until(
      async () => {
        const views = await Promise.all(this.nodes.map((node) => this.#shards(node)));
        return (await this.#isOk()) && views.every((view) => view.every(({ ports }) => ports.length === shards));
      },
      { what: 'the cluster to be formed', timeout: 20_000, interval: 20 },
    );
  }

  async #meetOthers(node: RedisServer): Promise<void> {
    for (const other of this.nodes)
      if (node !== other) await node.command('CLUSTER', 'MEET', '127.0.0.1', other.port, await this.#busPort(other));
  }

  async #busPort(node: RedisServer): Promise<number> {
    const [, port] = (await node.command('CONFIG', 'GET', 'cluster-port')) as string[];
    return Number(port);
  }

  /** Whether it has shaken hands with all the others. */
  async #knows(node: RedisServer): Promise<boolean> {
    const lines = String(await node.command('CLUSTER', 'NODES'))
      .trim()
      .split('\n');
    return lines.length === this.nodes.length && lines.every((line) => !/handshake|fail|noaddr/.test(line));
  }

  async #isOk(): Promise<boolean> {
    const infos = await Promise.all(this.alive.map((node) => node.command('CLUSTER', 'INFO')));
    return infos.every((info) => String(info).includes('cluster_state:ok'));
  }

  async #masters(): Promise<RedisServer[]> {
    const ports = new Set((await this.#shards(this.#any)).map((shard) => shard.ports[0]));
    return [...ports].map((port) => this.#node(port));
  }

  async #idOf(node: RedisServer): Promise<string> {
    return String(await node.command('CLUSTER', 'MYID'));
  }

  /** Ports of the master and the replicas of a slot, in the opinion of `node`. */
  async #shardOf(node: RedisServer, slot: number): Promise<number[]> {
    return (await this.#shards(node)).find(({ from, to }) => from <= slot && slot <= to)?.ports ?? [];
  }

  async #shards(node: RedisServer): Promise<{ from: number; to: number; ports: number[] }[]> {
    const ranges = (await node.command('CLUSTER', 'SLOTS')) as [number, number, ...Reply[][]][];
    return ranges.map(([from, to, ...members]) => ({ from, to, ports: members.map((member) => Number(member[1])) }));
  }

  #node(port: number | undefined): RedisServer {
    const node = this.nodes.find((candidate) => candidate.port === port);
    if (!node) throw new Error(`No node of the cluster has port ${port}`);
    return node;
  }
}
