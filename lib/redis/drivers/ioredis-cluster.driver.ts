import type { Address } from '../cluster/cluster-slots.js';
import type { ClusterAccess } from '../cluster/cluster-topology.js';
import { ClusterDriver } from '../cluster/cluster.driver.js';
import { ioredisPrefix } from './ioredis.driver.js';
import { IoredisSocket, type IoredisClient } from './ioredis-socket.js';
import type { RedisSocket, RedisSocketOptions } from '../redis-socket.js';

/** Options for the clients of nodes that this package looks at. */
interface RedisOptions {
  keyPrefix?: string;
  username?: string | null;
  password?: string | null;
}

type NatMap = Record<string, Address> | ((address: string) => Address | null | undefined);

/** What a cluster client of ioredis offers and this package uses. */
export interface IoredisCluster {
  readonly isCluster: boolean;
  readonly options: { natMap?: NatMap | null; keyPrefix?: string; redisOptions?: RedisOptions };
  duplicate(startupNodes?: unknown[], override?: object): IoredisCluster;
  connect(): Promise<unknown>;
  disconnect(): void;
  nodes(role?: 'all'): IoredisClient[];
  on(event: string, listener: (...args: never[]) => void): unknown;
}

/** `Cluster` of ioredis 5 and 6. */
export class IoredisClusterDriver extends ClusterDriver {
  constructor(cluster: IoredisCluster) {
    const { keyPrefix, redisOptions } = cluster.options;
    super('ioredis', ioredisPrefix(keyPrefix ?? redisOptions?.keyPrefix), new IoredisClusterAccess(cluster));
  }
}

class IoredisClusterAccess implements ClusterAccess {
  /** A client for one node, made by the cluster client: it has the user's credentials, TLS and so on. */
  private template: IoredisClient | undefined;

  constructor(private readonly cluster: IoredisCluster) {}

  /** A duplicate resolves the names of its startup nodes and makes a client for each; it is not used beyond that. */
  seeds(signal: AbortSignal): Promise<Address[]> {
    const seed = this.cluster.duplicate([], {
      lazyConnect: true,
      clusterRetryStrategy: () => null,
      slotsRefreshInterval: undefined,
      shardedSubscribers: false,
      enableOfflineQueue: false,
    });
    return new Promise((resolve, reject) => {
      const found: IoredisClient[] = [];
      seed.on('error', () => undefined);
      seed.on('+node', (node: IoredisClient) => {
        found.push(node);
        if (found.length === 1) {
          process.nextTick(() => {
            this.template = found[0];
            resolve(found.map(({ options }) => ({ ...(options as Address) })));
          });
        }
      });
      signal.addEventListener('abort', () => seed.disconnect());
      seed.connect().catch(reject);
    });
  }

  map(address: Address): Address {
    const { natMap } = this.cluster.options;
    const key = `${address.host}:${address.port}`;
    return (typeof natMap === 'function' ? natMap(key) : natMap?.[key]) ?? address;
  }

  /** Read again for each connection, for a password may have been changed since the template was made. */
  private get login(): RedisOptions {
    const { username, password } = this.cluster.options.redisOptions ?? {};
    return { ...(username != null && { username }), ...(password != null && { password }) };
  }

  connect({ host, port }: Address, options: RedisSocketOptions): RedisSocket {
    return new IoredisSocket(this.template!, options, { host, port, ...this.login });
  }
}
