/**
 * The time after Redis was away in which the nodes find back to it one by one. What waits in their outboxes may be more
 * than a stream holds; so it is let out in full only when everybody is reading again.
 *
 * It begins when this node can append again, and is over when all other nodes have announced since then that they
 * read; or after `timeout` milliseconds, for who has not come back by then counts as down.
 */
export class Resumption {
  private begunAt: number | undefined;
  private readonly reading = new Set<string>();

  constructor(private readonly timeout: number) {}

  begin(now: number): void {
    this.begunAt = now;
    this.reading.clear();
  }

  /** Another node has announced that it reads. */
  heardReading(node: string): void {
    if (this.begunAt !== undefined) {
      this.reading.add(node);
    }
  }

  /** @param others - gives the other nodes that are not known to be gone */
  isOver(others: () => readonly string[], now: number): boolean {
    if (this.begunAt !== undefined) {
      if (now - this.begunAt <= this.timeout && !others().every((node) => this.reading.has(node))) {
        return false;
      }
      this.begunAt = undefined;
      this.reading.clear();
    }
    return true;
  }
}
