import type { RedisAddress } from './redis-client.js';
import { RedisCluster } from './redis-cluster.js';
import { RedisSentinel } from './redis-sentinel.js';
import { RedisServer, type ClientInfo } from './redis-server.js';
import { servers } from './servers.js';

export type ServerKind = 'Redis' | 'Valkey';
export type Topology = RedisAddress['topology'];

/** Redis or Valkey, as one server or as several that act as one. */
export interface Deployment {
  readonly address: RedisAddress;
  readonly servers: readonly RedisServer[];
  /** The server that a key is written to. */
  masterOf(key: string): Promise<RedisServer>;
  /** Kills that server, and waits until its replica is promoted. Absent where there is no replica. */
  failover?: (key: string) => Promise<unknown>;
  /** Moves the slot of a key to another master. Absent where there are no slots. */
  migrateSlot?: (key: string) => Promise<unknown>;
  close(): Promise<void>;
}

/** @param config - further lines of each server's configuration file */
export async function startDeployment(
  kind: ServerKind,
  topology: Topology,
  config: string[] = [],
): Promise<Deployment> {
  const options = { binary: kind === 'Redis' ? servers.redis() : servers.valkey(), config };
  switch (topology) {
    case 'single': {
      const server = await RedisServer.start(options);
      return {
        address: { topology, port: server.port },
        servers: [server],
        masterOf: () => Promise.resolve(server),
        close: () => server.close(),
      };
    }
    case 'cluster': {
      const cluster = await RedisCluster.start(options);
      return {
        address: { topology, nodes: cluster.rootNodes },
        servers: cluster.nodes,
        masterOf: (key) => cluster.masterOf(key),
        failover: async (key) => {
          await Promise.all((await cluster.replicasOf(key)).map((replica) => replica.inSync()));
          await cluster.killMaster(key);
        },
        migrateSlot: (key) => cluster.migrateSlot(key),
        close: () => cluster.close(),
      };
    }
    case 'sentinel': {
      const group = await RedisSentinel.start(options);
      return {
        address: { topology, name: group.name, sentinels: group.addresses },
        servers: group.servers,
        masterOf: () => group.master(),
        failover: async () => {
          const master = await group.master();
          await Promise.all(group.servers.filter((server) => server !== master).map((replica) => replica.inSync()));
          await group.failover();
        },
        close: () => group.close(),
      };
    }
  }
}

/** The connections to all servers of a deployment, but for those that its servers and sentinels have among themselves. */
export async function connectionsOf({ servers }: Deployment): Promise<ClientInfo[]> {
  const connections = await Promise.all(servers.filter(({ isRunning }) => isRunning).map((server) => server.clients()));
  return connections
    .flat()
    .filter(({ name, fields }) => !/[MS]/.test(fields['flags']!) && !name.startsWith('sentinel-'));
}
