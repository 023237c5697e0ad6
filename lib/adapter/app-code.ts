/**
 * Calls a listener of the application while something of another node is being handled. What it throws is thrown again
 * where nothing of ours is in the way: as for any listener, it is an uncaught exception, and what was being handled
 * goes on.
 */
export function callApp(run: () => void): void {
  try {
    run();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
