/** Something that happens again and again, and that any number of callers wait for, each for a limited time. */
export class Signal {
  private readonly waiters = new Set<() => void>();

  /** Resolves to true at the next {@link notify}, or to false after `timeout` milliseconds without one. Never rejects. */
  wait(timeout: number): Promise<boolean> {
    return new Promise((resolve) => {
      const finish = (notified: boolean): void => {
        clearTimeout(timer);
        this.waiters.delete(waiter);
        resolve(notified);
      };
      const waiter = (): void => finish(true);
      const timer = setTimeout(finish, timeout, false);
      this.waiters.add(waiter);
    });
  }

  /** It has happened: all who wait now go on. */
  notify(): void {
    if (this.waiters.size > 0) {
      for (const waiter of [...this.waiters]) {
        waiter();
      }
    }
  }
}
