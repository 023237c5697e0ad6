import type { StreamId } from '../wire/stream-id.js';

/** What happens to a stream, as data. */
export type StreamEvent =
  /** Entries were lost before this node could read them: trimmed, deleted, or not in the replica that took over. */
  | { type: 'gap'; stream: string; lost: number; origin: string; before: StreamId }
  /** The stream was deleted, emptied or replaced, or its history rewound by a failover. Reading goes on at `position`. */
  | { type: 'stream-replaced'; stream: string; reason: 'deleted' | 'rewound' | 'recreated'; position: StreamId }
  /** Redis refuses to let the stream be read or written; this is told once, until `stream-usable`. */
  | { type: 'stream-refused'; stream: string; operation: 'read' | 'append'; error: Error }
  | { type: 'stream-usable'; stream: string; operation: 'read' | 'append'; afterMs: number }
  /** Broadcasts that waited for Redis were dropped, the oldest first, because the outbox was full. */
  | { type: 'outbox-overflow'; stream: string; dropped: number }
  /** The outbox takes broadcasts again. `dropped`: how many were lost since the overflow began. */
  | { type: 'outbox-drained'; stream: string; dropped: number }
  /** An entry was passed over. Told once for each reason. */
  | { type: 'entry-rejected'; stream: string; id: StreamId; reason: string };
