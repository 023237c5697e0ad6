/*
 * A process may be suspended, or too busy to come to its timers. When it goes on, timers come before sockets: what has arrived
 * meanwhile is not read yet. So a timer that is late says nothing of what others have, or have not, said in its time.
 */

/** Milliseconds by which a timer is late at most in a process that was not suspended. */
export const MAX_LATENESS_MS = 200;

/**
 * Whether something that was due at a time happens so much later that this process was suspended meanwhile. Both times are of one
 * monotonic clock, in milliseconds.
 */
export function wasSuspended(dueAt: number, now: number, maxLateness = MAX_LATENESS_MS): boolean {
  return now - dueAt > maxLateness;
}

/**
 * Calls a function when what has arrived up to now was read from the sockets, as far as one turn of the event loop reads it.
 * To be used by a timer that does not know whether it is late. Returns what ends that.
 */
export function afterArrivals(run: () => void): () => void {
  const immediate = setImmediate(run);
  return () => clearImmediate(immediate);
}
