import { performance } from 'node:perf_hooks';
import { PayloadTooLargeError } from './errors.js';
import { sizeVerdict } from './size-refusal.js';

/** Milliseconds for which nothing is sent of a size that was refused: the server, or its settings, may be others then. */
const REMEMBERED_MS = 60_000;
/** A connection that was lost so many times in a row while something so large was under way does not take it. */
const MAX_LOSSES = 2;

/** From which size on Redis refuses what is published, as far as it has: each time costs the connection, with most servers. */
export class RefusedSize {
  /** So many bytes were refused. */
  private bytes = Infinity;
  /** When that is forgotten, by the stopwatch of this process. */
  private until = 0;
  /** How often in a row the connection was lost while something large was under way. */
  private losses = 0;
  /** How many bytes that were, the last time. */
  private lost = Infinity;

  /**
   * Sends so many bytes, unless they are known to be refused.
   *
   * @throws PayloadTooLargeError if they are, or are found to be; what `send` throws otherwise
   */
  async guard(bytes: number, send: () => Promise<void>): Promise<void> {
    this.check(bytes);
    try {
      await send();
    } catch (error) {
      throw this.onFailed(bytes, error as Error);
    }
    this.onSent(bytes);
  }

  /** @throws PayloadTooLargeError if so many bytes are known to be refused */
  check(bytes: number): void {
    if (bytes >= this.bytes && performance.now() < this.until) {
      throw new PayloadTooLargeError(bytes);
    }
  }

  /** So many bytes were accepted. */
  onSent(bytes: number): void {
    if (bytes >= this.bytes) {
      this.bytes = Infinity;
    }
    if (bytes >= this.lost) {
      this.losses = 0;
      this.lost = Infinity;
    }
  }

  /**
   * So many bytes were not sent. Returns a PayloadTooLargeError if that is because there are so many; if not, or if it is the
   * first loss, which may have another cause, the same error.
   */
  onFailed(bytes: number, error: Error): Error {
    const verdict = sizeVerdict(error, bytes);
    if (verdict === 'no') {
      return error;
    }
    this.losses++;
    this.lost = bytes;
    if (verdict === 'suspect' && this.losses < MAX_LOSSES) {
      return error;
    }
    this.bytes = bytes;
    this.until = performance.now() + REMEMBERED_MS;
    this.losses = 0;
    return new PayloadTooLargeError(bytes, { cause: error });
  }
}
