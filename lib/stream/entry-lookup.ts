import { compareStreamIds, STREAM_START, type StreamId } from '../wire/stream-id.js';
import { describeMark } from './history.js';
import type { ReplayLog } from './replay-log.js';
import type { StoredStream } from './stored-stream.js';
import type { StreamReader } from './stream-reader.js';

/**
 * Whether the entry at a position is in the log. `trimmed`: it may have been, and was trimmed. `no`: neither is it there nor
 * can it have been trimmed, or the entry there is another one, so the position is of another history. `unknown`: Redis
 * cannot be asked.
 */
export type EntryPresence = 'yes' | 'trimmed' | 'no' | 'unknown';

/** Finds out whether an entry is in the log: by what is remembered here of what was read, and else by asking Redis. */
export class EntryLookup {
  /** The end of a history that was replaced, if the new one does not go so far: an entry of it may come to have that id. */
  private formerEnd: StreamId | undefined;

  constructor(
    private readonly remembered: Pick<ReplayLog, 'find'>,
    private readonly reader: Pick<StreamReader, 'markAt'>,
    private readonly stored: Pick<StoredStream, 'at' | 'first'>,
  ) {}

  /** What was read up to `position` is not the whole; entries before the one with the id `lostUpTo` may be lost. */
  onBroken(position: StreamId, lostUpTo: StreamId): void {
    if (compareStreamIds(position, lostUpTo) < 0) {
      this.formerEnd = lostUpTo;
    }
  }

  /** @param mark - what distinguishes the entry from others with the same id, if that is known */
  async find(position: StreamId, mark?: string): Promise<EntryPresence> {
    if (position === STREAM_START) {
      return 'yes';
    }
    const here = this.remembered.find(position);
    const markHere = here ? describeMark(here) : this.reader.markAt(position);
    if (markHere !== undefined) {
      return this.isSame(position, mark, markHere) ? 'yes' : 'no';
    }
    try {
      const there = await this.stored.at(position);
      if (there) {
        return this.isSame(position, mark, describeMark(there)) ? 'yes' : 'no';
      }
      const first = await this.stored.first();
      return first && compareStreamIds(first.id, position) > 0 ? 'trimmed' : 'no';
    } catch {
      return 'unknown';
    }
  }

  /** Whether the entry that is found at a position, with the mark `found`, is the one that is meant. */
  private isSame(position: StreamId, mark: string | undefined, found: string): boolean {
    return mark === undefined ? position !== this.formerEnd : mark === found;
  }
}
