import { Injectable } from '@nestjs/common';
import type { ClusterNodeStatus, NodeState, NodeStatus } from '../cluster/events.js';
import { resolveChecks } from './health-checks.js';
import { RedisStreamsNode } from './redis-streams.node.js';

/**
 * What counts as healthy. Whatever is given here, a node that cannot do its work is down.
 *
 * @publicApi
 */
export interface RedisStreamsHealthChecks {
  /**
   * How old the oldest entry that waits to be delivered may be, in milliseconds. By Redis' clock and this node's.
   * @default no bound
   */
  maxLagMs?: number;
  /**
   * How many entries may wait to be delivered, for each stream.
   * @default no bound
   */
  maxBacklog?: number;
  /**
   * How many broadcasts may wait for Redis, for each stream.
   * @default no bound
   */
  maxOutboxEntries?: number;
  /**
   * How many bytes of broadcasts may wait for Redis, for each stream.
   * @default no bound
   */
  maxOutboxBytes?: number;
}

/**
 * What counts as a healthy cluster.
 *
 * @publicApi
 */
export interface RedisStreamsClusterChecks {
  /**
   * How many nodes there must be at least, this one included: `up`, or `suspect`, for a heartbeat that is late is no
   * reason for an alert. Those without heartbeats (`unmonitored`) do not count.
   * @default 1
   */
  minNodes?: number;
}

/**
 * What the health check answers beside `status`.
 *
 * @publicApi
 */
export interface RedisStreamsHealthDetails extends Record<string, unknown> {
  /** This node's id. */
  id: string;
  /** What this node does. */
  state: ClusterNodeStatus['state'];
  /** Why this node is down; empty if it is up. */
  reasons: string[];
  /** All nodes, this one first. */
  nodes: {
    id: string;
    host: string;
    pid: number;
    state: NodeState;
    /** ISO 8601, by this node's clock. */
    lastSeen: string;
    /** Sockets connected to it, in all namespaces. */
    sockets: number;
    /** Whether it is this node. */
    self: boolean;
  }[];
  /** Each stream that this node reads and appends to. */
  streams: {
    name: string;
    /** The age of the oldest entry that waits to be delivered, in milliseconds. */
    lagMs: number;
    /** Entries fetched and not yet delivered. */
    backlog: number;
    /** How many broadcasts wait for Redis, and their bytes. */
    outbox: { entries: number; bytes: number };
  }[];
}

/**
 * The answer to a check: what Terminus calls a `HealthIndicatorResult`.
 *
 * @publicApi
 */
export type RedisStreamsHealthResult<Key extends string = string> = Record<
  Key,
  { status: 'up' | 'down' } & RedisStreamsHealthDetails
>;

const NO_BOUND: Required<RedisStreamsHealthChecks> = {
  maxLagMs: Infinity,
  maxBacklog: Infinity,
  maxOutboxEntries: Infinity,
  maxOutboxBytes: Infinity,
};

/**
 * Health indicators for Terminus, which need nothing of it.
 *
 * @example
 * ```typescript
 * @Get('ready')
 * @HealthCheck()
 * ready() {
 *   return this.health.check([() => this.redisStreams.isHealthy('redis-streams')]);
 * }
 * ```
 *
 * @publicApi
 */
@Injectable()
export class RedisStreamsHealthIndicator {
  constructor(private readonly node: RedisStreamsNode) {}

  /**
   * Whether this node can do its work, as readiness asks: down when Redis is away, the streams cannot be read or appended
   * to, or a bound is passed. It asks nobody: this node knows. Other nodes do not matter to it.
   *
   * @param key - the name of the result
   * @throws InvalidOptionError (as a rejection) if one of the checks has a value that is not allowed
   */
  async isHealthy<const Key extends string>(
    key: Key,
    checks: RedisStreamsHealthChecks = {},
  ): Promise<RedisStreamsHealthResult<Key>> {
    const bounds = resolveChecks(checks, NO_BOUND, 0);
    const status = this.node.status();
    return Promise.resolve(this.result(key, status, [...workReasons(status), ...boundReasons(status, bounds)]));
  }

  /**
   * Whether there are as many nodes as there should be, as an alert or a dashboard asks. It is not for readiness or
   * liveness: there, the death of one node would take all others out of service.
   *
   * @param key - the name of the result
   * @throws InvalidOptionError (as a rejection) if one of the checks has a value that is not allowed
   */
  async isClusterHealthy<const Key extends string>(
    key: Key,
    checks: RedisStreamsClusterChecks = {},
  ): Promise<RedisStreamsHealthResult<Key>> {
    const { minNodes } = resolveChecks(checks, { minNodes: 1 }, 1);
    const present = this.node.nodes().filter(({ state }) => state === 'up' || state === 'suspect').length;
    const status = this.node.status();
    const reasons = workReasons(status);
    if (present < minNodes) {
      reasons.push(`${present} of at least ${minNodes} nodes ${present === 1 ? 'is' : 'are'} there (minNodes)`);
    }
    return Promise.resolve(this.result(key, status, reasons));
  }

  private result<const Key extends string>(
    key: Key,
    status: ClusterNodeStatus,
    reasons: string[],
  ): RedisStreamsHealthResult<Key> {
    const details = toDetails(status, this.node.nodes(), reasons);
    return { [key]: { status: reasons.length === 0 ? 'up' : 'down', ...details } } as RedisStreamsHealthResult<Key>;
  }
}

/** Why the node cannot do its work. */
function workReasons({ state, reasons }: ClusterNodeStatus): string[] {
  if (reasons.length > 0 || state === 'running') {
    return [...reasons];
  }
  return [state === 'closed' ? 'the node is closed' : 'Redis has not been reached yet'];
}

/** Which bounds are passed. */
function boundReasons({ streams }: ClusterNodeStatus, bounds: Required<RedisStreamsHealthChecks>): string[] {
  const reasons: string[] = [];
  for (const { name, lagMs, backlog, outbox } of streams) {
    if (lagMs > bounds.maxLagMs) {
      reasons.push(`the stream "${name}" is read ${lagMs} ms late (maxLagMs: ${bounds.maxLagMs})`);
    }
    if (backlog > bounds.maxBacklog) {
      reasons.push(`${backlog} entries of the stream "${name}" wait for delivery (maxBacklog: ${bounds.maxBacklog})`);
    }
    if (outbox.entries > bounds.maxOutboxEntries) {
      const bound = `maxOutboxEntries: ${bounds.maxOutboxEntries}`;
      reasons.push(`${outbox.entries} broadcasts for the stream "${name}" wait for Redis (${bound})`);
    }
    if (outbox.bytes > bounds.maxOutboxBytes) {
      const bound = `maxOutboxBytes: ${bounds.maxOutboxBytes}`;
      reasons.push(`${outbox.bytes} bytes of broadcasts for the stream "${name}" wait for Redis (${bound})`);
    }
  }
  return reasons;
}

function toDetails(status: ClusterNodeStatus, nodes: NodeStatus[], reasons: string[]): RedisStreamsHealthDetails {
  return {
    id: status.id,
    state: status.state,
    reasons,
    nodes: nodes.map(({ id, host, pid, state, lastSeen, sockets, self }) => ({
      ...{ id, host, pid, state, sockets, self },
      lastSeen: new Date(lastSeen).toISOString(),
    })),
    streams: status.streams.map(({ name, lagMs, backlog, outbox }) => ({ name, lagMs, backlog, outbox })),
  };
}
