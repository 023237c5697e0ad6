import type { Origin } from '../wire/entry.js';
import { compareStreamIds, type StreamId } from '../wire/stream-id.js';
import { SequenceTracker, type Admission } from './sequence-tracker.js';

/** What another node says it appended last. */
export interface Announcement {
  readonly seq: number;
  readonly id: StreamId;
  /** Whether the stream was found, after the announcement came, to be still the one that is read. */
  verified: boolean;
  /** How many reads since then have found nothing. */
  idleReads: number;
}

/** An announced entry that will not come. */
export interface MissingEntry {
  readonly node: string;
  readonly seq: number;
  readonly id: StreamId;
  /** How many entries of the node are lost, with this one; 0 if none of its entries was ever read. */
  readonly lost: number;
}

const NONE: readonly MissingEntry[] = [];

/**
 * Finds what is missing in the entries of a stream, and what is there twice: by the publishers' sequence numbers, and, for
 * an entry after which no other comes, by what its publisher announces to have appended.
 */
export class GapDetector {
  /** The last number read of each publisher. */
  private readonly sequences = new SequenceTracker();
  /** By node: what it announced and has not been read. */
  private readonly announced = new Map<string, Announcement>();

  /** What an entry is, which comes after all that were admitted; see {@link SequenceTracker.admit}. */
  admit(origin: Origin, prev?: number): Admission {
    return this.sequences.admit(origin, prev);
  }

  /** Notes that a publisher's entries up to `seq` are not waited for: they lie before all that will be admitted. */
  skipTo(origin: Origin): void {
    this.sequences.skipTo(origin);
  }

  /** Whether anything is known of a publisher: if not, no entry before its first one can be called missing. */
  knows(node: string): boolean {
    return this.sequences.knows(node);
  }

  /** The last number of a publisher; 0 if it is not known. */
  lastOf(node: string): number {
    return this.sequences.lastOf(node);
  }

  /**
   * A node says that it appended its entry number `seq`, which is not 0, with this id. Returns whether that is new and its
   * entry has not been read: then it has to be found out whether the stream is still the one that is read
   * ({@link unverified}), for the id says nothing if it is not.
   */
  announce(node: string, seq: number, id: StreamId): boolean {
    if (this.announced.get(node)?.seq === seq || this.sequences.lastOf(node) >= seq) {
      return false;
    }
    this.announced.set(node, { seq, id, verified: false, idleReads: 0 });
    return true;
  }

  /** What is announced now, to be handed to {@link markVerified} when the stream was found to be the one that is read. */
  unverified(): Announcement[] {
    return [...this.announced.values()];
  }

  markVerified(announcements: readonly Announcement[]): void {
    for (const announcement of announcements) {
      announcement.verified = true;
    }
  }

  /** Drops all announcements: their ids may be of another history. */
  clearAnnouncements(): void {
    this.announced.clear();
  }

  /**
   * The announced entries that will not come: their place in the log has been passed, or two reads in a row brought nothing.
   * They are not waited for any longer.
   *
   * @param position - up to which entry all that was read is admitted
   * @param isIdle - whether a read has brought nothing, and nothing that was read waits to be admitted
   */
  takeMissing(position: StreamId | undefined, isIdle: boolean): readonly MissingEntry[] {
    if (this.announced.size === 0) {
      return NONE;
    }
    const missing: MissingEntry[] = [];
    for (const [node, announcement] of this.announced) {
      const { seq, id, verified } = announcement;
      const last = this.sequences.lastOf(node);
      const passed = position !== undefined && compareStreamIds(position, id) >= 0;
      if (last >= seq) {
        this.announced.delete(node);
      } else if (verified && (passed || (isIdle && ++announcement.idleReads > 1))) {
        missing.push({ node, seq, id, lost: this.sequences.knows(node) ? seq - last : 0 });
        this.sequences.skipTo({ node, seq });
        this.announced.delete(node);
      }
    }
    return missing;
  }
}
