import { wasSuspended } from '../time/suspension.js';

/**
 * The time in which this process could have heard others. It stands still while the process was suspended (or too busy to
 * come to its timers), and while it was not subscribed: the silence of others says nothing about them then.
 */
export class HearingClock {
  /** Milliseconds in which others could be heard, up to the last tick. */
  private heard = 0;
  /** When the last tick was, by the clock that was passed in. */
  private tickedAt: number;

  /**
   * @param longestPause - milliseconds from one tick to the next above which the process counts as having been suspended
   * @param now - milliseconds, monotonic
   */
  constructor(
    private readonly longestPause: number,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.tickedAt = now();
  }

  /** Milliseconds since the clock was made in which others could be heard. */
  get time(): number {
    return this.heard + Math.min(this.now() - this.tickedAt, this.longestPause);
  }

  /** To be called several times in a heartbeat interval. @param canHear - whether others could be heard since the last one */
  tick(canHear: boolean): void {
    const now = this.now();
    if (canHear && !wasSuspended(this.tickedAt, now, this.longestPause)) {
      this.heard += now - this.tickedAt;
    }
    this.tickedAt = now;
  }
}
