import { RedisTimeoutError } from './driver.js';

/**
 * How long to wait for a reply: longer after each one that did not come in time, up to 16 times as long, for it may be
 * large and the network slow.
 */
export class Patience {
  private factor = 1;

  /** @param timeout - milliseconds at first */
  constructor(private readonly timeout: number) {}

  get milliseconds(): number {
    return this.timeout * this.factor;
  }

  /** A reply has come. */
  reset(): void {
    this.factor = 1;
  }

  /** A command has failed. */
  onFailure(error: Error): void {
    if (error instanceof RedisTimeoutError) {
      this.factor = Math.min(2 * this.factor, 16);
    }
  }
}
