/** The first pause and the longest one, in milliseconds. */
const FIRST_PAUSE_MS = 1;
const MAX_PAUSE_MS = 100;

export interface IdlePauseOptions {
  /** Milliseconds for which a read asks the server to wait for entries. */
  blockTime: number;
  /** Called the first time that the pauses have become as long as they get. @param pauseMs - how long they are */
  onNotBlocking(pauseMs: number): void;
}

/**
 * Pauses between the reads of an idle stream, for servers and proxies that answer a blocking read at once although there
 * is nothing to read: without pauses, an idle node would ask them hundreds of times a second.
 *
 * Each such answer makes the next pause longer, up to 100 ms (or what a read asks the server to wait, if that is less).
 * An entry, or an answer for which the server has waited, ends them: so an entry comes at most one pause later than it could.
 */
export class IdlePause {
  /** Milliseconds of the last pause; 0 if there was none. */
  private pause = 0;
  /** Milliseconds of the longest pause. */
  private readonly longest: number;
  /** Whether it was reported that the server does not wait. */
  private isReported = false;

  constructor(private readonly options: IdlePauseOptions) {
    this.longest = Math.min(MAX_PAUSE_MS, options.blockTime);
  }

  /**
   * To be called after each read that asked the server to wait.
   *
   * @param count - how many entries it brought
   * @param tookMs - milliseconds until the answer
   * @returns milliseconds to wait before the next read
   */
  after(count: number, tookMs: number): number {
    if (count > 0 || tookMs >= this.longest) {
      this.pause = 0;
      return 0;
    }
    this.pause = Math.min(this.longest, Math.max(FIRST_PAUSE_MS, this.pause * 2));
    if (this.pause === this.longest && !this.isReported) {
      this.isReported = true;
      this.options.onNotBlocking(this.pause);
    }
    return this.pause;
  }
}
