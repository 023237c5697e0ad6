import type { RedisConnection } from './driver.js';

/** How often commands are sent, at most. */
const TRIES = 3;

/** Sends commands again that a lost connection has failed, when it is back. */
export class Readiness {
  private readonly waiting = new Set<(isReady: boolean) => void>();
  private isClosed = false;

  /** @param timeout - milliseconds to wait, at most */
  constructor(
    private readonly connection: () => Pick<RedisConnection, 'ready'>,
    private readonly timeout: number,
  ) {}

  /** @throws the last error, if the connection does not come back in time or it is not what failed */
  async retry<T>(run: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await run();
      } catch (error) {
        // A command may fail before the connection is known to be lost.
        if (tries === TRIES || !(await this.isReady())) {
          throw error;
        }
      }
    }
  }

  /** To be called when the connection can be used. */
  onReady(): void {
    this.waiting.forEach((settle) => settle(true));
  }

  /** Nobody waits any longer. */
  close(): void {
    this.isClosed = true;
    this.waiting.forEach((settle) => settle(false));
  }

  private isReady(): Promise<boolean> {
    if (this.isClosed || this.connection().ready) {
      return Promise.resolve(!this.isClosed);
    }
    return new Promise((resolve) => {
      const settle = (isReady: boolean): void => {
        clearTimeout(timer);
        this.waiting.delete(settle);
        resolve(isReady);
      };
      const timer = setTimeout(settle, this.timeout, false);
      this.waiting.add(settle);
    });
  }
}
