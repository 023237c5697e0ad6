import type { StreamEvent, StreamStatus } from '../stream/events.js';

export type { StreamStatus };

/** What another node, or this one, is known to be. */
export type NodeState =
  /** Its heartbeats come in time. */
  | 'up'
  /** Its heartbeat is overdue. */
  | 'suspect'
  /** It has been silent for `heartbeatTimeout`. */
  | 'down'
  /** It said goodbye. */
  | 'left'
  /**
   * It takes part and has no heartbeat, as nodes of `@socket.io/redis-streams-adapter`. Nothing else is known of it: it
   * counts for no `minNodes`, there is no event about it, and it is listed until it has sent nothing for 30 times
   * `heartbeatTimeout`.
   */
  | 'unmonitored';

/** A node of the cluster as this node sees it. */
export interface NodeStatus {
  /** Random, new with each start. An `unmonitored` node has another one in each namespace, and is listed with each. */
  id: string;
  /** The namespace of the id, if the node is `unmonitored`. What such a node does not say is "unknown" or 0. */
  namespace?: string;
  /** The name of its machine. */
  host: string;
  /** Of its process. */
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
  /** Whether it is the node whose list this is. */
  self: boolean;
}

/** A node was heard for the first time. It is asked when requests are made from now on. */
export interface NodeJoined {
  type: 'node-joined';
  node: NodeStatus;
}

/** A node's heartbeat is overdue. It is still asked; `node-back` or `node-down` follows. */
export interface NodeSuspected {
  type: 'node-suspected';
  node: NodeStatus;
}

/**
 * A node has been silent for `heartbeatTimeout`: it was killed, it hangs, or it is cut off from Redis. Requests that
 * wait for it end without its answer, and it is asked no more until `node-back`.
 */
export interface NodeDown {
  type: 'node-down';
  node: NodeStatus;
}

/** A node that was `suspect` or `down` is heard again, and asked again. */
export interface NodeBack {
  type: 'node-back';
  node: NodeStatus;
}

/** A node said goodbye and closes. It never comes back under this id. */
export interface NodeLeft {
  type: 'node-left';
  node: NodeStatus;
}

/** What happened to another node. */
export type NodeEvent = NodeJoined | NodeSuspected | NodeDown | NodeBack | NodeLeft;

/**
 * This node cannot use Redis, or part of it: broadcasts wait in the outbox, its own clients are served, and it
 * reconnects by itself. Emitted once, until `redis-reconnected`.
 */
export interface RedisLost {
  type: 'redis-lost';
  error: Error;
}

/** All connections to Redis can be used again. What waited is sent, and reading goes on where it stopped. */
export interface RedisReconnected {
  type: 'redis-reconnected';
  /** Milliseconds since `redis-lost`. */
  afterMs: number;
}

/** A PUB/SUB message could not be understood and was passed over. Emitted once for each reason; all are counted. */
export interface MessageRejected {
  type: 'message-rejected';
  /** The channel by which it came. */
  channel: string;
  reason: string;
}

/**
 * A socket has something in its `data` or `handshake` that other nodes cannot be given: a function, a circle. They are
 * given the rest. Emitted once for each.
 */
export interface DataLeftOut {
  type: 'data-left-out';
  namespace: string;
  /** Such as `data.user.session`. */
  path: string;
  /** Why it cannot be sent. */
  reason: string;
}

/**
 * A session could not be written or read: its client may not be recovered. Emitted once for each operation and reason,
 * and tried again with the next change of the session.
 */
export interface SessionRefused {
  type: 'session-refused';
  /** `save`: of a client that was disconnected; `checkpoint`: of one that is connected; `take`: of one that comes back. */
  operation: 'save' | 'checkpoint' | 'take';
  error: Error;
}

/** A client that came back was not recovered: it is connected as a new one. */
export interface RecoveryRefused {
  type: 'recovery-refused';
  namespace: string;
  reason: RecoveryRefusal;
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
  /** A middleware still delays an earlier connection of the client. */
  | 'busy';

/** None of each. */
export function noRefusals(): Record<RecoveryRefusal, number> {
  return { unknown: 0, offset: 0, trimmed: 0, lost: 0, 'redis-away': 0, taken: 0, busy: 0 };
}

/** None of each. */
export function noCounts(): ClusterNodeStatus['counters'] {
  return {
    ...{ rejectedMessages: 0, droppedRequests: 0, recoveries: 0, refusedRecoveries: 0 },
    ...{ sentHeartbeats: 0, receivedHeartbeats: 0 },
  };
}

/** What happened, as data. */
export type ClusterEvent =
  | NodeEvent
  | RedisLost
  | RedisReconnected
  | MessageRejected
  | DataLeftOut
  | SessionRefused
  | RecoveryRefused
  | StreamEvent;

/** This node: what it does, where it is, and how far behind. */
export interface ClusterNodeStatus {
  /** Random, new with each start. */
  id: string;
  /** `starting`: Redis has not been reached yet; `running`; `degraded`: part of it does not work; `closed`. */
  state: 'starting' | 'running' | 'degraded' | 'closed';
  /** Why it is degraded. */
  reasons: string[];
  /** Each stream that the node reads and appends to. */
  streams: StreamStatus[];
  /** Clients whose sessions are kept in Redis while they are connected. */
  liveSessions: number;
  /** What has happened since the start. */
  counters: {
    /** PUB/SUB messages that could not be understood. */
    rejectedMessages: number;
    /** Requests, answers and volatile broadcasts that could not be sent, as Redis was away. */
    droppedRequests: number;
    /** Clients that were recovered here. */
    recoveries: number;
    /** Clients that came back and were not recovered. */
    refusedRecoveries: number;
    /** Heartbeats that this node has published. */
    sentHeartbeats: number;
    /** Heartbeats of other nodes. */
    receivedHeartbeats: number;
  };
  /** How many clients were not recovered, by the reason. */
  refusedRecoveries: Record<RecoveryRefusal, number>;
}
