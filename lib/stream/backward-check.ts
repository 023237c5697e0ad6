import type { LogEntry, Origin } from '../wire/entry.js';
import { later, STREAM_START, type StreamId } from '../wire/stream-id.js';

/** The oldest entry of a publisher that was seen: its number, that of the entry appended before it, and its id. */
interface Oldest {
  readonly seq: number;
  readonly prev: number;
  readonly id: StreamId;
  /** Whether it may be a second copy. */
  readonly isResent: boolean;
}

/** How many publishers are remembered, at most. */
const MAX_PUBLISHERS = 4_096;

/**
 * Whether entries are missing in what is read of a stream backwards, by the numbers of their publishers: after a failover
 * the stream may be without what the master had that failed, and whoever reads it later cannot know that but by the numbers.
 */
export class BackwardCheck {
  private readonly publishers: Map<string, Oldest>;
  /** Publishers whose entry before the oldest one of interest has not been seen. */
  private readonly open = new Set<string>();
  /** Of publishers of which only older entries were added: the number of the first, which is the latest. */
  private readonly latest = new Map<string, number>();
  /** Entries may be missing before the one with this id. */
  lostUpTo: StreamId = STREAM_START;

  /** @param after - what was seen of the entries that come after those that will be read */
  constructor(after?: BackwardCheck) {
    this.publishers = new Map(after?.publishers);
    for (const [node, { prev }] of this.publishers) {
      this.setOpen(node, prev > 0);
    }
  }

  /** An entry that was read forwards: only the first of each publisher counts. */
  addNewer(entry: LogEntry): void {
    if (entry.origin && !this.publishers.has(entry.origin.node)) {
      this.set(entry.origin, entry);
    }
  }

  /**
   * The entry before all that were added.
   *
   * @param isBeyond - whether it only serves to find out whether others are missing
   */
  addOlder(entry: LogEntry, isBeyond: boolean): void {
    const { origin } = entry;
    const next = origin && this.publishers.get(origin.node);
    if (!origin || (next && origin.seq >= next.seq)) {
      return; // the first copy of one that was seen
    }
    if (next && origin.seq < next.prev) {
      this.lostUpTo = later(this.lostUpTo, next.id);
    }
    const prev = this.set(origin, entry);
    if (!next && this.publishers.has(origin.node)) {
      this.latest.set(origin.node, origin.seq);
    }
    this.setOpen(origin.node, !isBeyond && prev > 0);
  }

  /** Takes in what was read forwards while older entries were added. */
  join(newer: BackwardCheck): void {
    for (const [node, oldest] of newer.publishers) {
      const latest = this.latest.get(node);
      if (latest !== undefined && latest < oldest.prev) {
        this.lostUpTo = later(this.lostUpTo, oldest.id);
      }
      if (!this.publishers.has(node)) {
        this.remember(node, oldest);
        this.setOpen(node, oldest.prev > 0);
      }
    }
    this.latest.clear();
  }

  /** Whether more must be read to know that nothing is missing. */
  get isOpen(): boolean {
    return this.open.size > 0;
  }

  /** Whether an entry of a publisher may be the first copy of one that was seen. */
  mayRepeat(node: string | undefined): boolean {
    return node !== undefined && this.open.has(node) && this.publishers.get(node)!.isResent;
  }

  private setOpen(node: string, isOpen: boolean): void {
    if (isOpen && this.publishers.has(node)) {
      this.open.add(node);
    } else {
      this.open.delete(node);
    }
  }

  /** Returns the number of the entry that was appended before it. */
  private set({ node, seq }: Origin, { prev = seq - 1, id, isResent }: LogEntry): number {
    this.remember(node, { seq, prev, id, isResent: isResent === true });
    return prev;
  }

  private remember(node: string, oldest: Oldest): void {
    if (this.publishers.size < MAX_PUBLISHERS || this.publishers.has(node)) {
      this.publishers.set(node, oldest);
    }
  }
}
