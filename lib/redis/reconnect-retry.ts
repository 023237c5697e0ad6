import { Backoff } from './backoff.js';
import type { RedisConnection } from './driver.js';
import { isTransient } from './reply-code.js';

/**
 * Runs commands again that failed because Redis was away, or the one node of a cluster that serves their keys.
 *
 * While the connection is lost it waits for its return. While the connection can be used, though not for these keys, it
 * tries again after pauses that grow.
 */
export class ReconnectRetry {
  private readonly waiting = new Set<() => void>();
  /** Set by `close`: nothing is run again. */
  private isClosed = false;

  /** @param timeout - milliseconds after its first failure for which commands are run again */
  constructor(
    private readonly connection: () => Pick<RedisConnection, 'ready'>,
    private readonly timeout: number,
  ) {}

  /** @throws the last error, if Redis refuses the commands for another reason or the time is over */
  async run<T>(commands: () => Promise<T>): Promise<T> {
    const pauses = new Backoff(20, 250);
    let deadline: number | undefined;
    for (;;) {
      try {
        return await commands();
      } catch (error) {
        deadline ??= performance.now() + this.timeout;
        const left = deadline - performance.now();
        if (this.isClosed || left <= 0 || !isTransient(error)) {
          throw error;
        }
        await this.pause(this.connection().ready ? Math.min(pauses.next(), left) : left);
        if (this.isClosed) {
          throw error;
        }
      }
    }
  }

  /** To be called when the connection can be used. */
  onReady(): void {
    this.waiting.forEach((end) => end());
  }

  /** Nobody waits any longer. */
  close(): void {
    this.isClosed = true;
    this.onReady();
  }

  /** Resolves after so many milliseconds, or earlier when the connection can be used. */
  private pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.waiting.delete(end);
        resolve();
      };
      const timer = setTimeout(end, milliseconds);
      this.waiting.add(end);
    });
  }
}
