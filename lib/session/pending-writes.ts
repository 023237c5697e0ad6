import { PendingPromises } from '../time/pending-promises.js';

/** Writes to Redis that are under way and that nobody waits for: what fails of them is reported, and closing awaits them. */
export class PendingWrites {
  private readonly writes = new PendingPromises();

  /** @param onError - called when a session could not be written */
  constructor(private readonly onError: (operation: 'save' | 'checkpoint', error: Error) => void) {}

  add(operation: 'save' | 'checkpoint', write: Promise<unknown>): void {
    this.writes.add(write.catch((error: Error) => this.onError(operation, error)));
  }

  /** Resolves when all are done with, those that are added meanwhile too. */
  whenDone(): Promise<void> {
    return this.writes.whenDone();
  }
}
