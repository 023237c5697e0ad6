import { sizeOfData, type LogEntry } from '../wire/entry.js';
import { compareStreamIds, idBefore, predecessor, STREAM_START, type StreamId } from '../wire/stream-id.js';
import { LONGEST_RESEND_MS } from './former-numbers.js';

/** How many entries are asked for at first: if they are large, that is enough. */
const FIRST_ENTRIES = 16;
/** How many entries are looked at, at most, and about how many characters of data. */
const MAX_ENTRIES = 1_024;
const MAX_CHARACTERS = 1024 * 1024;

/** The latest entries of a stream when reading begins. */
export interface LatestEntries {
  /** Oldest first. */
  readonly entries: readonly LogEntry[];
  /** All entries after this one that their publisher may send again are among them. */
  readonly completeAfter: StreamId;
}

/**
 * Looks at the latest entries of a stream, so that their publishers' numbers are known: one that is sent again later is
 * recognized, also after a failover that has lost the first copy. It ends with entries that nobody sends again any more, or
 * when these are many.
 *
 * @param read - reads the stream backwards: `count` entries with ids up to `upTo`, newest first
 */
export async function lookBack(
  read: (upTo: string, count: number) => Promise<readonly LogEntry[]>,
): Promise<LatestEntries> {
  const entries: LogEntry[] = [];
  let characters = 0;
  let count = FIRST_ENTRIES;
  for (let upTo = '+'; count > 0;) {
    const page = await read(upTo, count);
    entries.push(...page);
    const newest = entries[0];
    const oldest = entries.at(-1);
    if (!newest || !oldest || page.length < count || isOld(oldest, newest)) {
      return { entries: entries.reverse(), completeAfter: STREAM_START };
    }
    characters = page.reduce((sum, entry) => sum + sizeOfData(entry), characters);
    const affordable = Math.floor((MAX_CHARACTERS - characters) / Math.max(1, characters / entries.length));
    count = Math.min(4 * count, MAX_ENTRIES - entries.length, affordable);
    upTo = predecessor(oldest.id);
  }
  return { completeAfter: entries.at(-1)!.id, entries: entries.reverse() };
}

/** Whether an entry is so much older than another that its publisher does not send it again. */
function isOld({ id }: LogEntry, newest: LogEntry): boolean {
  return compareStreamIds(id, idBefore(newest.id, LONGEST_RESEND_MS)) < 0;
}
