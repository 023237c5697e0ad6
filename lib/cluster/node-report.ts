import { hostname } from 'node:os';
import type { SessionStore } from '../session/session-store.js';
import type { StreamLog } from '../stream/stream-log.js';
import type { NodeInfo } from '../wire/control.js';
import { COMMANDS, type Connections } from './connections.js';
import type { ClusterNodeStatus, NodeStatus } from './events.js';
import type { Heartbeats } from './heartbeats.js';
import type { LocalNamespaces } from './local-namespaces.js';
import type { NodeCounters } from './node-counters.js';
import type { NodeRegistry } from './node-registry.js';
import type { Subscriptions } from './subscriptions.js';

/** See {@link ClusterNode}. */
export type NodeMode = 'new' | 'starting' | 'running' | 'closing' | 'closed';

/** What is reported of a node that was started. */
export interface ReportedParts {
  readonly connections: Pick<Connections, 'isLost' | 'reasons'>;
  readonly logs: readonly Pick<StreamLog, 'name' | 'error' | 'backlog' | 'status'>[];
  readonly subscriptions: Pick<Subscriptions, 'reasons'>;
  readonly heartbeats: Pick<Heartbeats, 'error'>;
  readonly sessions: Pick<SessionStore, 'liveCount'>;
}

export interface NodeReportOptions {
  /** Of the node. */
  id: string;
  /** An observer sees the nodes and counts as none. */
  role: 'node' | 'observer';
  registry: Pick<NodeRegistry, 'list'>;
  namespaces: Pick<LocalNamespaces, 'socketCount' | 'serverCount'>;
  counters: Pick<NodeCounters, 'status'>;
}

/** What a node says of itself: to the application, to an operator, and to the other nodes. */
export class NodeReport {
  /** When the node was made, in milliseconds since the epoch. */
  private readonly startedAt = Date.now();

  constructor(private readonly options: NodeReportOptions) {}

  /** All nodes, this one first if it is one. */
  nodes(mode: NodeMode, parts: ReportedParts | undefined): NodeStatus[] {
    const others = this.options.registry.list();
    if (this.options.role === 'observer') {
      return others;
    }
    const { id, host, pid, startedAt, sockets, backlog } = this.info(parts);
    const state = mode === 'closed' ? 'left' : 'up';
    const lastSeen = Date.now();
    return [{ id, host, pid, startedAt, sockets, backlog, state, lastSeen, self: true }, ...others];
  }

  status(mode: NodeMode, parts: ReportedParts | undefined): ClusterNodeStatus {
    const reasons = this.reasons(parts);
    return {
      id: this.options.id,
      state: stateFor(mode, reasons),
      reasons,
      streams: (parts?.logs ?? []).map((log) => log.status()),
      liveSessions: parts?.sessions.liveCount ?? 0,
      ...this.options.counters.status(),
    };
  }

  /** Why the node cannot do its work, if it cannot. */
  reasons(parts: ReportedParts | undefined): string[] {
    if (!parts) {
      return [];
    }
    const { connections, logs, subscriptions, heartbeats } = parts;
    const reasons = connections.reasons();
    for (const { name, error } of logs) {
      if (error.read && !connections.isLost(readerOf(name))) {
        reasons.push(`the stream "${name}" cannot be read: ${error.read.message}`);
      }
      if (error.append && !connections.isLost(COMMANDS)) {
        reasons.push(`the stream "${name}" cannot be appended to: ${error.append.message}`);
      }
    }
    reasons.push(...subscriptions.reasons());
    if (heartbeats.error && !connections.isLost(COMMANDS)) {
      reasons.push(`heartbeats cannot be published: ${heartbeats.error.message}`);
    }
    return reasons;
  }

  /** What the node says of itself in control messages. */
  info(parts: Pick<ReportedParts, 'logs'> | undefined): NodeInfo {
    const { id, namespaces } = this.options;
    return {
      id,
      host: hostname(),
      pid: process.pid,
      startedAt: this.startedAt,
      sockets: namespaces.socketCount,
      backlog: (parts?.logs ?? []).reduce((sum, log) => sum + log.backlog, 0),
      servers: namespaces.serverCount,
    };
  }
}

/** What status calls the connection that reads a stream. */
export function readerOf(stream: string): string {
  return `reader of "${stream}"`;
}

function stateFor(mode: NodeMode, reasons: readonly string[]): ClusterNodeStatus['state'] {
  switch (mode) {
    case 'new':
    case 'starting':
      return 'starting';
    case 'running':
      return reasons.length === 0 ? 'running' : 'degraded';
    case 'closing':
    case 'closed':
      return 'closed';
  }
}
