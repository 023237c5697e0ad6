import type { Address } from '../cluster/cluster-slots.js';
import type { ClusterAccess } from '../cluster/cluster-topology.js';
import { ClusterDriver } from '../cluster/cluster.driver.js';
import type { RedisSocket, RedisSocketOptions } from '../redis-socket.js';
import { mapAddress, optionsOf, type AddressMap } from './node-redis-options.js';
import { nodeRedisPrefix } from './node-redis.driver.js';
import { destroyQuietly, NodeRedisSocket, type NodeRedisClient, type NodeRedisLogin } from './node-redis-socket.js';

interface ClusterOptions {
  rootNodes?: object[];
  defaults?: { socket?: object } & NodeRedisLogin;
  nodeAddressMap?: AddressMap;
  keyPrefix?: string;
}

/** What a client of node-redis, made with `createCluster`, offers and this package uses. */
export interface NodeRedisCluster {
  readonly masters: Address[];
  duplicate(overrides?: object): NodeRedisCluster;
  connect(): Promise<unknown>;
  nodeClient(node: Address): NodeRedisClient | Promise<NodeRedisClient>;
  destroy?(): unknown;
  disconnect?(): unknown;
  on(event: string, listener: (...args: never[]) => void): unknown;
}

/** `createCluster` of node-redis 5 and 6; of 4.7, whose options cannot be seen, without `nodeAddressMap`. */
export class NodeRedisClusterDriver extends ClusterDriver {
  constructor(cluster: NodeRedisCluster) {
    const options = optionsOf<ClusterOptions>(cluster);
    super('redis', nodeRedisPrefix(options.keyPrefix), new NodeRedisClusterAccess(cluster, options));
  }
}

class NodeRedisClusterAccess implements ClusterAccess {
  /** A client for one node, made by the cluster client: it has the user's credentials, TLS and so on. */
  private template: NodeRedisClient | undefined;

  constructor(
    private readonly cluster: NodeRedisCluster,
    private readonly options: Partial<ClusterOptions>,
  ) {}

  /** A duplicate looks for the nodes, and makes a client for one of them; it is not used beyond that. */
  async seeds(signal: AbortSignal): Promise<Address[]> {
    const { defaults, rootNodes } = this.options;
    const seed = this.cluster.duplicate({
      minimizeConnections: true,
      ...(rootNodes && { defaults: { ...defaults, socket: { ...defaults?.socket, reconnectStrategy: false } } }),
    });
    let lastError: Error | undefined;
    seed.on('error', (error: Error) => (lastError = error));
    signal.addEventListener('abort', () => destroyQuietly(seed));
    try {
      await seed.connect();
    } catch (error) {
      throw lastError ?? error; // the library's says only that no root node is available
    }
    const { masters } = seed;
    this.template = await Promise.any(masters.map(async (master) => seed.nodeClient(master)));
    return masters.map(({ host, port }) => this.map({ host, port }));
  }

  map(address: Address): Address {
    return mapAddress(address, this.options.nodeAddressMap);
  }

  /** Read again for each connection, for a password may have been changed since the template was made. */
  private get login(): NodeRedisLogin {
    const { username, password, credentialsProvider } = this.options.defaults ?? {};
    if (credentialsProvider !== undefined) {
      return { credentialsProvider };
    }
    // The template has a provider that the library has made of the former password.
    return password === undefined ? {} : { username, password, credentialsProvider };
  }

  connect({ host, port }: Address, options: RedisSocketOptions): RedisSocket {
    return new NodeRedisSocket(this.template!, options, { host, port }, this.login);
  }
}
