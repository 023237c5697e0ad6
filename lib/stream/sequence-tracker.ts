import type { Origin } from '../wire/entry.js';
import { compareStreamIds, STREAM_START, type StreamId } from '../wire/stream-id.js';

/** At least how many publishers are remembered, the latest heard, and at most twice as many. */
const MIN_PUBLISHERS = 2_048;

/** What an entry is, by its number. */
export interface Admission {
  /** Whether it was admitted before. */
  readonly duplicate: boolean;
  /** How many entries of its publisher are missing before it, without those that were dropped. */
  readonly lost: number;
  /** How many of its publisher's entries before it were dropped by the publisher, so that nobody has them. */
  readonly dropped: number;
}

const NEXT: Admission = { duplicate: false, lost: 0, dropped: 0 };
const DUPLICATE: Admission = { duplicate: true, lost: 0, dropped: 0 };

/** The last entry of a publisher. */
interface Last {
  seq: number;
  id: StreamId;
}

/**
 * Knows the last sequence number of each publisher, and so distinguishes an entry that was appended twice from a new one, and
 * how many are missing before it.
 */
export class SequenceTracker {
  /** The publishers heard lately. */
  private recent = new Map<string, Last>();
  /** Those heard before these became too many. */
  private older = new Map<string, Last>();

  /**
   * What an entry is: a duplicate, or a new one before which entries of its publisher are missing. Of these, `dropped` were
   * dropped by the publisher, so that nobody has them; the others are lost.
   *
   * @param prev - the number of the entry that its publisher appended before it
   * @param id - of the entry
   */
  admit({ node, seq }: Origin, prev = seq - 1, id: StreamId = STREAM_START): Admission {
    const recent = this.recent.get(node);
    const last = (recent ?? this.older.get(node))?.seq;
    if (last !== undefined && seq <= last) {
      return DUPLICATE;
    }
    if (recent) {
      recent.seq = seq;
      recent.id = id;
    } else {
      this.set(node, seq, id);
    }
    if (last === undefined || seq === last + 1) {
      return NEXT;
    }
    const missing = seq - last - 1;
    const dropped = Math.min(missing, Math.max(0, seq - prev - 1));
    return { duplicate: false, lost: missing - dropped, dropped };
  }

  /**
   * Admits an entry. Returns whether nothing is known to be lost before it; of a publisher that is not known, whether it is its
   * first one.
   */
  goOnWith(origin: Origin, prev = origin.seq - 1): boolean {
    const { node, seq } = origin;
    const recent = this.recent.get(node);
    if (!recent) {
      const isFirst = seq > 1 && !this.older.has(node);
      return this.admit(origin, prev).lost === 0 && !isFirst;
    }
    const last = recent.seq;
    if (seq > last) {
      recent.seq = seq;
    }
    return prev <= last || seq <= last + 1;
  }

  /**
   * Notes that a publisher's entries up to `seq` lie before all that will be admitted.
   *
   * @param id - of the last of them, if it is known
   */
  skipTo({ node, seq }: Origin, id: StreamId = STREAM_START): void {
    if (!this.knows(node) || seq > this.lastOf(node)) {
      this.set(node, seq, id);
    }
  }

  /** The last entry of each publisher whose id is after another. */
  *after(id: StreamId): Iterable<Origin> {
    for (const [node, last] of new Map([...this.older, ...this.recent])) {
      if (compareStreamIds(last.id, id) > 0) {
        yield { node, seq: last.seq };
      }
    }
  }

  /** The last sequence number seen of a publisher; 0 if none was. */
  lastOf(node: string): number {
    return this.get(node)?.seq ?? 0;
  }

  knows(node: string): boolean {
    return this.get(node) !== undefined;
  }

  get size(): number {
    return new Set([...this.recent.keys(), ...this.older.keys()]).size;
  }

  private set(node: string, seq: number, id: StreamId): void {
    const last = this.recent.get(node);
    if (last) {
      last.seq = seq;
      last.id = id;
      return;
    }
    this.recent.set(node, { seq, id });
    if (this.recent.size === MIN_PUBLISHERS) {
      this.older = this.recent;
      this.recent = new Map<string, Last>();
    }
  }

  private get(node: string): Last | undefined {
    return this.recent.get(node) ?? this.older.get(node);
  }
}
