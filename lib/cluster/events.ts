import type { StreamEvent, StreamStatus } from '../stream/events.js';

export type { StreamStatus };

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

/** Why a client that came back was not recovered. */
export type RecoveryRefusal =
  /** No session of it is known: there was none, it has expired, or Redis has lost it. */
  | 'unknown'
  /** Its offset is none, or is not of this log. */
  | 'offset'
  /** Part of what it missed, or may have missed, has left the log and this node's memory. */
  | 'trimmed'
  /** Part of what it missed, or may have missed, was lost by Redis. */
  | 'lost'
  /** Redis could not be asked. */
  | 'redis-away'
  /** Another connection of the client took the session meanwhile. */
  | 'taken'
  /** A middleware still holds an earlier connection of the client. */
  | 'busy';

/** None of each. */
export function noRefusals(): Record<RecoveryRefusal, number> {
  return { unknown: 0, offset: 0, trimmed: 0, lost: 0, 'redis-away': 0, taken: 0, busy: 0 };
}

/** What happened, as data. */
export type ClusterEvent =
  | { type: 'node-joined' | 'node-suspected' | 'node-down' | 'node-back' | 'node-left'; node: NodeStatus }
  /** This node cannot use Redis. Told once, until `redis-regained`. */
  | { type: 'redis-lost'; error: Error }
  | { type: 'redis-regained'; afterMs: number }
  /** A PUB/SUB message was passed over. Told once for each reason. */
  | { type: 'message-rejected'; channel: string; reason: string }
  /** Redis refused a session. Told once for each operation and reason. */
  | { type: 'session-refused'; operation: 'save' | 'checkpoint' | 'take'; error: Error }
  /** A client that came back was not recovered: it is connected as a new one. */
  | { type: 'recovery-refused'; namespace: string; reason: RecoveryRefusal }
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
  /** How many clients were not recovered, by the reason. */
  refusedRecoveries: Record<RecoveryRefusal, number>;
}
