import { EntryType, type LogEntry, type Origin, type UnreadEntry } from '../wire/entry.js';
import { isInCut, type Cut } from '../wire/cut.js';
import { compareStreamIds, later, STREAM_START, type StreamId } from '../wire/stream-id.js';
import { targetOf } from './broadcast.js';

/** A client of a namespace, as far as it decides what it would have been given. */
export interface Recipient {
  readonly nsp: string;
  /** All rooms that it was in at some time. */
  readonly rooms: Iterable<string>;
  /** Whether it was in a room when the entry was delivered, which has no id as long as it has not been read back. */
  wasIn(room: string, entry: EntryIdentity): boolean;
}

/** What decides whether an entry came before another event. */
export interface EntryIdentity {
  readonly id?: StreamId | undefined;
  readonly origin?: Origin | undefined;
}

/** How many rooms are remembered after their last entry was removed. */
const MAX_EMPTY = 20_000;
/** The rooms of an entry for all sockets, or whose rooms only decoding shows. */
const EVERYBODY: readonly string[] = [''];
const NOTHING: never[] = [];

/** An entry of the log, or one that is on its way there. */
type Indexed = LogEntry | UnreadEntry;

/** The entries for one room of a namespace, oldest first; those before `head` are gone. */
interface Shelf<E> {
  readonly nsp: string;
  readonly room: string;
  entries: E[];
  head: number;
  /** The last entry that was removed. */
  removed: { id: StreamId; origin: Origin | undefined } | undefined;
  /** The place of the last one that was removed before it, of another publisher. */
  removedOfOther: StreamId | undefined;
  /** The last entry there has ever been, of the index's own publisher and of the others. */
  lastOwn: EntryIdentity | undefined;
  lastOther: StreamId | undefined;
}

/**
 * Entries by the rooms that they are for, so that a client's are found without looking at the others: most entries of
 * a busy cluster are for a single socket. Entries for all are in the room ''.
 *
 * Of what was removed, the last id for each room is remembered.
 */
export class RoomIndex<E extends Indexed> {
  private readonly namespaces = new Map<string, Map<string, Shelf<E>>>();
  /** The rooms without entries; the one that has been so for longest first. */
  private readonly empty = new Set<Shelf<E>>();

  /**
   * @param placeOf - where an entry comes in the order of all: its id, or something of that form
   * @param entries - oldest first
   * @param forgotten - what was removed before, and is not known here, had places up to this one
   */
  constructor(
    private readonly placeOf: (entry: E) => StreamId,
    entries: Iterable<E> = [],
    public forgotten: StreamId = STREAM_START,
    /** The publisher whose entries {@link lastFor} keeps apart from those of others. */
    private readonly ownNode = '',
  ) {
    this.addAll(entries);
  }

  /** Adds an entry that comes after all that are here. */
  add(entry: E): void {
    const isOwn = entry.origin?.node === this.ownNode;
    for (const room of roomsOf(entry)) {
      const shelf = this.find(entry.nsp, room) ?? this.create(entry.nsp, room);
      this.note(shelf, entry, isOwn);
      if (shelf.entries.length === 0) {
        this.empty.delete(shelf);
        shelf.entries = [entry];
      } else if (shelf.entries.at(-1) !== entry) {
        shelf.entries.push(entry);
      } // else the room was named twice
    }
  }

  private note(shelf: Shelf<E>, entry: E, isOwn: boolean): void {
    const { origin } = entry;
    if (!isOwn) {
      shelf.lastOther = later(shelf.lastOther ?? STREAM_START, this.placeOf(entry));
    } else if (!shelf.lastOwn || origin!.seq > shelf.lastOwn.origin!.seq) {
      shelf.lastOwn = { id: entry.id, origin };
    }
  }

  /** The last entry for a room that there has been after {@link forgotten}, of the own publisher and of the others. */
  lastFor(nsp: string, room: string): { own: EntryIdentity | undefined; other: StreamId | undefined } {
    const shelf = this.find(nsp, room);
    return { own: shelf?.lastOwn, other: shelf?.lastOther };
  }

  /** Removes the oldest entry of all. */
  removeOldest(entry: E): void {
    for (const room of roomsOf(entry)) {
      const shelf = this.find(entry.nsp, room);
      if (shelf?.entries[shelf.head] !== entry) {
        continue; // the room was named twice
      }
      this.noteRemoved(shelf, entry);
      shelf.entries[shelf.head++] = undefined as never;
      if (shelf.head === shelf.entries.length) {
        this.clear(shelf);
      } else if (shelf.head > 64 && shelf.head * 2 > shelf.entries.length) {
        shelf.entries = shelf.entries.slice(shelf.head);
        shelf.head = 0;
      }
    }
    if (this.empty.size > MAX_EMPTY) {
      this.forgetSome();
    }
  }

  private noteRemoved(shelf: Shelf<E>, entry: E): void {
    const { removed } = shelf;
    if (!removed) {
      shelf.removed = { id: this.placeOf(entry), origin: entry.origin };
      return;
    }
    if (removed.origin?.node !== entry.origin?.node) {
      shelf.removedOfOther = removed.id;
    }
    removed.id = this.placeOf(entry);
    removed.origin = entry.origin;
  }

  /** Whether entries for a room that are not in a cut may have been removed, but for what is {@link forgotten}. */
  hasRemoved(nsp: string, room: string, cut: Cut): boolean {
    const { removed, removedOfOther } = this.find(nsp, room) ?? {};
    if (!removed || isInCut({ id: removed.id }, cut)) {
      return false;
    }
    // All that was removed of its publisher came before it.
    return !isInCut(removed, cut) || (removedOfOther !== undefined && !isInCut({ id: removedOfOther }, cut));
  }

  /** Puts others in the place of the entries that are here; what was removed is remembered. */
  replace(entries: Iterable<E>): void {
    for (const rooms of this.namespaces.values()) {
      for (const shelf of rooms.values()) {
        if (shelf.removed !== undefined) {
          this.clear(shelf);
        } else {
          this.drop(shelf);
        }
      }
    }
    this.addAll(entries);
  }

  /** The newest entry for a room. */
  newestFor(nsp: string, room: string): E | undefined {
    return this.find(nsp, room)?.entries.at(-1);
  }

  /** What a recipient is given of the entries with places in `(after, upTo]`, oldest first. */
  entriesFor(recipient: Recipient, after: StreamId, upTo?: StreamId): E[] {
    const parts: E[][] = [];
    for (const room of new Set(['', ...recipient.rooms])) {
      const shelf = this.find(recipient.nsp, room);
      if (shelf) {
        const first = this.firstAfter(shelf, after);
        if (first < shelf.entries.length) {
          parts.push(shelf.entries.slice(first));
        }
      }
    }
    const found = parts.length > 1 ? this.inOrder(parts) : (parts[0] ?? []);
    return found.filter(
      (entry) => (upTo === undefined || compareStreamIds(this.placeOf(entry), upTo) <= 0) && isFor(entry, recipient),
    );
  }

  private find(nsp: string, room: string): Shelf<E> | undefined {
    return this.namespaces.get(nsp)?.get(room);
  }

  private create(nsp: string, room: string): Shelf<E> {
    const shelf: Shelf<E> = {
      nsp,
      room,
      entries: NOTHING,
      head: 0,
      removed: undefined,
      removedOfOther: undefined,
      lastOwn: undefined,
      lastOther: undefined,
    };
    const rooms = this.namespaces.get(nsp) ?? new Map<string, Shelf<E>>();
    this.namespaces.set(nsp, rooms.set(room, shelf));
    return shelf;
  }

  private addAll(entries: Iterable<E>): void {
    for (const entry of entries) {
      this.add(entry);
    }
  }

  private clear(shelf: Shelf<E>): void {
    shelf.entries = NOTHING;
    shelf.head = 0;
    this.empty.add(shelf);
  }

  private drop({ nsp, room }: Shelf<E>): void {
    const rooms = this.namespaces.get(nsp)!;
    rooms.delete(room);
    if (rooms.size === 0) {
      this.namespaces.delete(nsp);
    }
  }

  private firstAfter({ entries, head }: Shelf<E>, place: StreamId): number {
    let low = head;
    let high = entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareStreamIds(this.placeOf(entries[middle]!), place) <= 0) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  /** Merges sorted parts; an entry for several rooms is in several of them. */
  private inOrder(parts: E[][]): E[] {
    const merged = parts.flat().sort((a, b) => compareStreamIds(this.placeOf(a), this.placeOf(b)));
    return merged.filter((entry, i) => entry !== merged[i - 1]);
  }

  /** Many at once, for finding the first of a set passes over all that were deleted before it. */
  private forgetSome(): void {
    let surplus = MAX_EMPTY / 10;
    for (const shelf of this.empty) {
      this.empty.delete(shelf);
      this.drop(shelf);
      this.forgotten = later(this.forgotten, shelf.removed!.id);
      if (--surplus <= 0) {
        break;
      }
    }
  }
}

function roomsOf({ rooms }: Indexed): readonly string[] {
  return rooms?.length ? rooms : EVERYBODY;
}

/** Whether a recipient of these rooms is given this entry. */
export function isFor(entry: Indexed, recipient: Recipient): boolean {
  const isIn = (room: string): boolean => recipient.wasIn(room, entry);
  if (entry.nsp !== recipient.nsp || entry.type !== EntryType.Broadcast) {
    return false;
  }
  if (entry.rooms?.length && !entry.rooms.some(isIn)) {
    return false; // known without decoding
  }
  const target = targetOf(entry);
  return target !== null && (target.rooms.length === 0 || target.rooms.some(isIn)) && !target.except.some(isIn);
}
