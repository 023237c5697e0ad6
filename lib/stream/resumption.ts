/** Milliseconds in which a node that is alive finds back to Redis. */
const LONGEST_WAY_BACK = 5_000;

/**
 * The time in which the nodes find back to a stream one by one after it was away. What waits in their outboxes may be
 * more than the stream holds; so it is let out in full only when everybody is reading again.
 *
 * It is over when all nodes that were there before, this one among them, are known to read since then, or to have left;
 * or after some seconds, for who has not come back by then may never do.
 */
export class Resumption {
  private readonly awaited = new Set<string>();
  private readonly timeout: number;
  private since = 0;

  /** @param heartbeatTimeout - milliseconds of silence after which a node counts as down */
  constructor(heartbeatTimeout: number) {
    this.timeout = Math.max(heartbeatTimeout, LONGEST_WAY_BACK);
  }

  /** These nodes may have lost the stream. */
  await(nodes: readonly string[], now: number): void {
    nodes.forEach((node) => this.awaited.add(node));
    this.since = now;
  }

  /** The stream can be used again: the seconds are counted from now on. */
  restart(now: number): void {
    this.since = now;
  }

  /** A node reads, or has left. */
  settle(node: string): void {
    this.awaited.delete(node);
  }

  /** Whether a node may still be on its way back. */
  awaits(node: string, now: number): boolean {
    return !this.isOver(now) && this.awaited.has(node);
  }

  isOver(now: number): boolean {
    if (now - this.since > this.timeout) {
      this.awaited.clear();
    }
    return this.awaited.size === 0;
  }
}
