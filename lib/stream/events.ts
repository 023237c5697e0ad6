import type { StreamId } from '../wire/stream-id.js';

/**
 * Entries of one publisher are missing before one that was read. `lost`: they were trimmed, deleted, or not in the replica
 * that took over, before this node could read them; its clients do not get them, and who was away for them is not
 * recovered. `dropped`: their publisher never appended them, as it reports itself; no node has them. What a node appended
 * itself and gave to its own clients at once, it does not report: they have it.
 */
export interface StreamGap {
  type: 'gap';
  stream: string;
  reason: 'lost' | 'dropped';
  /** How many. */
  lost: number;
  /** The node that appended them, or an emitter. */
  origin: string;
  /** The id of the entry that was read after them. */
  before: StreamId;
}

/**
 * The stream was deleted or emptied, rewound to an earlier state by a failover, or replaced by another. This node reads on
 * after `position`; clients that were away are not recovered from before it.
 */
export interface StreamReplaced {
  type: 'stream-replaced';
  stream: string;
  /** `deleted`: it is not there; `rewound`: it ends before what was read; `recreated`: it is another one. */
  reason: 'deleted' | 'rewound' | 'recreated';
  /** The id after which this node reads on. */
  position: StreamId;
}

/**
 * Redis refuses to let the stream be read or appended to, though it can be reached. It is tried again until it works.
 * Emitted once, until `stream-recovered`.
 */
export interface StreamRefused {
  type: 'stream-refused';
  stream: string;
  operation: 'read' | 'append';
  error: Error;
}

/** The stream can be read or appended to again. */
export interface StreamRecovered {
  type: 'stream-recovered';
  stream: string;
  operation: 'read' | 'append';
  /** Milliseconds since `stream-refused`. */
  afterMs: number;
}

/**
 * Broadcasts that waited for Redis will not be sent: `full`, the outbox had no room for more, and the oldest went;
 * `closed`, the node closed before they could be appended. Emitted at the first of several; the total follows with
 * `outbox-accepting`, and is in the counters.
 */
export interface OutboxDropped {
  type: 'outbox-dropped';
  stream: string;
  reason: 'full' | 'closed';
  /** How many so far. */
  dropped: number;
}

/**
 * Redis, or a proxy before it, refused a message because of itself: it is too large. It was dropped and is counted; all
 * others are sent. The clients of the node that sent it may have been given it, those of other nodes are not. Of what goes by
 * PUB/SUB, and nobody learns it by an error, the first of each kind is reported; who asked for an acknowledgement misses it.
 */
export interface MessageRefused {
  type: 'message-refused';
  stream: string;
  /** The namespace that it was for. */
  namespace: string;
  /** What it is, such as `the event "upload"`. */
  message: string;
  /** About how large it is, encoded. */
  bytes: number;
  /** What Redis, or the proxy, answered. */
  error: Error;
}

/** The outbox was full and is being emptied: broadcasts are taken again without others being dropped for them. */
export interface OutboxAccepting {
  type: 'outbox-accepting';
  stream: string;
  /** How many were dropped since it was full. */
  dropped: number;
}

/** An entry could not be understood or delivered, and was passed over. Emitted once for each reason; all are counted. */
export interface EntryRejected {
  type: 'entry-rejected';
  stream: string;
  /** Of the entry. */
  id: StreamId;
  /** What is wrong with it. */
  reason: string;
}

/**
 * The server, or a proxy before it, answers blocking reads at once although there is nothing to read. So reads pause for up to
 * `pauseMs` milliseconds while nothing comes, by which an entry may come later. Emitted once for each stream of a node.
 */
export interface ReadsNotBlocking {
  type: 'reads-not-blocking';
  stream: string;
  pauseMs: number;
}

/**
 * What happens to a stream, as data.
 *
 * @publicApi
 */
export type StreamEvent =
  | StreamGap
  | StreamReplaced
  | StreamRefused
  | StreamRecovered
  | ReadsNotBlocking
  | OutboxDropped
  | OutboxAccepting
  | MessageRefused
  | EntryRejected;

/** One stream, as this node reads and writes it. */
export interface StreamStatus {
  /** The key of the stream in Redis. */
  name: string;
  /** What its reader does now, such as `following` or `catching-up`; for a person to read. */
  mode: string;
  /** The id of the last entry delivered; undefined until the end of the stream is known. */
  position: string | undefined;
  /** Entries fetched and not yet delivered. */
  backlog: number;
  /** The age of the oldest entry that waits to be delivered, by Redis' clock and this node's, in milliseconds. */
  lagMs: number;
  /** How many broadcasts wait for Redis, and their bytes. */
  outbox: { entries: number; bytes: number };
  /** How many entries are kept in memory for recovery, and their bytes. */
  replay: { entries: number; bytes: number };
  /** Entries since the start. */
  counters: {
    /** Entries of this node that Redis has. */
    appended: number;
    /** Entries that came from Redis. */
    read: number;
    /** Entries that sockets or servers here were given when they were read. */
    delivered: number;
    /** Entries that were for nobody here, or of this node, which had delivered them at once. */
    passedOver: number;
    /** Entries that were in the stream twice, and passed over. */
    duplicates: number;
    /** Entries that were gone before they could be read, so that nobody here was given them. */
    lost: number;
    /** Broadcasts that were dropped because the outbox was full. */
    dropped: number;
    /** Entries that could not be understood or delivered. */
    rejected: number;
  };
}
