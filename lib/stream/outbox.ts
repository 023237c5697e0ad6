/** An entry that waits to be appended. */
export interface OutboxEntry {
  readonly kind: 'entry';
  /** All fields but the origin. */
  readonly fields: readonly string[];
  readonly bytes: number;
}

/** Something to be done once all entries before it have been read back. */
export interface OutboxFence {
  readonly kind: 'fence';
  readonly run: () => unknown;
  readonly bytes: number;
}

export type OutboxItem = OutboxEntry | OutboxFence;

export interface OutboxLimits {
  /** How many entries may wait. */
  maxEntries: number;
  /** How many bytes of them may wait. */
  maxBytes: number;
}

/** A first-in, first-out queue, bounded by entries and bytes; what does not fit pushes out the oldest. */
export class Outbox {
  private items: (OutboxItem | undefined)[] = [];
  private head = 0;
  private byteCount = 0;

  constructor(private readonly limits: OutboxLimits) {}

  get length(): number {
    return this.items.length - this.head;
  }

  get bytes(): number {
    return this.byteCount;
  }

  get isEmpty(): boolean {
    return this.length === 0;
  }

  /** Adds an item at the end. Returns how many entries were dropped for it, itself included if it is larger than all. */
  push(item: OutboxItem): number {
    let dropped = 0;
    this.items.push(item);
    this.byteCount += item.bytes;
    while (this.length > this.limits.maxEntries || this.byteCount > this.limits.maxBytes) {
      this.shift();
      dropped++;
    }
    return dropped;
  }

  /** Removes all. Returns how many entries there were. */
  clear(): number {
    const entries = this.items.filter((item) => item?.kind === 'entry').length;
    this.items = [];
    this.head = 0;
    this.byteCount = 0;
    return entries;
  }

  peek(): OutboxItem | undefined {
    return this.items[this.head];
  }

  shift(): OutboxItem | undefined {
    const item = this.items[this.head];
    if (item === undefined) {
      return undefined;
    }
    this.items[this.head++] = undefined;
    this.byteCount -= item.bytes;
    if (this.head > 1_024 && this.head * 2 > this.items.length) {
      this.items = this.items.slice(this.head);
      this.head = 0;
    }
    return item;
  }
}
