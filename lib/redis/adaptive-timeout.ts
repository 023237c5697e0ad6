import { RedisTimeoutError } from './errors.js';

/** How many times as long as at first a reply is waited for, at most. */
const LARGEST_FACTOR = 16;

/**
 * How long to wait for a reply: longer after each one that did not come in time, up to 16 times as long, for it may be
 * large and the network slow.
 */
export class AdaptiveTimeout {
  /** How many times as long as at first a reply is waited for. */
  private factor = 1;

  /** @param first - milliseconds at first */
  constructor(private readonly first: number) {}

  get milliseconds(): number {
    return this.first * this.factor;
  }

  /** A reply has come. */
  reset(): void {
    this.factor = 1;
  }

  /** A command has failed. */
  onFailure(error: Error): void {
    if (error instanceof RedisTimeoutError) {
      this.factor = Math.min(2 * this.factor, LARGEST_FACTOR);
    }
  }
}
