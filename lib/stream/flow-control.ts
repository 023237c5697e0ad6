import { compareStreamIds, type StreamId } from '../wire/stream-id.js';
import { Fifo } from '../queue/fifo.js';
import { ReaderBarrier } from './reader-barrier.js';

/** The nodes that read the stream, this one among them. */
export interface Readers {
  /** How many are not known to be gone. */
  count(): number;
  /** Their ids. */
  present(): readonly string[];
  /** Asks all to say whether they read. */
  ask(): void;
}

/** What flow control must know of this node's reader of the same stream. */
export interface OwnReader {
  /** Whether it is known where reading began: what is appended from then on is read. */
  readonly isOpen: boolean;
  /** Whether entries are being read now. */
  readonly isReading: boolean;
  /** The id of the last entry that was fetched. */
  readonly fetched: StreamId | undefined;
}

export interface FlowControlOptions {
  nodeId: string;
  /** About how many entries the stream keeps. */
  maxLen: number;
  /** Milliseconds of silence after which a node counts as down. */
  heartbeatTimeout: number;
  readers: Readers;
}

/** How many appended batches are counted each by itself while they are not read back. */
const MAX_BATCHES = 1_024;

/**
 * How much a publisher may append, so that the stream is not trimmed past its readers.
 *
 * All nodes together may have a quarter of the stream unread, each the same share of it; what a node appended counts until
 * its own reader has fetched it, for that is as fast as the others mostly. While some node has not come back after an
 * outage, everything counts that was appended since it began.
 */
export class FlowControl {
  /** The nodes that have not come back after an outage. */
  private readonly barrier: ReaderBarrier;
  /** Batches that were appended and count as unread: the id of the last entry, and how many entries. */
  private readonly unread = new Fifo<{ id: StreamId; count: number }>();
  /** How many entries these are. */
  private unreadCount = 0;
  /** Whether nothing could be appended lately. */
  private isInterrupted = false;
  /** Whether this node's reader was reading when that was looked at last. */
  private wasReading = false;

  constructor(
    private readonly reader: OwnReader,
    private readonly options: FlowControlOptions,
  ) {
    this.barrier = new ReaderBarrier(options.heartbeatTimeout);
  }

  /** How many entries may be appended now. */
  window(): number {
    if (!this.reader.isOpen) {
      return 0;
    }
    if (this.barrier.isOver(performance.now())) {
      if (!this.reader.isReading) {
        return Infinity; // it may never read again, and others do
      }
      this.countRead();
    }
    const { maxLen, readers } = this.options;
    return Math.max(1, Math.floor(maxLen / (4 * readers.count()))) - this.unreadCount;
  }

  /** Entries were appended, the last of them with this id. */
  onAppended(id: StreamId, count: number): void {
    const last = this.unread.last();
    if (last && this.unread.length >= MAX_BATCHES) {
      last.id = id;
      last.count += count;
    } else {
      this.unread.push({ id, count });
    }
    this.unreadCount += count;
  }

  /** To be called when the reader has fetched entries, or begins or ceases to read. */
  onReadBack(): void {
    const { isReading } = this.reader;
    if (isReading) {
      this.pass(this.options.nodeId);
    } else if (this.wasReading) {
      this.await([this.options.nodeId]);
    }
    this.wasReading = isReading;
  }

  /** A node reads. */
  onReading(node: string): void {
    this.pass(node);
  }

  onLeft(node: string): void {
    this.barrier.pass(node);
  }

  /** What was appended will never be read: the stream was deleted or replaced. */
  onStreamReplaced(): void {
    this.unread.clear();
    this.unreadCount = 0;
  }

  /** Nothing can be appended, by others perhaps neither. */
  interrupt(): void {
    if (!this.isInterrupted) {
      this.await(this.options.readers.present());
      this.isInterrupted = true;
    }
  }

  /** Entries can be appended again, or for the first time. */
  resume(): void {
    if (this.isInterrupted) {
      this.isInterrupted = false;
      this.barrier.restart(performance.now());
      if (this.reader.isReading) {
        this.barrier.pass(this.options.nodeId);
      }
      this.options.readers.ask();
    }
  }

  private pass(node: string): void {
    if (!this.isInterrupted) {
      this.barrier.pass(node); // else it may not know yet that the stream was lost
    }
  }

  private await(nodes: readonly string[]): void {
    const now = performance.now();
    if (!this.isInterrupted && this.barrier.isOver(now)) {
      this.countRead();
    }
    this.barrier.await(nodes, now);
  }

  private countRead(): void {
    const { fetched } = this.reader;
    for (let batch = this.unread.peek(); batch && fetched !== undefined; batch = this.unread.peek()) {
      if (compareStreamIds(batch.id, fetched) > 0) {
        break;
      }
      this.unread.shift();
      this.unreadCount -= batch.count;
    }
  }
}
