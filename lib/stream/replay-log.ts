import { encodeCut, isInCut, type Cut } from '../wire/cut.js';
import { EntryType, weightOf, type LogEntry, type Origin, type UnreadEntry } from '../wire/entry.js';
import { BackwardCheck } from './backward-check.js';
import { OlderBatches } from './older-batches.js';
import { OwnEntries } from './own-entries.js';
import { PackedEntries } from './packed-entries.js';
import { isFor, type Recipient } from './recipient.js';
import { RoomIndex, type EntryIdentity } from './room-index.js';
import type { LastGiven } from '../wire/session.js';
import { compareStreamIds, earlier, later, predecessor, STREAM_START, type StreamId } from '../wire/stream-id.js';

export interface ReplayLogOptions {
  /** How many entries are kept at most, and at least but for a 128th of them. */
  maxEntries: number;
  /** About how many bytes of entries are kept. */
  maxBytes: number;
}

/** Some entries of the stream, read backwards. */
export interface OlderBatch {
  /** Newest first. */
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

/**
 * Whether all that was missed is known; if not, why:
 * - trimmed: it, or part of it, has left the stream, or may have.
 * - lost: entries were lost from the log after the offset, or may have been.
 * - redis-away: it could not be read.
 */
export type ReplayOutcome = 'complete' | 'trimmed' | 'lost' | 'redis-away';

/** One entry that a client missed, and the offset that the client has with it. */
export interface ReplayItem {
  readonly entry: LogEntry | UnreadEntry;
  readonly offset: string;
}

/** What a client missed. It goes on collecting what the log brings for the client, until it is ended. */
export interface Replay {
  readonly complete: Promise<ReplayOutcome>;
  /** Ends the collecting and returns all that was collected, oldest first. */
  end(): ReplayItem[];
}

/** A replay that waits for entries that are read from Redis. */
interface PendingReplay {
  readonly recipient: Recipient;
  readonly cut: Cut;
  /** The position of the cut. */
  readonly offset: StreamId;
  /** What comes after this was found here. */
  readonly upTo: StreamId;
  readonly generation: number;
  /** What was found of it so far, the newest part first, each part oldest first. */
  readonly parts: LogEntry[][];
  readonly resolve: (outcome: ReplayOutcome) => void;
}

interface Collector {
  readonly recipient: Recipient;
  readonly items: ReplayItem[];
}

const idOf = ({ id }: LogEntry): StreamId => id;
const isBroadcast = ({ type }: LogEntry): boolean => type === EntryType.Broadcast;

/** What part of the entries is removed at once when there are too many. */
const EVICTED_PART = 128;
/** How many entries are read at first, at most, and about how many bytes of them. */
const FIRST_READ_ENTRIES = 100;
const MAX_READ_ENTRIES = 1_000;
const MAX_READ_BYTES = 1024 * 1024;
/** How many entries before all offsets are read at most, to know that nothing is missing after them. */
const MAX_BEYOND_ENTRIES = 10_000;

/**
 * The recent part of the log, in memory: all broadcasts with an id in `(floor, end]`, so that what a client missed is
 * found without asking Redis.
 *
 * What is older, but still in the stream, is read from Redis once, backwards and in batches, for all who need it, and
 * kept like the rest as far as the bounds allow. Of what has left the log, the last id for each room is remembered, to
 * find out whether anything that a quiet client should have received is gone.
 */
export class ReplayLog {
  /** The entries, oldest first. */
  private entries = new PackedEntries();
  /** The entries by room; it remembers the last ids of those that have left the log. */
  private index = new RoomIndex();
  /** Entries up to this id are not here. */
  private floor: StreamId | undefined;
  /** Entries up to this one may have been lost. */
  private lostUpTo: StreamId = STREAM_START;
  /** The oldest entries of each publisher after the floor. */
  private numbers = new BackwardCheck();
  /** The position of the last entry that was pushed, or where reading began. */
  private position: StreamId = STREAM_START;
  /** The replays that are not ended: what is pushed is collected for them. */
  private readonly collecting = new Set<Collector>();
  /** Replays that wait for what is read from Redis. */
  private pending: PendingReplay[] = [];
  /** Whether older entries are being read from Redis. */
  private reading = false;
  /** Counts the restarts: what was begun before one is no use after it. */
  private generation = 0;

  constructor(
    private readonly options: ReplayLogOptions,
    private readonly older: OlderEntries,
    /** The entries that were delivered here at once and are not read back. */
    private own: OwnEntries = new OwnEntries('', 0, { maxEntries: 0, maxBytes: 0 }),
  ) {}

  get size(): number {
    return this.entries.length;
  }

  get bytes(): number {
    return this.entries.bytes;
  }

  /** From now on it is given what is read, which begins at a position if that is known already, and what is taken. */
  remember(own: OwnEntries, position: StreamId | undefined): void {
    this.own = own;
    if (position !== undefined) {
      this.restart(position);
    }
  }

  /** The entry with this id, if it is here. */
  find(id: StreamId): LogEntry | undefined {
    return this.entries.find(id);
  }

  /** Entries with ids up to this one may have been lost. */
  lose(upTo: StreamId): void {
    this.lostUpTo = later(this.lostUpTo, upTo);
  }

  /**
   * Forgets everything: what lies before `position` is not the whole. A client that was not given all up to `lostUpTo` may
   * have missed what nobody can give it any more.
   */
  restart(position: StreamId, lostUpTo = STREAM_START): void {
    this.entries = new PackedEntries();
    this.index = new RoomIndex(position, this.own.node);
    this.floor = this.position = position;
    this.numbers = new BackwardCheck();
    this.lostUpTo = later(this.lostUpTo, lostUpTo);
    this.generation++;
  }

  /** @param offsetOf - the offset that goes with the entry, asked if somebody collects it */
  push(entry: LogEntry, offsetOf: (entry: LogEntry) => string = idOf): void {
    this.position = entry.id;
    this.numbers.addNewer(entry);
    if (entry.type !== EntryType.Broadcast) {
      return;
    }
    if (this.collecting.size > 0 && !this.own.includes(entry.origin)) {
      this.collect(entry, () => offsetOf(entry)); // own ones were collected when they were taken
    }
    this.index.add(this.entries.push(entry), entry);
    this.evict();
  }

  /** An entry of this node was taken, and is delivered to its own clients at once. */
  pushOwn(entry: Omit<UnreadEntry, 'origin'> & { readonly origin: Origin }, offset: () => string): void {
    const own = this.own.push(entry);
    if (this.collecting.size > 0) {
      this.collect(own, offset);
    }
  }

  /** Collects what a client missed, which has all that is in the cut, from now on too. */
  replay(cut: Cut, recipient: Recipient): Replay {
    const offset = cut.position;
    const upTo = this.floor;
    const recent = this.entriesFor(recipient, offset);
    const items: ReplayItem[] = recent.map(toItem);
    for (const entry of this.own.entriesFor(recipient, cut)) {
      items.push({ entry, offset: encodeCut({ position: this.position, ahead: [entry.origin] }) });
    }
    const collector: Collector = { recipient, items };
    this.collecting.add(collector);
    const parts: LogEntry[][] = [];
    let complete: Promise<ReplayOutcome>;
    if (upTo === undefined) {
      complete = Promise.resolve('redis-away');
    } else if (compareStreamIds(offset, this.lostUpTo) < 0) {
      complete = Promise.resolve('lost');
    } else if (!this.own.covers(cut)) {
      complete = Promise.resolve('redis-away');
    } else if (this.mayMiss(cut, recipient)) {
      complete = new Promise((resolve) => {
        this.pending.push({ recipient, cut, offset, upTo, generation: this.generation, parts, resolve });
        void this.readOlder();
      });
    } else {
      complete = Promise.resolve('complete');
    }
    return {
      complete,
      end: () => {
        this.collecting.delete(collector);
        if (parts.length === 0) {
          return items.filter(({ entry }) => !isInCut(entry, cut));
        }
        const older = firstCopies([...parts.reverse().flat(), ...recent]).map(toItem);
        return [...older, ...items.slice(recent.length)].filter(({ entry }) => !isInCut(entry, cut));
      },
    };
  }

  /**
   * The last entries, among those that are not in a cut, that were, or may have been, for a recipient; undefined if there
   * were none. A client that received them has missed nothing up to now.
   */
  lastGivenTo(recipient: Recipient, since: Cut): LastGiven | undefined {
    const { index } = this;
    const { nsp } = recipient;
    let own: EntryIdentity | undefined = this.own.lastFor(recipient);
    let other = later(since.position, index.forgotten);
    for (const room of ['', ...recipient.rooms]) {
      const last = index.lastFor(nsp, room);
      other = later(other, last.other ?? STREAM_START);
      own = last.own && (!own || last.own.origin!.seq > own.origin!.seq) ? last.own : own;
    }
    const isOwnNew = own !== undefined && !isInCut(own, since);
    if (!isOwnNew && other === since.position) {
      return undefined;
    }
    return { other, ...(own && isOwnNew && { own: { origin: own.origin!, id: own.id } }) };
  }

  private collect(entry: LogEntry | UnreadEntry, offset: () => string): void {
    for (const { recipient, items } of this.collecting) {
      if (isFor(entry, recipient)) {
        items.push({ entry, offset: offset() });
      }
    }
  }

  /** Whether an entry that is neither in a cut nor here may have been for the recipient. */
  private mayMiss(cut: Cut, { nsp, rooms }: Recipient): boolean {
    if (compareStreamIds(cut.position, this.floor!) >= 0) {
      return false;
    }
    if (compareStreamIds(cut.position, this.index.forgotten) < 0) {
      return true;
    }
    return ['', ...rooms].some((room) => this.index.hasRemoved(nsp, room, cut));
  }

  /** Reads what the waiting replays need; those that come meanwhile have their turn in the next pass. */
  private async readOlder(): Promise<void> {
    if (this.reading) {
      return;
    }
    this.reading = true;
    try {
      while (this.pending.length > 0) {
        const waiting = this.pending.splice(0).filter((replay) => !this.findHere(replay));
        if (waiting.length > 0) {
          const outcome = await this.readFor(waiting).catch((): ReplayOutcome => 'redis-away');
          for (const { resolve } of waiting) {
            resolve(outcome); // nothing happens if it is resolved already
          }
        }
      }
    } finally {
      this.reading = false;
    }
  }

  /** Takes what an earlier pass has brought. Returns whether the outcome is known by that. */
  private findHere({ recipient, cut, offset, upTo, generation, parts, resolve }: PendingReplay): boolean {
    if (generation !== this.generation) {
      resolve('lost');
      return true;
    }
    if (compareStreamIds(offset, this.lostUpTo) < 0) {
      resolve('lost');
      return true;
    }
    parts.push(this.entriesFor(recipient, offset, upTo));
    if (this.mayMiss(cut, recipient)) {
      return false;
    }
    resolve('complete');
    return true;
  }

  /**
   * Reads backwards from the floor to the oldest of the offsets, and resolves all that become complete.
   *
   * @returns why the others do not
   */
  private async readFor(waiting: PendingReplay[]): Promise<ReplayOutcome> {
    const { generation } = this;
    const joint = this.floor!;
    const wanted = waiting.map(({ offset }) => offset).reduce(earlier);
    const kept = new OlderBatches(this.options.maxEntries - this.size, this.options.maxBytes - this.bytes);
    const numbers = new BackwardCheck(this.numbers);
    let numbersKept = this.numbers;
    let known = joint; // all entries after this one, and up to the joint, have been read
    let count = FIRST_READ_ENTRIES;
    let beyond = 0; // entries that come before all offsets
    for (let atStart = false; !atStart;) {
      // What comes before the offsets shows whether the rest is the whole, and whether some of it is there twice.
      const isBeyond = compareStreamIds(known, wanted) <= 0;
      if (isBeyond && beyond > 0 && (beyond >= MAX_BEYOND_ENTRIES || !numbers.isOpen)) {
        break;
      }
      const batch = await this.older.upTo(known, count);
      if (generation !== this.generation) {
        return 'lost'; // what was read may be of another history
      }
      atStart = batch.atStart;
      known = batch.oldest === undefined ? known : predecessor(batch.oldest);
      const isRelevant = ({ origin }: LogEntry): boolean => beyond === 0 || numbers.mayRepeat(origin?.node);
      const relevant = batch.entries.filter((entry) => isBroadcast(entry) && isRelevant(entry)).reverse();
      batch.entries.forEach((entry) => numbers.addOlder(entry, compareStreamIds(entry.id, wanted) <= 0));
      if (relevant.length > 0) {
        const index = indexOf(relevant);
        for (const { recipient, upTo, parts } of waiting) {
          const found = index.placesFor(recipient.nsp, recipient.rooms).map((place) => relevant[place]!);
          parts.push(found.filter((entry) => compareStreamIds(entry.id, upTo) <= 0 && isFor(entry, recipient)));
        }
      }
      if (kept.add(batch.entries.filter(isBroadcast).reverse(), known)) {
        numbersKept = new BackwardCheck(numbers);
      }
      beyond += isBeyond ? batch.entries.length : 0;
      const bytes = batch.entries.reduce((sum, entry) => sum + weightOf(entry), 1);
      count = Math.min(MAX_READ_ENTRIES, Math.ceil((MAX_READ_BYTES / bytes) * Math.max(1, batch.entries.length)));
    }
    numbers.join(this.numbers);
    this.lose(numbers.lostUpTo);
    // If the log has become full meanwhile, there is no room for what is older.
    if (this.floor === joint && kept.floor !== undefined) {
      this.prepend(kept.entries(), kept.floor);
      numbersKept.join(this.numbers);
      this.numbers = numbersKept;
    }
    for (const { offset, resolve } of waiting) {
      if (compareStreamIds(offset, this.lostUpTo) < 0) {
        resolve('lost');
      } else if (compareStreamIds(known, offset) <= 0) {
        resolve('complete');
      }
    }
    return 'trimmed';
  }

  private prepend(older: LogEntry[], floor: StreamId): void {
    this.entries = new PackedEntries([...firstCopies(older), ...this.entries]);
    this.index.replace(this.entries.first, this.entries);
    this.index.forgotten = earlier(this.index.forgotten, floor);
    this.floor = floor;
    this.evict();
  }

  /** Several at once: what they touch is no longer in the processor's caches, and lies beside each other. */
  private evict(): void {
    const { maxEntries, maxBytes } = this.options;
    if (this.size <= maxEntries && this.bytes <= maxBytes) {
      return;
    }
    const kept = maxEntries - Math.floor(maxEntries / EVICTED_PART);
    while (this.size > kept || (this.bytes > maxBytes && this.size > 0)) {
      const removed = this.entries.shift();
      this.index.removeOldest(removed);
      this.floor = removed.id;
    }
  }

  /** What a recipient is given of the entries with ids in `(after, upTo]`, oldest first. */
  private entriesFor(recipient: Recipient, after: StreamId, upTo?: StreamId): LogEntry[] {
    const { entries, index } = this;
    const end = upTo === undefined ? Infinity : entries.placeAfter(upTo);
    const places = index.placesFor(recipient.nsp, recipient.rooms, entries.placeAfter(after));
    const found = places.filter((place) => place < end).map((place) => entries.at(place));
    return found.filter((entry) => isFor(entry, recipient));
  }
}

/** By their places in the array. */
function indexOf(entries: readonly LogEntry[]): RoomIndex {
  const index = new RoomIndex();
  entries.forEach((entry, place) => index.add(place, entry));
  return index;
}

function toItem(entry: LogEntry): ReplayItem {
  return { entry, offset: entry.id };
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
