import type { LogEntry } from './entry.js';
import type { StreamId } from './stream-id.js';

/** How many entries are remembered at least. */
const LENGTH = 1_024;

/**
 * The latest entries that were read of a stream, by id and mark: to find where two histories of the stream part. An id
 * alone can recur in another history.
 */
export class History {
  private ids: StreamId[] = [];
  private marks: string[] = [];

  get isEmpty(): boolean {
    return this.ids.length === 0;
  }

  get oldest(): StreamId | undefined {
    return this.ids[0];
  }

  get newest(): StreamId | undefined {
    return this.ids.at(-1);
  }

  add(id: StreamId, mark: string): void {
    this.ids.push(id);
    this.marks.push(mark);
    if (this.ids.length === 2 * LENGTH) {
      this.ids = this.ids.slice(LENGTH);
      this.marks = this.marks.slice(LENGTH);
    }
  }

  /** The mark of an entry; undefined if there is none with this id. */
  markOf(id: StreamId): string | undefined {
    return this.marks[this.ids.lastIndexOf(id)];
  }

  /** Forgets all but the entry with this id. */
  restart(id: StreamId): void {
    const mark = this.markOf(id) ?? '';
    this.ids = [id];
    this.marks = [mark];
  }
}

/** What tells an entry from another with the same id: who appended it, and as which of its entries. */
export function markOf(entry: LogEntry | undefined): string {
  if (!entry) {
    return '';
  }
  const { origin, uid, data } = entry;
  return origin ? `${origin.node}:${origin.seq}` : `${uid}:${data.length}:${data.slice(0, 64)}`;
}
