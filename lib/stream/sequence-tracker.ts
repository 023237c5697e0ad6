import type { Origin } from './entry.js';

/** How many publishers are remembered, the latest heard first. */
const MAX_PUBLISHERS = 4_096;

/**
 * Knows the last sequence number of each publisher, and so tells an entry that was appended twice from a new one, and
 * how many are missing before it.
 */
export class SequenceTracker {
  private readonly last = new Map<string, number>();

  /** What an entry is: a duplicate, or a new one before which `lost` entries of its publisher are missing. */
  admit({ node, seq }: Origin): { duplicate: boolean; lost: number } {
    const last = this.last.get(node);
    if (last !== undefined && seq <= last) {
      return { duplicate: true, lost: 0 };
    }
    this.set(node, seq);
    return { duplicate: false, lost: last === undefined ? 0 : seq - last - 1 };
  }

  /** Notes that a publisher's entries up to `seq` lie before all that will be admitted. */
  skipTo({ node, seq }: Origin): void {
    if (seq > (this.last.get(node) ?? 0)) {
      this.set(node, seq);
    }
  }

  /** The last sequence number seen of a publisher; 0 if none was. */
  lastOf(node: string): number {
    return this.last.get(node) ?? 0;
  }

  knows(node: string): boolean {
    return this.last.has(node);
  }

  get size(): number {
    return this.last.size;
  }

  private set(node: string, seq: number): void {
    this.last.delete(node);
    this.last.set(node, seq);
    if (this.last.size > MAX_PUBLISHERS) {
      this.last.delete(this.last.keys().next().value!);
    }
  }
}
