import type { StreamStatus } from '../stream/events.js';
import type { TelemetryRecorder } from '../stream/telemetry.js';
import type { ClusterEvent, ClusterNodeStatus, NodeStatus } from './events.js';

export type { TelemetryRecorder } from '../stream/telemetry.js';

/**
 * Measures nodes and emitters, and traces what they carry: the option `telemetry`. `openTelemetry()` of
 * `nestjs-redis-streams-adapter/opentelemetry` makes one.
 *
 * @publicApi
 */
export interface RedisStreamsTelemetry {
  /** A node or an emitter starts. */
  observe(source: TelemetrySource): TelemetryRecorder;
}

/**
 * A node, or an emitter, as it can be looked at whenever metrics are collected.
 *
 * @publicApi
 */
export interface TelemetrySource {
  /** Its streams now. */
  readonly streams: () => TelemetryStream[];
  /** Absent for an emitter. */
  readonly node?: {
    /** It, now. */
    status(): ClusterNodeStatus;
    /** All nodes, now. */
    nodes(): NodeStatus[];
    /** Calls the listener with each event. */
    onEvent(listener: (event: ClusterEvent) => void): void;
  };
}

/** A stream; an emitter reads none, so it has less. @publicApi */
export type TelemetryStream = Pick<StreamStatus, 'name' | 'outbox'> &
  Partial<Pick<StreamStatus, 'backlog' | 'lagMs' | 'replay'>> & {
    counters: Pick<StreamStatus['counters'], 'appended' | 'dropped'> & Partial<StreamStatus['counters']>;
  };
