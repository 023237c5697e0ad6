/** Delays between tries: 100 ms, doubled up to 2 s, each shortened at random by up to a half. */
export class Backoff {
  /** How often the delay was doubled. */
  private tries = 0;

  constructor(
    private readonly first = 100,
    private readonly longest = 2_000,
  ) {}

  /** Milliseconds to wait before the next try. */
  next(): number {
    const delay = Math.min(this.first * 2 ** this.tries, this.longest);
    if (delay < this.longest) {
      this.tries++;
    }
    return Math.round(delay * (1 - Math.random() / 2));
  }

  reset(): void {
    this.tries = 0;
  }
}
