import type { StreamEvent } from '../stream/events.js';

/** What another node, or this one, is known to be. */
export type NodeState =
  /** It announces itself in time. */
  | 'up'
  /** Its announcement is overdue. */
  | 'suspect'
  /** It has been silent for `heartbeatTimeout`. */
  | 'down'
  /** It said goodbye. */
  | 'left'
  /**
   * It takes part and has no heartbeat, as nodes of `@socket.io/redis-streams-adapter`. Nothing else is known of it: it
   * counts for no `minNodes`, no event tells of it, and it is listed until it has sent nothing for 30 times
   * `heartbeatTimeout`.
   */
  | 'unmonitored';

/** A node of the cluster as this node sees it. */
export interface NodeStatus {
  /** Random, new with each start. An `unmonitored` node has another one in each namespace, and is listed with each. */
  id: string;
  /** The namespace of the id, if the node is `unmonitored`. What such a node does not tell is "unknown" or 0. */
  namespace?: string;
  host: string;
  pid: number;
  /** Milliseconds since the epoch, by the node's own clock. */
  startedAt: number;
  state: NodeState;
  /** When it was last heard: milliseconds since the epoch, by this node's clock. */
  lastSeen: number;
  /** Sockets connected to it, in all namespaces. */
  sockets: number;
  /** Entries that it had fetched and not yet delivered. */
  backlog: number;
  /** Whether it is the node that tells. */
  self: boolean;
}

/** A node announced itself for the first time. */
export interface NodeJoinedEvent {
  type: 'node-joined';
  node: NodeStatus;
}

/** The announcement of a node is overdue. */
export interface NodeSuspectedEvent {
  type: 'node-suspected';
  node: NodeStatus;
}

/** A node has been silent for `heartbeatTimeout`. */
export interface NodeDownEvent {
  type: 'node-down';
  node: NodeStatus;
}

/** A node that was suspected or down announced itself again. */
export interface NodeBackEvent {
  type: 'node-back';
  node: NodeStatus;
}

/** A node said goodbye. */
export interface NodeLeftEvent {
  type: 'node-left';
  node: NodeStatus;
}

/** This node cannot use Redis. Emitted once, until `redis-regained`. */
export interface RedisLostEvent {
  type: 'redis-lost';
  error: Error;
}

/** All connections of this node are back. */
export interface RedisRegainedEvent {
  type: 'redis-regained';
  afterMs: number;
}

/** A PUB/SUB message was passed over. Emitted once for each reason. */
export interface MessageRejectedEvent {
  type: 'message-rejected';
  channel: string;
  reason: string;
}

/** Redis refused a session. Emitted once for each operation and reason. */
export interface SessionRefusedEvent {
  type: 'session-refused';
  operation: 'save' | 'checkpoint' | 'take';
  error: Error;
}

/**
 * What happened, as data.
 *
 * @publicApi
 */
export type ClusterEvent =
  | NodeJoinedEvent
  | NodeSuspectedEvent
  | NodeDownEvent
  | NodeBackEvent
  | NodeLeftEvent
  | RedisLostEvent
  | RedisRegainedEvent
  | MessageRejectedEvent
  | SessionRefusedEvent
  | StreamEvent;

/** This node: what it does, where it is, and how far behind. */
export interface ClusterNodeStatus {
  id: string;
  /** `starting`: Redis has not been reached yet; `running`; `degraded`: part of it does not work; `closed`. */
  state: 'starting' | 'running' | 'degraded' | 'closed';
  /** Why it is degraded. */
  reasons: string[];
  streams: StreamStatus[];
  /** Clients whose sessions are kept in Redis while they are connected. */
  liveSessions: number;
  counters: { rejectedMessages: number; droppedRequests: number; recoveries: number; refusedRecoveries: number };
}

export interface StreamStatus {
  name: string;
  mode: string;
  /** The id of the last entry delivered; undefined until the end of the stream is known. */
  position: string | undefined;
  /** Entries fetched and not yet delivered. */
  backlog: number;
  /** The age of the oldest entry that waits to be delivered, by Redis' clock and this node's, in milliseconds. */
  lagMs: number;
  outbox: { entries: number; bytes: number };
  replay: { entries: number; bytes: number };
  counters: {
    appended: number;
    read: number;
    duplicates: number;
    /** Entries that were gone before they could be read. */
    lost: number;
    /** Broadcasts that were dropped because the outbox was full. */
    dropped: number;
    rejected: number;
  };
}
