import { describeOrigin, type LogEntry, type Origin } from '../wire/entry.js';
import type { StreamId } from '../wire/stream-id.js';

/** How many entries are remembered at least. */
const HISTORY_ENTRIES = 1_024;

/** What distinguishes an entry from another with the same id: who appended it, and as which of its entries. */
type Mark = Origin | string;

/**
 * The latest entries that were read of a stream, to find where two histories of the stream part. An id alone can recur
 * in another history.
 */
export class History {
  /** Of the entries, oldest first. */
  private ids: StreamId[] = [];
  /** What distinguishes them, in the same order. */
  private marks: Mark[] = [];

  get oldest(): StreamId | undefined {
    return this.ids[0];
  }

  get newest(): StreamId | undefined {
    return this.ids.at(-1);
  }

  add(id: StreamId, entry: LogEntry): void {
    this.ids.push(id);
    this.marks.push(markOf(entry));
    if (this.ids.length === 2 * HISTORY_ENTRIES) {
      this.ids = this.ids.slice(HISTORY_ENTRIES);
      this.marks = this.marks.slice(HISTORY_ENTRIES);
    }
  }

  /** Whether this very entry is one of them. */
  has(id: StreamId, entry: LogEntry): boolean {
    const i = this.ids.lastIndexOf(id);
    return i >= 0 && isSame(this.marks[i]!, markOf(entry));
  }

  /** What distinguishes the entry with this id from another, if it is one of them and that is known. */
  markAt(id: StreamId): string | undefined {
    const mark = this.marks[this.ids.lastIndexOf(id)];
    return mark === undefined || mark === '' ? undefined : textOf(mark);
  }

  /** Forgets all but the entry with this id. */
  restart(id: StreamId): void {
    this.marks = [this.marks[this.ids.lastIndexOf(id)] ?? ''];
    this.ids = [id];
  }
}

/** What distinguishes an entry from another with the same id, as a text. */
export function describeMark(entry: LogEntry): string {
  return textOf(markOf(entry));
}

function textOf(mark: Mark): string {
  return typeof mark === 'string' ? mark : describeOrigin(mark);
}

function markOf({ origin, uid, data }: LogEntry): Mark {
  return origin ?? `${uid}:${data.length}:${data.slice(0, 64)}`;
}

function isSame(a: Mark, b: Mark): boolean {
  return typeof a === 'string' || typeof b === 'string' ? a === b : a.node === b.node && a.seq === b.seq;
}
