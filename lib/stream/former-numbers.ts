import type { Origin } from '../wire/entry.js';

/** Milliseconds after which a publisher is not taken to send again what it had no answer for. */
export const LONGEST_RESEND_MS = 60_000;

interface Former {
  /** The last number that was read in the former history. */
  readonly seq: number;
  /** The last one that was read in the present history since. */
  read: number;
  /** By the clock of `performance`. */
  readonly until: number;
}

const NONE: readonly Origin[] = [];

/**
 * What was read of publishers in a history of the stream that was replaced by one without it. A publisher that had no
 * answer sends it again. It is given to nobody here then, but until it is read, or known not to come, no position
 * in the present history says that it was given: the numbers must be said beside it.
 */
export class FormerNumbers {
  private readonly publishers = new Map<string, Former>();
  /** The same, as a list that is made once for each change. */
  private list: readonly Origin[] = NONE;

  add({ node, seq }: Origin): void {
    if (seq > (this.publishers.get(node)?.seq ?? 0)) {
      this.publishers.set(node, { seq, read: 0, until: performance.now() + LONGEST_RESEND_MS });
      this.update();
    }
  }

  /** Those that the present history may still bring. */
  get all(): readonly Origin[] {
    return this.list;
  }

  /** An entry was read. Returns whether it is in the present history for the first time, and was in the former one. */
  onRead({ node, seq }: Origin): boolean {
    const former = this.list === NONE ? undefined : this.publishers.get(node);
    if (!former || seq <= former.read) {
      return false;
    }
    former.read = seq;
    if (seq >= former.seq) {
      this.resolve(node);
    }
    return seq <= former.seq;
  }

  /** Whether it would resolve what is open to know that a publisher's entries up to a number are appended. */
  isOpen(node: string, seq: number): boolean {
    const former = this.publishers.get(node);
    return former !== undefined && seq >= former.seq;
  }

  /** What a publisher has sent up to now is read, or lost for ever. */
  resolve(node: string): void {
    if (this.publishers.delete(node)) {
      this.update();
    }
  }

  /** Drops what nobody will send again. */
  expire(): void {
    if (this.list === NONE) {
      return;
    }
    for (const [node, { until }] of this.publishers) {
      if (performance.now() > until) {
        this.resolve(node);
      }
    }
  }

  private update(): void {
    this.list = this.publishers.size === 0 ? NONE : [...this.publishers].map(([node, { seq }]) => ({ node, seq }));
  }
}
