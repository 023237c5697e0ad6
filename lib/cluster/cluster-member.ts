import type { ClusterNodeListener } from './event-publisher.js';
import type { ClusterNodeStatus, NodeStatus } from './events.js';

/**
 * This process as a member of the cluster: what an application may do with it.
 *
 * @publicApi
 */
export interface ClusterMember {
  /** Random, new with each start. */
  readonly id: string;
  /**
   * Opens the connections. Resolves when nothing that is sent from then on is missed, or when it is closed before. May be
   * called again.
   *
   * @throws RedisClientError (as a rejection) if that is not so within `startTimeout` and `onStartTimeout` is `fail`; the
   *   member is closed then
   */
  start(): Promise<void>;
  /** Appends what waits (for at most `closeTimeout` milliseconds), says goodbye, closes all. May be called again. */
  close(): Promise<void>;
  /** Calls the listener's methods until the function that is returned is called. */
  subscribe(listener: ClusterNodeListener): () => void;
  /** All nodes that are known, this one first. An observer is no node and is not listed. */
  nodes(): NodeStatus[];
  /** What this process does, where it is in the streams, and how far behind. */
  status(): ClusterNodeStatus;
}
