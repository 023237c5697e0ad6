import { afterArrivals } from '../time/suspension.js';
import { RedisTimeoutError } from './errors.js';

/** The most milliseconds that a timer takes. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** A command whose reply has not come. */
interface Pending {
  readonly what: string;
  /** Milliseconds that it may take. */
  readonly timeout: number;
  /** When it counts as unanswered, by `performance.now()`. */
  readonly until: number;
  readonly reject: (error: Error) => void;
}

/**
 * The commands that were sent on a connection and have no reply yet.
 *
 * One timer serves all: at a low rate of messages, one for each command would be a good part of what a message costs.
 */
export class PendingCommands {
  /** In the order in which they were sent. */
  private readonly pending = new Set<Pending>();
  /** Runs until the earliest command counts as unanswered. */
  private timer: NodeJS.Timeout | undefined;
  /** Ends the last look at what has arrived, once that time is over. */
  private cancelExpiry: (() => void) | undefined;
  /** When the timer ends: not after the earliest `until`. */
  private timerEnds = Infinity;

  /**
   * @param onSilence - called when a reply has not come in time. Whoever owns the connection drops it, for a reply that
   *   comes later could not be distinguished from the next one's.
   */
  constructor(private readonly onSilence: () => void) {}

  get isEmpty(): boolean {
    return this.pending.size === 0;
  }

  /**
   * The reply, or the reason why it will not come: that of {@link rejectAll}, or a RedisTimeoutError.
   *
   * @param what - the command's name
   * @param timeout - milliseconds; `Infinity` for no deadline
   * @param onRefused - called with an error that came as the reply, after it was given to the caller
   */
  track<T>(what: string, timeout: number, reply: Promise<T>, onRefused: (error: Error) => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const pending: Pending = { what, timeout, until: performance.now() + timeout, reject };
      this.pending.add(pending);
      this.wakeAt(pending.until);
      reply.then(
        (value) => {
          this.pending.delete(pending);
          resolve(value);
        },
        (error: Error) => {
          this.pending.delete(pending);
          reject(error);
          onRefused(error);
        },
      );
    });
  }

  rejectAll(error: Error): void {
    clearTimeout(this.timer);
    this.cancelExpiry?.();
    this.timerEnds = Infinity;
    const rejected = [...this.pending];
    this.pending.clear();
    for (const { reject } of rejected) {
      reject(error);
    }
  }

  private wakeAt(time: number): void {
    if (time < this.timerEnds) {
      clearTimeout(this.timer);
      this.timerEnds = time;
      // Its socket keeps the process alive as long as there is something to wait for.
      this.timer = setTimeout(this.onTimer, Math.min(time - performance.now(), MAX_TIMER_MS)).unref();
    }
  }

  /** A reply may be there already. */
  private readonly onTimer = (): void => {
    this.cancelExpiry = afterArrivals(this.expire);
  };

  private readonly expire = (): void => {
    const now = performance.now() + 1; // timers may be early by less than that
    const overdue = [...this.pending].filter(({ until }) => until <= now);
    for (const pending of overdue) {
      this.pending.delete(pending);
      pending.reject(new RedisTimeoutError(`Redis did not answer ${pending.what} within ${pending.timeout} ms`));
    }
    if (overdue.length > 0) {
      this.onSilence();
    }
    this.timerEnds = Infinity;
    for (const { until } of this.pending) {
      this.wakeAt(until);
    }
  };
}
