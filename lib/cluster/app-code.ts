/**
 * Calls code of the application (a listener, a logger) in the middle of work of ours. What it throws is thrown again where
 * nothing of ours is in the way: as for any listener, it is an uncaught exception, and the work goes on.
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
