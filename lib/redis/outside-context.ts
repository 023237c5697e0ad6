import { AsyncResource } from 'node:async_hooks';

/** Belongs to what imports this module first, which is the start of the program, and to no request of its users. */
const root = new AsyncResource('RedisStreams', { requireManualDestroy: true });

/**
 * Runs something outside of the asynchronous context of its caller. Loops that live as long as the node would else belong
 * for ever to the request or the test in which it was made: a tracer would record a span for each of their turns.
 *
 * @see https://nodejs.org/api/async_context.html
 */
export function outsideContext<T>(run: () => T): T {
  return root.runInAsyncScope(run);
}
