import { ClusterConnection } from './cluster-connection.js';
import { ClusterTopology, type ClusterAccess } from './cluster-topology.js';
import type { Keyspace, OpenOptions, RedisConnection, RedisDriver } from './driver.js';
import { keyspaceOf, withPrefix } from './key-prefix.js';

/** A Redis Cluster, over the plain connections of some client. */
export class ClusterDriver implements RedisDriver {
  readonly isCluster = true;
  readonly keyspace: Keyspace;
  private readonly topology: ClusterTopology;

  constructor(
    readonly name: string,
    private readonly access: ClusterAccess,
  ) {
    this.keyspace = keyspaceOf(access.keyPrefix);
    this.topology = new ClusterTopology(access);
  }

  open(options: OpenOptions): RedisConnection {
    return withPrefix(this.access.keyPrefix, options, (prefixed) => new ClusterConnection(this.topology, prefixed));
  }
}
