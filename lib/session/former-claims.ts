import type { SessionClaim } from './session-claim.js';

/** Milliseconds for which a session that another node has claimed is kept, for that to ask for it. */
const YIELDED_TIME_MS = 10_000;
/** For how many milliseconds the sessions of clients that have left are kept here too, and how many at most. */
const LEFT_TIME_MS = 60_000;
const MAX_LEFT = 5_000;

/** Claims that are done with, for a while: a node that claims the session next may ask for it as it was here. */
export class FormerClaims {
  /** Of sessions that another node has claimed, and was not given yet, by private session id. */
  private readonly yielded = new Map<string, SessionClaim>();
  /** Of clients that have left, by private session id: a failover may lose what was written of them. */
  private readonly left = new Map<string, SessionClaim>();

  /** @param onForgotten - called with the id of a session that another node has claimed, when it is not kept any more */
  constructor(private readonly onForgotten: (pid: string) => void = () => undefined) {}

  addYielded(claim: SessionClaim): void {
    keep(this.yielded, claim, YIELDED_TIME_MS, this.onForgotten);
  }

  /** The session was stored or, if the client said goodbye, deleted. */
  addLeft(claim: SessionClaim): void {
    keep(this.left, claim, LEFT_TIME_MS);
    if (this.left.size > MAX_LEFT) {
      const [oldest] = this.left.keys();
      this.left.delete(oldest!);
    }
  }

  /**
   * The newest claim of each client that has left lately, or has come to another node: a failover may lose what was written of
   * it, or that other node's claim.
   */
  get ofThoseWhoLeft(): readonly SessionClaim[] {
    const newest = new Map(this.left);
    for (const claim of this.yielded.values()) {
      const left = newest.get(claim.pid);
      if (!left || left.epoch < claim.epoch) {
        newest.set(claim.pid, claim);
      }
    }
    return [...newest.values()];
  }

  hasYielded(pid: string): boolean {
    return this.yielded.has(pid);
  }

  /**
   * The claim that came right before an epoch, if this node had it and its client could still come back.
   *
   * @param epoch - that another node has claimed
   */
  before(epoch: number, pid: string): SessionClaim | undefined {
    // What was stored when its client left is not asked for, unless Redis has lost that and has something older.
    const claims = [this.yielded.get(pid), this.left.get(pid)];
    return claims.find((claim) => claim?.epochFor(epoch) === epoch - 1 && !claim.isDiscarded && !claim.isOver);
  }

  /** The newest claim of this epoch or a later one, if this node had any. */
  since(epoch: number, pid: string): SessionClaim | undefined {
    const claims = [this.yielded.get(pid), this.left.get(pid)].filter((claim) => claim !== undefined);
    const [newest] = claims.sort((one, other) => other.epoch - one.epoch);
    return newest && newest.epoch >= epoch && !newest.isDiscarded ? newest : undefined;
  }
}

/** Puts a claim at the end of those of a kind, for some time. */
function keep(
  claims: Map<string, SessionClaim>,
  claim: SessionClaim,
  time: number,
  onForgotten?: (pid: string) => void,
): void {
  const { pid } = claim;
  claims.delete(pid);
  claims.set(pid, claim);
  const forget = (): void => {
    if (claims.get(pid) === claim) {
      claims.delete(pid);
      onForgotten?.(pid);
    }
  };
  setTimeout(forget, time).unref();
}
