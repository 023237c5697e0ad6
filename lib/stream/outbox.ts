import { Fifo } from '../queue/fifo.js';
import type { Lane } from './lane.js';

/** An entry that waits to be appended. */
export interface OutboxEntry {
  /** Counts the entries of all lanes. */
  readonly order: number;
  readonly lane: Lane;
  readonly seq: number;
  /** All fields but those that are known only when it is sent. */
  readonly fields: readonly string[];
  readonly bytes: number;
}

export interface OutboxLimits {
  /** How many entries may wait. */
  maxEntries: number;
  /** How many bytes of them may wait. */
  maxBytes: number;
}

const NONE: readonly OutboxEntry[] = [];

/** A first-in, first-out queue, bounded by entries and bytes; what does not fit pushes out the oldest. */
export class Outbox {
  private readonly items = new Fifo<OutboxEntry>();
  /** About how many bytes the entries take. */
  private byteCount = 0;

  constructor(private readonly limits: OutboxLimits) {}

  get length(): number {
    return this.items.length;
  }

  get bytes(): number {
    return this.byteCount;
  }

  get isEmpty(): boolean {
    return this.items.length === 0;
  }

  /** Adds an entry at the end. Returns those that were dropped for it, itself included if it is larger than all. */
  push(entry: OutboxEntry): readonly OutboxEntry[] {
    this.items.push(entry);
    this.byteCount += entry.bytes;
    const { maxEntries, maxBytes } = this.limits;
    if (this.length <= maxEntries && this.byteCount <= maxBytes) {
      return NONE;
    }
    const dropped: OutboxEntry[] = [];
    while (this.length > maxEntries || this.byteCount > maxBytes) {
      dropped.push(this.shift()!);
    }
    return dropped;
  }

  /** Removes and returns all. */
  clear(): OutboxEntry[] {
    const entries = [...this.items];
    this.items.clear();
    this.byteCount = 0;
    return entries;
  }

  peek(): OutboxEntry | undefined {
    return this.items.peek();
  }

  shift(): OutboxEntry | undefined {
    const entry = this.items.shift();
    if (entry) {
      this.byteCount -= entry.bytes;
    }
    return entry;
  }
}
