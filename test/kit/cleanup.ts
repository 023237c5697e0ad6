/** Whatever a test starts and must not outlive it. */
export interface Closable {
  close(): unknown;
}

const open: Closable[] = [];

/** Has `closable` closed after the test that started it, or at the end of the file if a `beforeAll` did. */
export function closeAfterwards<T extends Closable>(closable: T): T {
  open.push(closable);
  return closable;
}

/** To be called by `close()` of what is registered: it has been closed already. */
export function closed(closable: Closable): void {
  const index = open.lastIndexOf(closable);
  if (index >= 0) open.splice(index, 1);
}

/** How much is open now: what is opened later is closed by `closeFrom` with this number. */
export const openCount = (): number => open.length;

/** Closes what was registered after the first `count`, the newest first, all of it even if some of it fails. */
export async function closeFrom(count: number): Promise<void> {
  const errors: unknown[] = [];
  for (const closable of open.splice(count).reverse()) {
    try {
      await closable.close();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw new AggregateError(errors, `Closing failed: ${errors.map(String).join('; ')}`);
}
