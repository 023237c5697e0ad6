import { RedisTimeoutError } from './driver.js';

/** The most milliseconds that a timer takes. */
const MAX_TIMER = 2 ** 31 - 1;

/** A command whose reply has not come. */
interface Pending {
  readonly what: string;
  /** Milliseconds that it may take. */
  readonly timeout: number;
  /** When it counts as unanswered, by `performance.now()`. */
  readonly until: number;
  readonly reject: (error: Error) => void;
  /** Where it is in the list. */
  index: number;
}

/**
 * The commands that were sent on a connection and have no reply yet.
 *
 * One timer serves all: at a low rate of messages, one for each command would be a good part of what a message costs.
 */
export class UnderWay {
  /** In no order. A Set would do, but leaves a chain of old tables that V8's minor collections take for alive. */
  private readonly pending: Pending[] = [];
  private timer: NodeJS.Timeout | undefined;
  private lastLook: NodeJS.Immediate | undefined;
  /** When the timer ends: not after the earliest `until`. */
  private timerEnds = Infinity;

  /**
   * @param onSilence - called when a reply has not come in time. Whoever owns the connection drops it, for a reply that
   *   comes later could not be told from the next one's.
   */
  constructor(private readonly onSilence: () => void) {}

  get isEmpty(): boolean {
    return this.pending.length === 0;
  }

  /**
   * The reply, or the reason why it will not come: that of {@link rejectAll}, or a RedisTimeoutError.
   *
   * @param what - the command's name
   * @param timeout - milliseconds; `Infinity` for no deadline
   * @param onRefused - told of an error that came as the reply, after whoever awaits it
   */
  track<T>(what: string, timeout: number, reply: Promise<T>, onRefused: (error: Error) => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const { length } = this.pending;
      const pending: Pending = { what, timeout, until: performance.now() + timeout, reject, index: length };
      this.pending.push(pending);
      this.wakeAt(pending.until);
      reply.then(
        (value) => {
          this.remove(pending);
          resolve(value);
        },
        (error: Error) => {
          this.remove(pending);
          reject(error);
          onRefused(error);
        },
      );
    });
  }

  rejectAll(error: Error): void {
    clearTimeout(this.timer);
    clearImmediate(this.lastLook);
    this.timerEnds = Infinity;
    for (const { reject } of this.pending.splice(0)) {
      reject(error);
    }
  }

  private remove(pending: Pending): void {
    if (this.pending[pending.index] === pending) {
      const last = this.pending.pop()!;
      if (last !== pending) {
        this.pending[pending.index] = last;
        last.index = pending.index;
      }
    } // else it was rejected
  }

  private wakeAt(time: number): void {
    if (time < this.timerEnds) {
      clearTimeout(this.timer);
      this.timerEnds = time;
      // Its socket keeps the process alive as long as there is something to wait for.
      this.timer = setTimeout(this.onTimer, Math.min(time - performance.now(), MAX_TIMER)).unref();
    }
  }

  private readonly onTimer = (): void => {
    if (this.overdue().length > 0) {
      // After a turn that took long, timers come before the sockets: the reply may be there already.
      this.lastLook = setImmediate(this.expire);
    } else {
      this.waitOn();
    }
  };

  private readonly expire = (): void => {
    const overdue = this.overdue();
    for (const pending of overdue) {
      this.remove(pending);
      pending.reject(new RedisTimeoutError(`Redis did not answer ${pending.what} within ${pending.timeout} ms`));
    }
    if (overdue.length > 0) {
      this.onSilence();
    }
    this.waitOn();
  };

  private waitOn(): void {
    this.timerEnds = Infinity;
    for (const { until } of this.pending) {
      this.wakeAt(until);
    }
  }

  private overdue(): Pending[] {
    const now = performance.now() + 1; // timers may be early by less than that
    return this.pending.filter(({ until }) => until <= now);
  }
}
