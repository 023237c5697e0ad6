/** Promises that nobody waits for one by one, but all together in the end. Rejections of them are ignored here. */
export class PendingPromises {
  private readonly promises = new Set<Promise<unknown>>();

  /** How many are not settled. */
  get size(): number {
    return this.promises.size;
  }

  add(promise: Promise<unknown>): void {
    const done = promise.catch(() => undefined).finally(() => this.promises.delete(done));
    this.promises.add(done);
  }

  /** Resolves when all that there are now are settled. */
  async whenPresentDone(): Promise<void> {
    await Promise.all(this.promises);
  }

  /** Resolves when all are settled, those that are added meanwhile too. */
  async whenDone(): Promise<void> {
    while (this.promises.size > 0) {
      await Promise.all(this.promises);
    }
  }
}
