import { RedisCluster, RedisSentinel, RedisServer, TcpProxy, until } from '../kit/index.js';
import type { Address } from '../redis/rows.js';

/** Where a node finds Redis. Ports are those of the network that lies between. */
export type RedisPlace =
  | { kind: 'single'; port: number }
  | { kind: 'sentinel'; name: string; sentinels: Address[]; natMap: Record<string, Address> }
  | { kind: 'cluster'; nodes: Address[]; natMap: Record<string, Address> };

/** The servers that the nodes of a cluster share. */
export interface Topology {
  /** All processes that nodes connect to: each has a network of its own to each of them. */
  readonly ports: readonly number[];
  /** What a node is told that reaches these ports through others. */
  placeThrough(ports: ReadonlyMap<number, number>): RedisPlace;
  /** The server that has a key now. */
  masterOf(key: string): Promise<RedisServer>;
  /** All servers that hold data of their own. */
  masters(): Promise<RedisServer[]>;
  /**
   * Has another server take over from the one that has this key: with a kill, which may lose what the other has not got,
   * or in good order. Absent if there is no other. When it resolves, all is as it was, with roles changed.
   */
  failOver?(key: string, how: 'killed' | 'in order'): Promise<void>;
  close(): Promise<void>;
}

export type TopologyName = RedisPlace['kind'];

export const topologies: Record<TopologyName, () => Promise<Topology>> = {
  single: async () => new SingleServer(await RedisServer.start()),
  sentinel: async () => new SentinelGroup(await RedisSentinel.start({ replicas: 2, sentinels: 3 })),
  cluster: async () => new Cluster(await RedisCluster.start()),
};

class SingleServer implements Topology {
  readonly ports: readonly number[];

  constructor(private readonly server: RedisServer) {
    this.ports = [server.port];
  }

  placeThrough(ports: ReadonlyMap<number, number>): RedisPlace {
    return { kind: 'single', port: ports.get(this.server.port)! };
  }

  masterOf(): Promise<RedisServer> {
    return Promise.resolve(this.server);
  }

  masters(): Promise<RedisServer[]> {
    return Promise.resolve([this.server]);
  }

  close(): Promise<void> {
    return this.server.close();
  }
}

class SentinelGroup implements Topology {
  readonly ports: readonly number[];

  constructor(private readonly group: RedisSentinel) {
    this.ports = [...group.servers, ...group.sentinels].map(({ port }) => port);
  }

  placeThrough(ports: ReadonlyMap<number, number>): RedisPlace {
    const { name, servers, sentinels } = this.group;
    return {
      ...{ kind: 'sentinel', name, natMap: natMapOf(servers, ports) },
      sentinels: sentinels.map(({ port }) => addressOf(ports.get(port)!)),
    };
  }

  masterOf(): Promise<RedisServer> {
    return this.group.master();
  }

  async masters(): Promise<RedisServer[]> {
    return [await this.group.master()];
  }

  async failOver(_key: string, how: 'killed' | 'in order'): Promise<void> {
    if (how === 'killed') {
      const former = await this.group.failover();
      await former.restart();
    } else {
      await this.group.switchover();
    }
    const doOthersFollow = async (): Promise<boolean> => {
      const master = await this.group.agreedMaster();
      if (!master || (await this.group.isFailingOver())) {
        return false; // the sentinels are about to make another one the master, which must not become a replica
      }
      const replicas = this.group.servers.filter((server) => server !== master);
      return (await Promise.all(replicas.map((replica) => follow(replica, master)))).every(Boolean);
    };
    await until(doOthersFollow, { what: 'the others to follow the new master', timeout: 60_000, interval: 500 });
  }

  close(): Promise<void> {
    return this.group.close();
  }
}

export class Cluster implements Topology {
  readonly ports: readonly number[];

  constructor(private readonly cluster: RedisCluster) {
    this.ports = cluster.nodes.map(({ port }) => port);
  }

  placeThrough(ports: ReadonlyMap<number, number>): RedisPlace {
    const { nodes } = this.cluster;
    const through = nodes.map(({ port }) => addressOf(ports.get(port)!));
    return { kind: 'cluster', nodes: through, natMap: natMapOf(nodes, ports) };
  }

  masterOf(key: string): Promise<RedisServer> {
    return this.cluster.masterOf(key);
  }

  async masters(): Promise<RedisServer[]> {
    const roles = await Promise.all(this.cluster.alive.map((node) => node.info('replication')));
    return this.cluster.alive.filter((_, i) => roles[i]!['role'] === 'master');
  }

  async failOver(key: string, how: 'killed' | 'in order'): Promise<void> {
    let former = await this.cluster.masterOf(key);
    if (how === 'in order') {
      await this.cluster.failover(key);
    } else {
      former = await this.cluster.killMaster(key);
      await former.restart();
    }
    const isAgain = async (): Promise<boolean> =>
      (await follows(former, await this.cluster.masterOf(key))) &&
      (await this.cluster.replicasOf(key)).includes(former);
    await until(isAgain, { what: 'the former master to follow', timeout: 60_000, interval: 200 });
  }

  close(): Promise<void> {
    return this.cluster.close();
  }
}

async function follows(replica: RedisServer, master: RedisServer): Promise<boolean> {
  const { role, master_port, master_link_status } = await replica.info('replication').catch(() => ({}) as never);
  return role === 'slave' && Number(master_port) === master.port && master_link_status === 'up';
}

/** Has a server follow a master, unless it does. The sentinels would let ten seconds pass, or leave it to another. */
async function follow(replica: RedisServer, master: RedisServer): Promise<boolean> {
  const isFollowing = await follows(replica, master);
  const { master_port } = isFollowing ? {} : await replica.info('replication').catch(() => ({}) as never);
  if (!isFollowing && Number(master_port) !== master.port) {
    await replica.command('REPLICAOF', '127.0.0.1', master.port).catch(() => undefined);
  }
  return isFollowing;
}

function natMapOf(servers: readonly RedisServer[], ports: ReadonlyMap<number, number>): Record<string, Address> {
  return Object.fromEntries(servers.map(({ port }) => [`127.0.0.1:${port}`, addressOf(ports.get(port)!)]));
}

function addressOf(port: number): Address {
  return { host: '127.0.0.1', port };
}

/** The network between one node and all servers. */
export class NodeNetwork {
  private constructor(
    private readonly links: TcpProxy[],
    readonly place: RedisPlace,
  ) {}

  static async start(topology: Topology): Promise<NodeNetwork> {
    const links = await Promise.all(topology.ports.map((port) => TcpProxy.start(port)));
    const ports = new Map(topology.ports.map((port, i) => [port, links[i]!.port]));
    return new NodeNetwork(links, topology.placeThrough(ports));
  }

  refuse(): void {
    this.links.forEach((link) => link.refuse());
  }

  cut(): void {
    this.links.forEach((link) => link.cut());
  }

  blackhole(): void {
    this.links.forEach((link) => link.blackhole());
  }

  heal(): void {
    this.links.forEach((link) => link.heal());
  }

  async accept(): Promise<void> {
    await Promise.all(this.links.map((link) => link.accept()));
  }

  /** See `TcpProxy`; of whichever server the command goes to. */
  async loseReplyTo(command: string): Promise<void> {
    await Promise.race(this.links.map((link) => link.loseReplyTo(command)));
  }

  close(): void {
    this.links.forEach((link) => link.close());
  }
}
