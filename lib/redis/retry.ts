import { AdaptiveTimeout } from './adaptive-timeout.js';
import { Backoff } from './backoff.js';

export interface RetryListener {
  /** An operation is refused by Redis itself. Called once, until `onUsable`; not for a connection that is lost, which its owner reports. */
  onRefused(error: Error): void;
  /** The operation works again, so many milliseconds after `onRefused` was called. */
  onUsable(afterMs: number): void;
}

/**
 * How an operation that has to succeed in the end is tried again and again: how long to wait for its reply, how long to
 * pause after a failure, why it does not work now, and one call when it begins to be refused and one when that is over.
 *
 * It has no timer of its own: whoever tries waits for `pause()`.
 */
export class Retry {
  /** The pauses between tries. */
  private readonly backoff = new Backoff();
  /** How long to wait for a reply. */
  private readonly timeout: AdaptiveTimeout;
  /** When Redis began to refuse, by the clock that was passed in; undefined if it does not. */
  private refusedSince: number | undefined;
  /** Why the operation does not work; undefined if the last try was good. */
  private lastError: Error | undefined;

  /**
   * @param commandTimeout - milliseconds after which a command counts as unanswered, at first
   * @param now - milliseconds of a clock that only goes forward
   */
  constructor(
    commandTimeout: number,
    private readonly listener: RetryListener,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.timeout = new AdaptiveTimeout(commandTimeout);
  }

  /** Milliseconds to wait for the next reply. */
  get commandTimeout(): number {
    return this.timeout.milliseconds;
  }

  /** Why the operation does not work; undefined if the last try was good. */
  get error(): Error | undefined {
    return this.lastError;
  }

  /** To be called after each try that was good. */
  onSuccess(): void {
    this.lastError = undefined;
    this.timeout.reset();
    this.backoff.reset();
    if (this.refusedSince !== undefined) {
      const afterMs = Math.round(this.now() - this.refusedSince);
      this.refusedSince = undefined;
      this.listener.onUsable(afterMs);
    }
  }

  /**
   * To be called after each try that has failed.
   *
   * @param isConnected - whether the connection can be used all the same, so that it is Redis which refuses
   */
  onFailure(error: Error, isConnected: boolean): void {
    this.lastError = error;
    this.timeout.onFailure(error);
    if (isConnected && this.refusedSince === undefined) {
      this.refusedSince = this.now();
      this.listener.onRefused(error);
    }
  }

  /** To be called when the connection is lost, though nothing was tried. */
  onLost(error: Error): void {
    this.lastError = error;
  }

  /** To be called when the connection can be used again: the next try is due at once, and pauses are short again. */
  onReady(): void {
    this.backoff.reset();
  }

  /** Milliseconds to wait before the next try; more with each, until one is good or the connection is made anew. */
  pause(): number {
    return this.backoff.next();
  }
}
