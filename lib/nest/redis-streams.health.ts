import { Injectable } from '@nestjs/common';
import { HealthIndicatorService, type HealthIndicatorResult } from '@nestjs/terminus';
import { ClusterNode } from '../cluster/cluster-node.js';
import type { ClusterNodeStatus, NodeState, NodeStatus } from '../cluster/events.js';
import { InvalidOptionError } from '../cluster/options.js';

/**
 * What counts as healthy. Whatever is given here, a node that cannot do its work is down.
 *
 * @publicApi
 */
export interface RedisStreamsHealthChecks {
  /**
   * How many nodes must be `up` at least, this one included. Those without heartbeats (`unmonitored`) do not count.
   * @default 1
   */
  minNodes?: number;
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
 * What the health check answers beside `status`.
 *
 * @publicApi
 */
export interface RedisStreamsHealthDetails extends Record<string, unknown> {
  /** This node's id. */
  id: string;
  state: ClusterNodeStatus['state'];
  /** Why this node is down; empty if it is up. */
  reasons: string[];
  nodes: {
    id: string;
    host: string;
    pid: number;
    state: NodeState;
    /** ISO 8601, by this node's clock. */
    lastSeen: string;
    sockets: number;
    self: boolean;
  }[];
  streams: {
    name: string;
    lagMs: number;
    backlog: number;
    outbox: { entries: number; bytes: number };
  }[];
}

const NO_BOUND: Required<RedisStreamsHealthChecks> = {
  minNodes: 1,
  maxLagMs: Infinity,
  maxBacklog: Infinity,
  maxOutboxEntries: Infinity,
  maxOutboxBytes: Infinity,
};

/**
 * Tells Terminus whether this node can do its work.
 *
 * @example
 * ```typescript
 * @HealthCheck()
 * check() {
 *   return this.health.check([() => this.redisStreams.isHealthy('redis-streams', { minNodes: 2 })]);
 * }
 * ```
 *
 * @publicApi
 */
@Injectable()
export class RedisStreamsHealthIndicator {
  constructor(
    private readonly node: ClusterNode,
    private readonly indicators: HealthIndicatorService,
  ) {}

  /**
   * Down when Redis is away, the streams cannot be read or appended to, a bound is passed, or too few nodes are up. It
   * asks nobody: this node knows.
   *
   * @param key - the name of the result
   * @throws InvalidOptionError (as a rejection) if one of the checks has a value that is not allowed
   */
  async isHealthy<const Key extends string>(
    key: Key,
    checks: RedisStreamsHealthChecks = {},
  ): Promise<HealthIndicatorResult<Key, 'up' | 'down', RedisStreamsHealthDetails>> {
    return Promise.resolve(this.check(key, resolveChecks(checks)));
  }

  private check<const Key extends string>(
    key: Key,
    bounds: Required<RedisStreamsHealthChecks>,
  ): HealthIndicatorResult<Key, 'up' | 'down', RedisStreamsHealthDetails> {
    const status = this.node.status();
    const nodes = this.node.nodes();
    const reasons = [...workReasons(status), ...boundReasons(status, nodes, bounds)];
    const indicator = this.indicators.check(key);
    const details = toDetails(status, nodes, reasons);
    return reasons.length === 0 ? indicator.up(details) : indicator.down(details);
  }
}

/** Why the node cannot do its work. */
function workReasons({ state, reasons }: ClusterNodeStatus): string[] {
  if (reasons.length > 0 || state === 'running') {
    return reasons;
  }
  return [state === 'closed' ? 'the node is closed' : 'Redis has not been reached yet'];
}

/** Which bounds are passed. */
function boundReasons(
  { streams }: ClusterNodeStatus,
  nodes: NodeStatus[],
  bounds: Required<RedisStreamsHealthChecks>,
): string[] {
  const reasons: string[] = [];
  const up = nodes.filter(({ state }) => state === 'up').length;
  if (up < bounds.minNodes) {
    reasons.push(`${up} of at least ${bounds.minNodes} nodes ${up === 1 ? 'is' : 'are'} up (minNodes)`);
  }
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

function resolveChecks(checks: RedisStreamsHealthChecks): Required<RedisStreamsHealthChecks> {
  if (typeof checks !== 'object' || checks === null) {
    throw new InvalidOptionError('checks', checks, 'an object such as { minNodes: 2 }');
  }
  const resolved = { ...NO_BOUND };
  for (const [name, value] of Object.entries(checks) as [keyof RedisStreamsHealthChecks, unknown][]) {
    if (!Object.hasOwn(NO_BOUND, name)) {
      throw new InvalidOptionError(`checks.${name}`, value, `one of the checks ${Object.keys(NO_BOUND).join(', ')}`);
    }
    if (value === undefined) {
      continue;
    }
    const least = name === 'minNodes' ? 1 : 0;
    if (typeof value !== 'number' || !(value >= least)) {
      throw new InvalidOptionError(`checks.${name}`, value, `a number from ${least}`);
    }
    resolved[name] = value;
  }
  return resolved;
}
