import type { StreamId } from '../wire/stream-id.js';

/** What happens to a stream, as data. */
export type StreamEvent =
  /**
   * Entries are missing. Lost: before this node could read them they were trimmed, deleted, or not in the replica that took
   * over. Dropped: by their publisher, as that reports too, so that no node has them.
   */
  | { type: 'gap'; stream: string; reason: 'lost' | 'dropped'; lost: number; origin: string; before: StreamId }
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

/** One stream, as this node reads and writes it. */
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
