import type { LogEntry } from '../wire/entry.js';
import { SequenceTracker } from './sequence-tracker.js';

/**
 * Knows whether what a read has brought goes on from what was read before it, by the publishers' numbers.
 *
 * A server that is made a replica takes over its master's history, and may keep its connections: a read that has begun
 * after an entry of its former history then brings entries of another one, without those in between.
 */
export class FetchedNumbers {
  /** The last number fetched of each publisher. */
  private sequences = new SequenceTracker();

  /** These lie before all that will be read; what is missing among them does not matter. */
  skip(entries: readonly LogEntry[]): void {
    this.goOnWith(entries);
  }

  /** Entries were read, oldest first. Returns whether none is missing before any of them, as far as numbers say. */
  goOnWith(entries: readonly LogEntry[]): boolean {
    let goesOn = true;
    for (const { origin, prev } of entries) {
      if (origin && !this.sequences.goOnWith(origin, prev)) {
        goesOn = false;
      }
    }
    return goesOn;
  }

  /** Another history is read: nothing is known of its numbers. */
  forget(): void {
    this.sequences = new SequenceTracker();
  }
}
