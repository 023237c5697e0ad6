import type { NamePrefix, OpenOptions, RedisConnection, RedisDriver } from '../driver.js';
import { ClusterConnection } from './cluster-connection.js';
import { ClusterTopology, type ClusterAccess } from './cluster-topology.js';

/** A Redis Cluster, over the plain connections of some client. */
export class ClusterDriver implements RedisDriver {
  readonly isCluster = true;
  private readonly topology: ClusterTopology;

  constructor(
    readonly name: string,
    readonly prefix: NamePrefix,
    access: ClusterAccess,
  ) {
    this.topology = new ClusterTopology(access);
  }

  open(options: OpenOptions): RedisConnection {
    return new ClusterConnection(this.topology, options);
  }
}
