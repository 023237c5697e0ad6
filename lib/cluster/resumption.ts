/** Milliseconds in which a node that is alive finds back to Redis. */
const LONGEST_WAY_BACK = 5_000;

/**
 * The time in which the nodes find back to Redis one by one after it was away. What waits in their outboxes may be more
 * than a stream holds; so it is let out in full only when everybody is reading again.
 *
 * It begins when this node can append again. It is over when all nodes that were there before, this one among them, are
 * known to read since then, or to have left; or after some seconds, for who has not come back by then may never do.
 */
export class Resumption {
  private awaited: Set<string> | undefined;
  private begunAt: number | undefined;
  private readonly timeout: number;

  /** @param heartbeatTimeout - milliseconds of silence after which a node counts as down */
  constructor(heartbeatTimeout: number) {
    this.timeout = Math.max(heartbeatTimeout, LONGEST_WAY_BACK);
  }

  /** This node cannot append any more. May be called again and again. @param nodes - those that are there now */
  lost(nodes: readonly string[]): void {
    this.awaited = new Set([...(this.awaited ?? []), ...nodes]);
    this.begunAt = undefined;
  }

  begin(now: number): void {
    this.begunAt = now;
  }

  /** A node has said that it reads. */
  heardReading(node: string): void {
    if (this.begunAt !== undefined) {
      this.awaited?.delete(node);
    }
  }

  left(node: string): void {
    this.awaited?.delete(node);
  }

  /** Whether a node may still be on its way back. */
  awaits(node: string, now: number): boolean {
    return !this.isOver(now) && this.awaited!.has(node);
  }

  isOver(now: number): boolean {
    if (this.awaited === undefined || this.begunAt === undefined) {
      return this.awaited === undefined;
    }
    if (this.awaited.size > 0 && now - this.begunAt <= this.timeout) {
      return false;
    }
    this.awaited = undefined;
    return true;
  }
}
