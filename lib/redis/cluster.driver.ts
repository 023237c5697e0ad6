import { ClusterConnection } from './cluster-connection.js';
import { ClusterTopology, type ClusterAccess } from './cluster-topology.js';
import type { OpenOptions, RedisConnection, RedisDriver } from './driver.js';
import { withPrefix } from './key-prefix.js';

/** A Redis Cluster, over the plain connections of some client. */
export class ClusterDriver implements RedisDriver {
  readonly isCluster = true;
  private readonly topology: ClusterTopology;

  constructor(
    readonly name: string,
    private readonly access: ClusterAccess,
  ) {
    this.topology = new ClusterTopology(access);
  }

  open(options: OpenOptions): RedisConnection {
    return withPrefix(this.access.keyPrefix, options, (prefixed) => new ClusterConnection(this.topology, prefixed));
  }
}
