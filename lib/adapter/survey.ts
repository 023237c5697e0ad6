import type { Census } from '../cluster/request-bus.js';

/**
 * Who of the other servers has still to answer a request. Servers of the reference adapter have no heartbeat, and their
 * uids are not known before they answer: of them only the number is known.
 */
export class Survey {
  /** Servers that have answered. */
  readonly answered = new Set<string>();
  /** How many servers were to answer. */
  readonly expected: number;
  /** Uids that were known at the beginning. */
  private readonly named: ReadonlySet<string>;
  /** Those of them that have not answered. */
  private readonly missing: Set<string>;
  /** How many of those whose uids were not known have not answered. */
  private missingOthers: number;

  constructor({ named, others }: Census) {
    this.named = new Set(named);
    this.missing = new Set(named);
    this.missingOthers = others;
    this.expected = named.size + others;
  }

  get isComplete(): boolean {
    return this.missing.size === 0 && this.missingOthers <= 0;
  }

  /** A server has answered. */
  answer(uid: string): void {
    if (!this.answered.has(uid)) {
      this.answered.add(uid);
      if (!this.missing.delete(uid)) {
        this.missingOthers--;
      }
    }
  }

  /** Nobody waits for a server that is not there any more. */
  narrow(present: Census): void {
    for (const uid of this.missing) {
      if (!present.named.has(uid)) {
        this.missing.delete(uid);
      }
    }
    const answeredOthers = [...this.answered].filter((uid) => !present.named.has(uid)).length;
    // Some of the others may have become known since.
    const nowNamed = [...present.named].filter((uid) => !this.named.has(uid) && !this.answered.has(uid)).length;
    const others = Math.max(0, present.others - answeredOthers) + nowNamed;
    this.missingOthers = Math.min(this.missingOthers, others);
  }
}
