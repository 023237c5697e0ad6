/** Milliseconds in which a node that is alive reconnects to Redis. */
const REJOIN_TIMEOUT_MS = 5_000;

/**
 * The time after an outage in which nodes reconnect to a stream one by one. The outboxes may have more than the stream
 * keeps, so they are emptied in full only when everybody is reading again.
 *
 * It is over when all nodes that were present before, this one among them, are known to have read since, or to have left;
 * or after some seconds, for a node that has not reconnected by then may never do so.
 */
export class ReaderBarrier {
  private readonly awaited = new Set<string>();
  private readonly timeout: number;
  /** From when the timeout is counted, by the clock that is passed in. */
  private since = 0;

  /** @param heartbeatTimeout - milliseconds of silence after which a node counts as down */
  constructor(heartbeatTimeout: number) {
    this.timeout = Math.max(heartbeatTimeout, REJOIN_TIMEOUT_MS);
  }

  /** These nodes may have lost the stream. */
  await(nodes: readonly string[], now: number): void {
    nodes.forEach((node) => this.awaited.add(node));
    this.since = now;
  }

  /** The stream can be used again: the timeout is counted from now on. */
  restart(now: number): void {
    this.since = now;
  }

  /** A node reads, or has left. */
  pass(node: string): void {
    this.awaited.delete(node);
  }

  /** Whether a node may still be reconnecting. */
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
