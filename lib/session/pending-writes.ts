/** Writes to Redis that are under way and that nobody waits for: what fails of them is reported, and closing awaits them. */
export class PendingWrites {
  private readonly writes = new Set<Promise<unknown>>();

  /** @param onError - called when a session could not be written */
  constructor(private readonly onError: (operation: 'save' | 'checkpoint', error: Error) => void) {}

  add(operation: 'save' | 'checkpoint', write: Promise<unknown>): void {
    const settled = write
      .catch((error: Error) => this.onError(operation, error))
      .finally(() => this.writes.delete(settled));
    this.writes.add(settled);
  }

  /** Resolves when all are done with, those that are added meanwhile too. */
  async whenDone(): Promise<void> {
    while (this.writes.size > 0) {
      await Promise.all(this.writes);
    }
  }
}
