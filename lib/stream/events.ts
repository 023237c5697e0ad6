import type { StreamId } from './stream-id.js';

/** Entries were lost before this node could read them: trimmed, deleted, or not in the replica that took over. */
export interface GapEvent {
  type: 'gap';
  stream: string;
  /** How many. */
  lost: number;
  /** The node that had published them. */
  origin: string;
  /** The entry before which they would have come. */
  before: StreamId;
}

/** The stream was deleted, emptied or replaced, or its history rewound by a failover. Reading goes on at `position`. */
export interface StreamReplacedEvent {
  type: 'stream-replaced';
  stream: string;
  reason: 'deleted' | 'rewound' | 'recreated';
  position: StreamId;
}

/** Redis refuses to let the stream be read or written; emitted once, until `stream-usable`. */
export interface StreamRefusedEvent {
  type: 'stream-refused';
  stream: string;
  operation: 'read' | 'append';
  error: Error;
}

/** The stream can be read or written again. */
export interface StreamUsableEvent {
  type: 'stream-usable';
  stream: string;
  operation: 'read' | 'append';
  afterMs: number;
}

/** Broadcasts that waited for Redis were dropped, the oldest first, because the outbox was full. */
export interface OutboxOverflowEvent {
  type: 'outbox-overflow';
  stream: string;
  dropped: number;
}

/** The outbox takes broadcasts again. */
export interface OutboxDrainedEvent {
  type: 'outbox-drained';
  stream: string;
  /** How many were lost since the overflow began. */
  dropped: number;
}

/** An entry was passed over. Emitted once for each reason. */
export interface EntryRejectedEvent {
  type: 'entry-rejected';
  stream: string;
  id: StreamId;
  reason: string;
}

/**
 * What happens to a stream, as data.
 *
 * @publicApi
 */
export type StreamEvent =
  | GapEvent
  | StreamReplacedEvent
  | StreamRefusedEvent
  | StreamUsableEvent
  | OutboxOverflowEvent
  | OutboxDrainedEvent
  | EntryRejectedEvent;
