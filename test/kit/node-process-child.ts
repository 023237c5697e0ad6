/*
 * What a process has that `NodeProcess` has started. Such a script, `*.child.ts`, reads its options by `childOptions`, starts
 * what it is about, and calls `serve` when that is there. It ends with the process that started it.
 */

export type ToChild = { type: 'call'; id: number; method: string; args: unknown[] } | { type: 'release' };

export type FromChild =
  | { type: 'ready' }
  | { type: 'event'; name: string; args: unknown[] }
  | { type: 'result'; id: number; value: unknown }
  | { type: 'error'; id: number; name: string; message: string; stack: string };

/** What `NodeProcess.start` was given as `options`. */
export function childOptions<T>(): T {
  return JSON.parse(process.argv[2]!) as T;
}

const send = (message: FromChild): void => {
  if (process.connected) process.send?.(message);
};

/** Makes `methods` callable by the `NodeProcess` that started this process, and says that it is ready. */
export function serve(methods: Record<string, (...args: any[]) => unknown>): void {
  process.on('message', (message) => {
    const received = message as ToChild;
    if (received.type === 'release') process.channel?.unref();
    else void answer(received);
  });
  process.on('disconnect', () => process.exit());
  send({ type: 'ready' });

  async function answer({ id, method, args }: Extract<ToChild, { type: 'call' }>): Promise<void> {
    try {
      const serves = methods[method];
      if (!serves) throw new Error(`There is no method "${method}"`);
      send({ type: 'result', id, value: await serves(...args) });
    } catch (thrown) {
      const error = thrown instanceof Error ? thrown : new Error(String(thrown));
      send({ type: 'error', id, name: error.name, message: error.message, stack: error.stack ?? '' });
    }
  }
}

/** Sends an event to the process that started this one. Arguments are copied as structured clones. */
export function emit(name: string, ...args: unknown[]): void {
  send({ type: 'event', name, args });
}
