import { EntryType, type LogEntry } from '../wire/entry.js';
import { isFor, RoomIndex, type Recipient } from './room-index.js';
import { compareStreamIds, earlier, later, predecessor, STREAM_START, type StreamId } from '../wire/stream-id.js';

export interface ReplayLogOptions {
  /** How many entries are kept. */
  maxEntries: number;
  /** About how many bytes of entries are kept. */
  maxBytes: number;
}

/** Some entries of the stream, read backwards. */
export interface OlderBatch {
  /** Newest first; those that cannot be understood are left out. */
  entries: LogEntry[];
  /** The id of the oldest one read; undefined if there was none. */
  oldest: StreamId | undefined;
  /** Whether there are none before it. */
  atStart: boolean;
}

/** Where older entries come from: the stream itself. */
export interface OlderEntries {
  /** The newest entries with ids up to `id`, at most `count`. */
  upTo(id: StreamId, count: number): Promise<OlderBatch>;
}

/** What a client missed. It goes on collecting what the log brings for the client, until it is ended. */
export interface Replay {
  /** Resolves to whether all that was missed is known. To false if part of it is gone, or may be. */
  readonly complete: Promise<boolean>;
  /** Ends the collecting and returns all that was collected, oldest first. */
  end(): LogEntry[];
}

/** A replay that needs entries that are not here. */
interface Backlog {
  readonly recipient: Recipient;
  readonly offset: StreamId;
  /** What comes after this was found here. */
  readonly upTo: StreamId;
  readonly generation: number;
  /** What was found of it so far, the newest part first, each part oldest first. */
  readonly parts: LogEntry[][];
  readonly settle: (complete: boolean) => void;
}

/** How many entries are read at first, at most, and about how many bytes of them. */
const FIRST_READ = 100;
const MAX_READ = 1_000;
const MAX_READ_BYTES = 1024 * 1024;

/**
 * The recent part of the log, in memory: all broadcasts with an id in `(floor, end]`, so that what a client missed is
 * found without asking Redis.
 *
 * What is older, but still in the stream, is read from Redis once, backwards and in batches, for all who need it, and
 * kept like the rest as far as the bounds allow. Of what has left the log, the last id for each room is remembered, to
 * tell whether anything that a quiet client should have been given is gone.
 */
export class ReplayLog {
  private entries: LogEntry[] = [];
  private head = 0;
  private byteCount = 0;
  /** The entries by room; it remembers the last ids of those that have left the log. */
  private index = new RoomIndex();
  /** Entries up to this id are not here. */
  private floor: StreamId | undefined;
  /** Entries up to this one may have been lost. */
  private lostUpTo: StreamId = STREAM_START;
  private readonly collecting = new Set<{ recipient: Recipient; entries: LogEntry[] }>();
  private backlogs: Backlog[] = [];
  private reading = false;
  private generation = 0;

  constructor(
    private readonly options: ReplayLogOptions,
    private readonly older: OlderEntries,
  ) {}

  get size(): number {
    return this.entries.length - this.head;
  }

  get bytes(): number {
    return this.byteCount;
  }

  /**
   * Forgets everything: what lies before `position` is not the whole. Who has not had all up to `lostUpTo` may lack what
   * nobody can give it any more.
   */
  restart(position: StreamId, lostUpTo = STREAM_START): void {
    this.setEntries([]);
    this.index = new RoomIndex([], position);
    this.floor = position;
    this.lostUpTo = later(this.lostUpTo, lostUpTo);
    this.generation++;
  }

  push(entry: LogEntry): void {
    if (entry.type !== EntryType.Broadcast) {
      return;
    }
    for (const { recipient, entries } of this.collecting) {
      if (isFor(entry, recipient)) {
        entries.push(entry);
      }
    }
    this.entries.push(entry);
    this.index.add(entry);
    this.byteCount += weight(entry);
    this.evict();
  }

  /** Collects what a client missed after the entry `offset`, from now on too. */
  replay(offset: StreamId, recipient: Recipient): Replay {
    const upTo = this.floor;
    const recent = this.index.entriesFor(recipient, offset);
    const collector = { recipient, entries: recent };
    this.collecting.add(collector);
    const parts: LogEntry[][] = [];
    let complete;
    if (upTo === undefined || compareStreamIds(offset, this.lostUpTo) < 0) {
      complete = Promise.resolve(false);
    } else if (this.lacks(offset, recipient)) {
      complete = new Promise<boolean>((settle) => {
        this.backlogs.push({ recipient, offset, upTo, generation: this.generation, parts, settle });
        void this.readOlder();
      });
    } else {
      complete = Promise.resolve(true);
    }
    return {
      complete,
      end: () => {
        this.collecting.delete(collector);
        const all = parts.length > 0 ? firstCopies([...parts.reverse().flat(), ...recent]) : recent;
        return all.filter(({ id }) => compareStreamIds(id, offset) > 0);
      },
    };
  }

  /**
   * The id of the last entry after `since` that was, or may have been, for a recipient; undefined if there was none.
   */
  lastFor({ nsp, rooms }: Recipient, since: StreamId): StreamId | undefined {
    let last = since;
    for (const room of ['', ...rooms]) {
      const { index } = this;
      last = later(last, index.newestFor(nsp, room) ?? index.lastRemovedFor(nsp, room) ?? index.forgotten);
    }
    return last === since ? undefined : last;
  }

  /** Whether an entry after `offset` that is not here may have been for the recipient. */
  private lacks(offset: StreamId, { nsp, rooms }: Recipient): boolean {
    if (compareStreamIds(offset, this.floor!) >= 0) {
      return false;
    }
    if (compareStreamIds(offset, this.index.forgotten) < 0) {
      return true;
    }
    return ['', ...rooms].some((room) => {
      const id = this.index.lastRemovedFor(nsp, room);
      return id !== undefined && compareStreamIds(id, offset) > 0;
    });
  }

  /** Reads what the waiting replays need; those that come meanwhile have their turn in the next pass. */
  private async readOlder(): Promise<void> {
    if (this.reading) {
      return;
    }
    this.reading = true;
    try {
      while (this.backlogs.length > 0) {
        const waiting = this.backlogs.splice(0).filter((backlog) => !this.findHere(backlog));
        if (waiting.length > 0) {
          await this.readFor(waiting).catch(() => undefined); // Redis is away
          for (const { settle } of waiting) {
            settle(false); // unless it is settled
          }
        }
      }
    } finally {
      this.reading = false;
    }
  }

  /** Takes what an earlier pass has brought. Returns whether the backlog is settled by that. */
  private findHere({ recipient, offset, upTo, generation, parts, settle }: Backlog): boolean {
    if (generation !== this.generation) {
      settle(false);
      return true;
    }
    parts.push(this.index.entriesFor(recipient, offset, upTo));
    if (this.lacks(offset, recipient)) {
      return false;
    }
    settle(true);
    return true;
  }

  /** Reads backwards from the floor to the oldest of the offsets, and settles all that become complete. */
  private async readFor(waiting: Backlog[]): Promise<void> {
    const { generation } = this;
    const joint = this.floor!;
    const wanted = waiting.map(({ offset }) => offset).reduce(earlier);
    const kept = new Older(this.options.maxEntries - this.size, this.options.maxBytes - this.byteCount);
    let known = joint; // all entries after this one, and up to the joint, have been read
    let count = FIRST_READ;
    for (let enough = false, atStart = false; !enough && !atStart;) {
      // One batch more than is wanted: of an entry that was appended twice, the first copy counts.
      enough = compareStreamIds(known, wanted) <= 0;
      const batch = await this.older.upTo(known, count);
      if (generation !== this.generation) {
        return; // what was read may be of another history
      }
      atStart = batch.atStart;
      known = batch.oldest === undefined ? known : predecessor(batch.oldest);
      const broadcasts = batch.entries.filter(({ type }) => type === EntryType.Broadcast).reverse();
      const index = new RoomIndex(broadcasts);
      for (const { recipient, upTo, parts } of waiting) {
        parts.push(index.entriesFor(recipient, STREAM_START, upTo));
      }
      kept.add(broadcasts, known);
      const bytes = batch.entries.reduce((sum, entry) => sum + weight(entry), 1);
      count = Math.min(MAX_READ, Math.ceil((MAX_READ_BYTES / bytes) * Math.max(1, batch.entries.length)));
    }
    if (this.floor === joint && kept.floor !== undefined) {
      this.prepend(kept.entries(), kept.floor);
    } // else the log is full
    for (const { offset, settle } of waiting) {
      if (compareStreamIds(known, offset) <= 0) {
        settle(true);
      }
    }
  }

  private prepend(older: LogEntry[], floor: StreamId): void {
    this.setEntries([...firstCopies(older), ...this.entries.slice(this.head)]);
    this.index.replace(this.entries);
    this.index.forgotten = earlier(this.index.forgotten, floor);
    this.floor = floor;
    this.evict();
  }

  private setEntries(entries: LogEntry[]): void {
    this.entries = entries;
    this.head = 0;
    this.byteCount = entries.reduce((sum, entry) => sum + weight(entry), 0);
  }

  private evict(): void {
    const { maxEntries, maxBytes } = this.options;
    while (this.size > maxEntries || (this.byteCount > maxBytes && this.size > 0)) {
      const entry = this.entries[this.head]!;
      this.entries[this.head++] = undefined as never;
      this.index.removeOldest(entry);
      this.byteCount -= weight(entry);
      this.floor = entry.id;
    }
    if (this.head > 1_024 && this.head * 2 > this.entries.length) {
      this.entries = this.entries.slice(this.head);
      this.head = 0;
    }
  }
}

/** Batches that were read backwards, the newest of them as far as there is room. */
class Older {
  private readonly batches: LogEntry[][] = [];
  /** Entries after this one are here. */
  floor: StreamId | undefined;
  private full = false;

  constructor(
    private room: number,
    private bytes: number,
  ) {}

  add(batch: LogEntry[], floor: StreamId): void {
    this.room -= batch.length;
    this.bytes -= batch.reduce((sum, entry) => sum + weight(entry), 0);
    this.full ||= this.room < 0 || this.bytes < 0;
    if (!this.full) {
      this.batches.push(batch);
      this.floor = floor;
    }
  }

  /** Oldest first. */
  entries(): LogEntry[] {
    return this.batches.reverse().flat();
  }
}

/** Entries, oldest first, without those that were appended a second time because the first answer was lost. */
function firstCopies(entries: LogEntry[]): LogEntry[] {
  const seen = new Map<string, number>();
  return entries.filter(({ origin }) => {
    if (!origin) {
      return true;
    }
    const isFirst = (seen.get(origin.node) ?? 0) < origin.seq;
    if (isFirst) {
      seen.set(origin.node, origin.seq);
    }
    return isFirst;
  });
}

/** About how many bytes an entry takes here. */
function weight(entry: LogEntry): number {
  return 320 + entry.data.length + (entry.rooms?.length ?? 0) * 64;
}
