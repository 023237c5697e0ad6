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
  /** The one before and the one behind it; undefined at the ends. */
  previous: Pending | undefined;
  next: Pending | undefined;
  /** False once it has a reply, or will not get one. */
  isWaiting: boolean;
}

/**
 * The commands that were sent on a connection and have no reply yet.
 *
 * One timer serves all: at a low rate of messages, one for each command would be a good part of what a message costs.
 */
export class PendingCommands {
  /** The first of the list of them, which is in the order in which they were sent. */
  private oldest: Pending | undefined;
  /** The last of it. */
  private newest: Pending | undefined;
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
    return this.oldest === undefined;
  }

  /**
   * The reply, or the reason why it will not come: that of {@link rejectAll}, or a RedisTimeoutError.
   *
   * @param what - the command's name
   * @param timeout - milliseconds; `Infinity` for no deadline
   * @param onRefused - called with an error that came as the reply, after it was given to the caller
   */
  track<T>(what: string, timeout: number, reply: Promise<T>, onRefused: (error: Error) => void): Promise<T> {
    return this.issue<T>(what, timeout, (onReply, onError) => void reply.then(onReply, onError), onRefused);
  }

  /**
   * The same of a command whose reply is called back.
   *
   * @param send - sends it
   */
  issue<T>(
    what: string,
    timeout: number,
    send: (onReply: (reply: T) => void, onError: (error: Error) => void) => void,
    onRefused: (error: Error) => void,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const pending = this.add(what, timeout, reject);
      const onError = (error: Error): void => {
        this.remove(pending);
        reject(error);
        onRefused(error);
      };
      try {
        send((reply) => {
          this.remove(pending);
          resolve(reply);
        }, onError);
      } catch (error) {
        onError(error as Error);
      }
    });
  }

  rejectAll(error: Error): void {
    clearTimeout(this.timer);
    this.cancelExpiry?.();
    this.timerEnds = Infinity;
    for (const pending of this.all()) {
      this.remove(pending);
      pending.reject(error);
    }
  }

  private add(what: string, timeout: number, reject: (error: Error) => void): Pending {
    const until = performance.now() + timeout;
    const previous = this.newest;
    const pending: Pending = { what, timeout, until, reject, previous, next: undefined, isWaiting: true };
    if (previous) {
      previous.next = pending;
    } else {
      this.oldest = pending;
    }
    this.newest = pending;
    this.wakeAt(until);
    return pending;
  }

  private remove(pending: Pending): void {
    if (!pending.isWaiting) {
      return;
    }
    pending.isWaiting = false;
    const { previous, next } = pending;
    if (previous) {
      previous.next = next;
    } else {
      this.oldest = next;
    }
    if (next) {
      next.previous = previous;
    } else {
      this.newest = previous;
    }
  }

  /** In the order in which they were sent. */
  private all(): Pending[] {
    const all: Pending[] = [];
    for (let pending = this.oldest; pending; pending = pending.next) {
      all.push(pending);
    }
    return all;
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
    const overdue = this.all().filter(({ until }) => until <= now);
    for (const pending of overdue) {
      this.remove(pending);
      pending.reject(new RedisTimeoutError(`Redis did not answer ${pending.what} within ${pending.timeout} ms`));
    }
    if (overdue.length > 0) {
      this.onSilence();
    }
    this.timerEnds = Infinity;
    for (const { until } of this.all()) {
      this.wakeAt(until);
    }
  };
}
