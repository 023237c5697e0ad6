import { weightOf, type LogEntry } from '../wire/entry.js';
import type { StreamId } from '../wire/stream-id.js';

/** Batches that were read backwards, the newest of them as far as there is room. */
export class OlderBatches {
  /** Newest first, each oldest first. */
  private readonly batches: LogEntry[][] = [];
  /** Entries after this one are here. */
  floor: StreamId | undefined;
  /** Whether there is no room for more: older batches are counted only. */
  private full = false;

  constructor(
    private room: number,
    private bytes: number,
  ) {}

  /** Returns whether there was room for it. */
  add(batch: LogEntry[], floor: StreamId): boolean {
    this.room -= batch.length;
    this.bytes -= batch.reduce((sum, entry) => sum + weightOf(entry), 0);
    this.full ||= this.room < 0 || this.bytes < 0;
    if (!this.full) {
      this.batches.push(batch);
      this.floor = floor;
    }
    return !this.full;
  }

  /** Oldest first. */
  entries(): LogEntry[] {
    return this.batches.reverse().flat();
  }
}
