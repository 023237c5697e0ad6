import { AsyncResource } from 'node:async_hooks';

/** Made when this file is loaded: that is at the start of the process, and not within a request. */
const root = new AsyncResource('redis-streams');

/**
 * Runs a function outside of whatever async context calls it, such as that of the request, the job or the span in which
 * a node is created. What it starts (sockets, timers, loops) would otherwise keep that context for as long as it lives,
 * and tracing would record each read and each heartbeat as a part of it.
 */
export function atRoot<T>(run: () => T): T {
  return root.runInAsyncScope(run);
}
