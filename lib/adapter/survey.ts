import type { Census } from '../cluster/request-bus.js';
import { nodeOf } from '../wire/server-uid.js';

/**
 * Who of the other servers has still to answer a request. Servers of the reference adapter have no heartbeat, and their
 * uids are not known before they answer: of them only the number is known.
 */
export class Survey {
  /** Servers that have answered. */
  readonly answered = new Set<string>();
  /** How many servers were to answer. */
  expected: number;
  /** Uids of servers that were to answer, as far as they were known. */
  private readonly named: Set<string>;
  /** Those of them that have not answered. */
  private readonly missing: Set<string>;
  /** How many of those whose uids were not known have not answered. */
  private missingOthers: number;
  /** Servers that have heard the request, unless their node has lost its subscriptions since: how often it had, then. */
  private readonly reached = new Map<string, number>();
  /** Whether this node may not have heard what some have answered. */
  private isUnheard = false;

  constructor({ named, others, hearing }: Census) {
    this.named = new Set(named);
    this.missing = new Set(named);
    this.missingOthers = others;
    this.expected = named.size + others;
    hearing.forEach(({ hears, losses }, uid) => hears && this.reached.set(uid, losses));
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

  /**
   * Nobody waits for a server that is not there any more. One that does not hear is there, also if Redis has not counted it; and
   * if answers were lost, one whose uid has become known meanwhile may be one of the others, which are waited for.
   */
  narrow(present: Census): void {
    for (const [uid, { hears }] of present.hearing) {
      const mayBeOneOfThese = !hears || (this.isUnheard && this.missingOthers > 0);
      if (mayBeOneOfThese && !this.named.has(uid) && !this.answered.has(uid)) {
        this.named.add(uid);
        this.missing.add(uid);
        this.expected++;
      }
    }
    if (present.isCounted) {
      this.dropMissing((uid) => !present.named.has(uid));
      this.narrowOthers(present);
    } else {
      const nodes = new Set([...present.named].map(nodeOf));
      this.dropMissing((uid) => !nodes.has(nodeOf(uid)));
    }
  }

  private dropMissing(isGone: (uid: string) => boolean): void {
    [...this.missing].filter(isGone).forEach((uid) => this.missing.delete(uid));
  }

  private narrowOthers(present: Census): void {
    const isOther = (uid: string): boolean => !this.named.has(uid) && !present.named.has(uid);
    const answeredOthers = [...this.answered].filter(isOther).length;
    // Some of the others may have become known since.
    const nowNamed = [...present.named].filter((uid) => !this.named.has(uid) && !this.answered.has(uid)).length;
    const others = Math.max(0, present.others - answeredOthers) + nowNamed;
    this.missingOthers = Math.min(this.missingOthers, others);
  }

  /** What was answered until now may not have been heard. */
  onUnheard(): void {
    this.isUnheard = true;
    this.reached.clear();
  }

  /** Those of the missing that hear now, and may not have heard the request. They are to be sent it again. */
  unreached({ hearing }: Census): string[] {
    const unreached: string[] = [];
    for (const uid of this.missing) {
      const now = hearing.get(uid);
      if (now?.hears && this.reached.get(uid) !== now.losses) {
        this.reached.set(uid, now.losses);
        unreached.push(uid);
      }
    }
    return unreached;
  }
}
