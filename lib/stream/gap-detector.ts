import type { Origin } from '../wire/entry.js';
import { compareStreamIds, idBefore, later, STREAM_START, type StreamId } from '../wire/stream-id.js';
import { FormerNumbers, LONGEST_RESEND_MS } from './former-numbers.js';
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
/** How many announcements are waited for, at most, whatever is published: all are looked at with each read. */
const MAX_ANNOUNCED = 2_048;

/**
 * Finds what is missing in the entries of a stream, and what is there twice: by the publishers' sequence numbers, and, for
 * an entry after which no other comes, by what its publisher announces to have appended.
 */
export class GapDetector {
  /** The last number read of each publisher. */
  private readonly sequences = new SequenceTracker();
  /** By node, the latest at the end: what it announced and has not been read. At most MAX_ANNOUNCED. */
  private readonly announced = new Map<string, Announcement>();
  /** What was read in a history that was replaced. */
  private readonly former = new FormerNumbers();
  /** The id of the last entry that was admitted or skipped. */
  private newest: StreamId = STREAM_START;

  /** What an entry is, which comes after all that were admitted; see {@link SequenceTracker.admit}. */
  admit(origin: Origin, prev?: number, id: StreamId = STREAM_START): Admission {
    this.newest = id;
    return this.sequences.admit(origin, prev, id);
  }

  /**
   * To be asked of each entry: whether it is in this history for the first time, and was read in a former one.
   */
  isRepeated(origin: Origin): boolean {
    return this.former.onRead(origin);
  }

  /**
   * Notes that a publisher's entries up to `seq` are not waited for: they lie before all that will be admitted.
   *
   * @param id - of the last of them, if it is known
   */
  skipTo(origin: Origin, id?: StreamId): void {
    this.newest = later(this.newest, id ?? STREAM_START);
    this.sequences.skipTo(origin, id);
  }

  /** The history is replaced by another that is the same up to a position. */
  restart(position: StreamId): void {
    this.announced.clear(); // their ids are of the former history
    for (const origin of this.sequences.after(later(position, idBefore(this.newest, LONGEST_RESEND_MS)))) {
      this.former.add(origin);
    }
    this.newest = position;
  }

  /** A publisher's entries up to a number were delivered: they are in this history, or were in the one it has replaced. */
  addFormer(origin: Origin): void {
    this.former.add(origin);
  }

  /** What was read of publishers in former histories, and may yet come in this one; see {@link FormerNumbers}. */
  get formerNumbers(): readonly Origin[] {
    return this.former.all;
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
    const isRead = this.sequences.lastOf(node) >= seq && !this.former.isOpen(node, seq);
    if (this.announced.get(node)?.seq === seq || isRead) {
      return false;
    }
    this.announced.delete(node);
    this.announced.set(node, { seq, id, verified: false, idleReads: 0 });
    if (this.announced.size > MAX_ANNOUNCED) {
      const [oldest] = this.announced.keys();
      this.announced.delete(oldest!);
    }
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

  /**
   * The announced entries that will not come: their place in the log has been passed, or two reads in a row brought nothing.
   * They are not waited for any longer.
   *
   * @param position - up to which entry all that was read is admitted
   * @param isIdle - whether a read has brought nothing, and nothing that was read waits to be admitted
   */
  takeMissing(position: StreamId | undefined, isIdle: boolean): readonly MissingEntry[] {
    this.former.expire();
    if (this.announced.size === 0) {
      return NONE;
    }
    const missing: MissingEntry[] = [];
    for (const [node, announcement] of this.announced) {
      const { seq, id, verified } = announcement;
      const last = this.sequences.lastOf(node);
      const passed = position !== undefined && compareStreamIds(position, id) >= 0;
      const isOpen = this.former.isOpen(node, seq);
      if (last >= seq && !isOpen) {
        this.announced.delete(node);
      } else if (verified && (passed || (isIdle && ++announcement.idleReads > 1))) {
        if (last < seq) {
          missing.push({ node, seq, id, lost: this.sequences.knows(node) ? seq - last : 0 });
          this.sequences.skipTo({ node, seq }, id);
        }
        this.former.resolve(node);
        this.announced.delete(node);
      }
    }
    return missing;
  }
}
