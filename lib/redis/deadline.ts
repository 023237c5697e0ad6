import { RedisTimeoutError, type RedisConnection } from './driver.js';

/**
 * Awaits a reply for at most `timeout` milliseconds. A connection that does not answer is dropped, for a reply that
 * comes later could not be told from the next one's.
 */
export function withDeadline<T>(
  connection: RedisConnection,
  timeout: number,
  what: string,
  reply: Promise<T>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let lastCall: NodeJS.Immediate | undefined;
    const expire = (): void => {
      reject(new RedisTimeoutError(`Redis did not answer ${what} within ${timeout} ms`));
      connection.reset();
    };
    // After a turn that took long, timers come before the sockets: the reply may be there already.
    const timer = setTimeout(() => (lastCall = setImmediate(expire)), timeout);
    const settle = (): void => {
      clearTimeout(timer);
      clearImmediate(lastCall);
    };
    reply.then(
      (value) => {
        settle();
        resolve(value);
      },
      (error: Error) => {
        settle();
        reject(error);
      },
    );
  });
}

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
