import { RedisCluster, RedisSentinel, RedisServer, servers, type ClientInfo } from '../kit/index.js';
import type { RedisAddress } from './redis-client.js';

export type ServerKind = 'Redis' | 'Valkey';
export type Topology = RedisAddress['topology'];

/** Redis or Valkey, as one server or as several that act as one. */
export interface Deployment {
  readonly address: RedisAddress;
  readonly servers: readonly RedisServer[];
  close(): Promise<void>;
}

export async function startDeployment(kind: ServerKind, topology: Topology): Promise<Deployment> {
  const binary = kind === 'Redis' ? servers.redis() : servers.valkey();
  switch (topology) {
    case 'single': {
      const server = await RedisServer.start({ binary });
      return { address: { topology, port: server.port }, servers: [server], close: () => server.close() };
    }
    case 'cluster': {
      const cluster = await RedisCluster.start({ binary });
      return { address: { topology, nodes: cluster.rootNodes }, servers: cluster.nodes, close: () => cluster.close() };
    }
    case 'sentinel': {
      const group = await RedisSentinel.start({ binary });
      const address = { topology, name: group.name, sentinels: group.addresses };
      return { address, servers: group.servers, close: () => group.close() };
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
