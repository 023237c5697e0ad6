/** How much of the average the latest entry makes up: it follows a change of the rate within some twenty entries. */
const WEIGHT = 0.05;

export interface PacerOptions {
  /** Milliseconds that lie between two commands at least while entries come fast; 0: commands are never delayed. */
  readonly maxHoldMs: number;
  /** Milliseconds between two entries, on average, from which on they come fast. */
  readonly fastBelowMs: number;
}

/**
 * When the next of many small commands may be sent.
 *
 * Each costs a system call on both sides, whether it carries one entry or ten. So while entries come fast, commands are
 * delayed until `maxHoldMs` have passed since the last; while they come slowly, no command ever waits.
 */
export class Pacer {
  /** Milliseconds between two entries: a moving average. */
  private interval = Infinity;
  /** When entries came last, by the clock that is passed in. */
  private lastEntriesAt = -Infinity;
  /** When a command was sent last, by the same clock. */
  private lastCommandAt = -Infinity;

  constructor(private readonly options: PacerOptions) {}

  /** Entries have come. */
  onEntries(count: number, now: number): void {
    const interval = Math.min(now - this.lastEntriesAt, 1_000) / count;
    this.lastEntriesAt = now;
    const weight = count === 1 ? WEIGHT : 1 - (1 - WEIGHT) ** count;
    this.interval = this.interval === Infinity ? interval : this.interval + weight * (interval - this.interval);
  }

  /** Whether less than so many milliseconds lie between two entries, on average. */
  isFasterThan(milliseconds: number): boolean {
    return this.interval < milliseconds;
  }

  /** Whether commands are delayed. */
  get isPacing(): boolean {
    return this.options.maxHoldMs > 0 && this.isFasterThan(this.options.fastBelowMs);
  }

  onCommand(now: number): void {
    this.lastCommandAt = now;
  }

  /** Whole milliseconds, for a timer, after which the next command may be sent; 0: now. */
  wait(now: number): number {
    // A timer is late by half a millisecond on average, so it is set for what is left without the fraction.
    return this.isPacing ? Math.max(0, Math.floor(this.options.maxHoldMs - (now - this.lastCommandAt))) : 0;
  }
}
