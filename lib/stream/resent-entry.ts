import type { Origin } from '../wire/entry.js';
import { predecessor, type StreamId } from '../wire/stream-id.js';
import type { OlderEntries } from './replay-log.js';

/** How many entries are read at once. */
const PAGE = 256;

/**
 * Finds the last entry of a publisher before one that it has sent again, in the stream itself: its number shows
 * whether the entry that was sent again is there twice.
 *
 * @param id - of the entry that was sent again
 * @param pause - waits after a read that has failed
 * @returns undefined if there is none, or when `signal` is aborted
 */
export async function lastBefore(
  { node }: Origin,
  id: StreamId,
  older: OlderEntries,
  pause: () => Promise<void>,
  signal: AbortSignal,
): Promise<Origin | undefined> {
  for (let upTo = predecessor(id); !signal.aborted;) {
    try {
      const { entries, oldest, atStart } = await older.upTo(upTo, PAGE);
      const before = entries.find(({ origin }) => origin?.node === node);
      if (before ?? (atStart || oldest === undefined)) {
        return before?.origin;
      }
      upTo = predecessor(oldest);
    } catch {
      await pause();
    }
  }
  return undefined;
}
