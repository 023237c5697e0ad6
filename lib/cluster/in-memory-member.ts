import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { ClusterMember } from './cluster-member.js';
import type { ClusterNodeListener } from './event-publisher.js';
import { noCounts, noRefusals, type ClusterNodeStatus, type NodeStatus } from './events.js';

/** A member of no cluster: it is alone, uses no Redis, and is always ready. */
export class InMemoryMember implements ClusterMember {
  readonly id = randomBytes(8).toString('hex');

  private readonly listeners = new Set<ClusterNodeListener>();
  private readonly startedAt = Date.now();
  /** Changed by `start` and `close`. */
  private mode: 'starting' | 'running' | 'closed' = 'starting';

  /** @param countSockets - how many sockets are connected now */
  constructor(private readonly countSockets: () => number) {}

  start(): Promise<void> {
    if (this.mode === 'starting') {
      this.mode = 'running';
      this.onChange();
    }
    return Promise.resolve();
  }

  close(): Promise<void> {
    if (this.mode !== 'closed') {
      this.mode = 'closed';
      this.onChange();
    }
    return Promise.resolve();
  }

  subscribe(listener: ClusterNodeListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  nodes(): NodeStatus[] {
    const state = this.mode === 'closed' ? 'left' : 'up';
    return [
      {
        ...{ id: this.id, host: hostname(), pid: process.pid, startedAt: this.startedAt, state },
        ...{ lastSeen: Date.now(), sockets: this.countSockets(), backlog: 0, self: true },
      },
    ];
  }

  status(): ClusterNodeStatus {
    return {
      ...{ id: this.id, state: this.mode, reasons: [], streams: [], liveSessions: 0 },
      counters: noCounts(),
      refusedRecoveries: noRefusals(),
    };
  }

  /** To be called when sockets were connected or disconnected, too. */
  onChange(): void {
    const nodes = this.nodes();
    for (const listener of this.listeners) {
      listener.onNodes?.(nodes);
      listener.onStatus?.();
    }
  }
}
