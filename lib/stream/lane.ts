import type { Origin } from '../wire/entry.js';

/**
 * One numbering of this node's entries in a stream. Entries of one lane are delivered in the order of their numbers; those
 * that overtake others need a lane of their own.
 */
export class Lane {
  /** The last number that was given. */
  taken = 0;
  /** The number of the last entry that Redis has acknowledged. */
  appended = 0;
  /** Up to this one, entries were read back, or never will be: lost, or in a history that was replaced. */
  read = 0;
  /** The last number that was read back. */
  seen = 0;
  /** Entries that were taken, and neither acknowledged nor dropped. */
  pending = 0;
  /** The last number that was dropped, and the last before it that was not. */
  private dropped = { seq: 0, kept: 0 };

  /** @param node - the node's id, with a suffix for a second lane */
  constructor(readonly node: string) {}

  next(): Origin {
    this.pending++;
    return { node: this.node, seq: ++this.taken };
  }

  /** An entry was read back. */
  onRead(seq: number): void {
    this.seen = Math.max(this.seen, seq);
    this.readUpTo(seq);
  }

  /** Notes that entries up to `seq` were read back or lost. */
  readUpTo(seq: number): void {
    this.read = Math.max(this.read, seq);
  }

  /** @param kept - the number of the last entry before it that was or will be appended */
  onDropped(seq: number, kept: number): void {
    this.pending--;
    this.dropped = { seq: Math.max(seq, this.dropped.seq), kept: Math.max(kept, this.dropped.kept) };
  }

  /** Whether all that was taken was read back, dropped or lost. */
  get isDone(): boolean {
    return this.pending === 0 && this.read >= this.appended;
  }

  /** Whether all entries up to `seq` were read back, dropped or lost. */
  isDoneUpTo(seq: number): boolean {
    return this.read >= seq || this.isDone || (seq <= this.dropped.seq && this.read >= this.dropped.kept);
  }
}
