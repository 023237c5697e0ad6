import { Fifo } from '../queue/fifo.js';
import { isInCut, type Cut } from '../wire/cut.js';
import type { LogEntry, Origin, UnreadEntry } from '../wire/entry.js';
import { later, STREAM_START, type StreamId } from '../wire/stream-id.js';
import { binarySearch } from './binary-search.js';

/** What decides whether an entry came before another event. */
export interface EntryIdentity {
  readonly id?: StreamId | undefined;
  readonly origin?: Origin | undefined;
}

/** How many rooms are remembered after their last entry was removed. */
const MAX_EMPTY = 20_000;
/** The room of an entry for all sockets, or whose rooms only decoding shows. */
const EVERYBODY = '';
const NOTHING: number[] = [];

/** What of an entry says where it is found: an entry of the log, or one that is on its way there. */
type Indexed = Pick<LogEntry | UnreadEntry, 'nsp' | 'rooms' | 'id' | 'origin'>;

/** The entries for one room of a namespace. */
interface Shelf {
  readonly nsp: string;
  readonly room: string;
  /** This shelf, as all that an entry for one room is on. */
  readonly alone: readonly Shelf[];
  /** Their places, in order; those before `head` are gone. */
  places: number[];
  head: number;
  /** The last entry that was removed. */
  removed: EntryIdentity | undefined;
  /** The id of the last one that was removed before it, of another publisher. */
  removedOfOther: StreamId | undefined;
  /** The last entry there has ever been, of the index's own publisher and of the others. */
  lastOwn: EntryIdentity | undefined;
  lastOther: StreamId | undefined;
}

/**
 * The places of entries by the rooms that they are for, so that a client's are found without looking at the others: most
 * entries of a busy cluster are for a single socket. Entries for all are in the room ''. A place is a number: whoever has the
 * entries counts them.
 *
 * Of what was removed, the last id for each room is remembered.
 */
export class RoomIndex {
  private readonly namespaces = new Map<string, Map<string, Shelf>>();
  /** The shelves of each entry, the oldest first. */
  private additions = new Fifo<readonly Shelf[]>();
  /** The rooms without entries; the one that has been so for longest first. */
  private readonly empty = new Set<Shelf>();

  /**
   * @param forgotten - what was removed before, and is not known here, had ids up to this one
   * @param ownNode - the publisher whose entries {@link lastFor} keeps apart from those of others
   */
  constructor(
    public forgotten: StreamId = STREAM_START,
    private readonly ownNode = '',
  ) {}

  /** Adds an entry whose place, and id, come after those of all that are here. */
  add(place: number, entry: Indexed): void {
    const shelves = this.shelvesOf(entry);
    this.additions.push(shelves);
    for (const shelf of shelves) {
      this.put(shelf, place, entry);
    }
  }

  /** Removes the oldest entry of all. There must be one. @param entry - what it was */
  removeOldest(entry: EntryIdentity): void {
    for (const shelf of this.additions.shift()!) {
      this.take(shelf, entry);
    }
    if (this.empty.size > MAX_EMPTY) {
      this.forgetSome();
    }
  }

  /** Puts others in the place of the entries that are here, oldest first; what was removed is remembered. */
  replace(firstPlace: number, entries: Iterable<Indexed>): void {
    const kept: [Shelf, StreamId | undefined][] = [];
    for (const rooms of this.namespaces.values()) {
      for (const shelf of rooms.values()) {
        if (shelf.removed !== undefined) {
          this.clear(shelf);
          kept.push([shelf, shelf.lastOther]);
        } else {
          this.drop(shelf);
        }
      }
    }
    this.additions = new Fifo();
    let place = firstPlace;
    for (const entry of entries) {
      this.add(place++, entry);
    }
    for (const [shelf, lastOther] of kept) {
      if (lastOther !== undefined) {
        shelf.lastOther = later(shelf.lastOther ?? STREAM_START, lastOther);
      }
    }
  }

  /** The last entry for a room that there has been after {@link forgotten}, of the own publisher and of the others. */
  lastFor(nsp: string, room: string): { own: EntryIdentity | undefined; other: StreamId | undefined } {
    const shelf = this.find(nsp, room);
    return { own: shelf?.lastOwn, other: shelf?.lastOther };
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

  /** The place of the newest entry for a room. */
  newestFor(nsp: string, room: string): number | undefined {
    return this.find(nsp, room)?.places.at(-1);
  }

  /** The places, from `from` on, of the entries for rooms and of those for all, in order. */
  placesFor(nsp: string, rooms: Iterable<string>, from = -Infinity): number[] {
    const parts: number[][] = [];
    for (const room of new Set([EVERYBODY, ...rooms])) {
      const shelf = this.find(nsp, room);
      const first = shelf ? firstFrom(shelf, from) : 0;
      if (shelf && first < shelf.places.length) {
        parts.push(shelf.places.slice(first));
      }
    }
    return parts.length > 1 ? inOrder(parts) : (parts[0] ?? []);
  }

  private find(nsp: string, room: string): Shelf | undefined {
    return this.namespaces.get(nsp)?.get(room);
  }

  private shelfOf(nsp: string, room: string): Shelf {
    return this.find(nsp, room) ?? this.create(nsp, room);
  }

  private shelvesOf({ nsp, rooms }: Indexed): readonly Shelf[] {
    if (!rooms || rooms.length < 2) {
      return this.shelfOf(nsp, rooms?.[0] ?? EVERYBODY).alone;
    }
    return [...new Set(rooms)].map((room) => this.shelfOf(nsp, room));
  }

  private create(nsp: string, room: string): Shelf {
    const alone: Shelf[] = [];
    const shelf: Shelf = {
      nsp,
      room,
      alone,
      places: NOTHING,
      head: 0,
      removed: undefined,
      removedOfOther: undefined,
      lastOwn: undefined,
      lastOther: undefined,
    };
    alone.push(shelf);
    const rooms = this.namespaces.get(nsp) ?? new Map<string, Shelf>();
    this.namespaces.set(nsp, rooms.set(room, shelf));
    return shelf;
  }

  private put(shelf: Shelf, place: number, { id, origin }: Indexed): void {
    if (shelf.places.length === 0) {
      this.empty.delete(shelf);
      shelf.places = [place];
    } else {
      shelf.places.push(place);
    }
    if (origin?.node !== this.ownNode) {
      shelf.lastOther = id;
    } else if (!shelf.lastOwn || origin.seq > shelf.lastOwn.origin!.seq) {
      shelf.lastOwn = { id, origin };
    }
  }

  private take(shelf: Shelf, entry: EntryIdentity): void {
    const { removed } = shelf;
    if (removed && removed.origin?.node !== entry.origin?.node) {
      shelf.removedOfOther = removed.id;
    }
    shelf.removed = entry;
    shelf.head++;
    if (shelf.head === shelf.places.length) {
      this.clear(shelf);
    } else if (shelf.head > 64 && shelf.head * 2 > shelf.places.length) {
      shelf.places = shelf.places.slice(shelf.head);
      shelf.head = 0;
    }
  }

  private clear(shelf: Shelf): void {
    shelf.places = NOTHING;
    shelf.head = 0;
    this.empty.add(shelf);
  }

  private drop({ nsp, room }: Shelf): void {
    const rooms = this.namespaces.get(nsp)!;
    rooms.delete(room);
    if (rooms.size === 0) {
      this.namespaces.delete(nsp);
    }
  }

  /** Many at once, for finding the first of a set passes over all that were deleted before it. */
  private forgetSome(): void {
    let surplus = MAX_EMPTY / 10;
    for (const shelf of this.empty) {
      this.empty.delete(shelf);
      this.drop(shelf);
      this.forgotten = later(this.forgotten, shelf.removed!.id ?? STREAM_START);
      if (--surplus <= 0) {
        break;
      }
    }
  }
}

/** Where the first place from `from` on is. */
function firstFrom({ places, head }: Shelf, from: number): number {
  return binarySearch(head, places.length, (i) => places[i]! < from);
}

/** Merges sorted parts; an entry for several rooms is in several of them. */
function inOrder(parts: number[][]): number[] {
  const merged = parts.flat().sort((a, b) => a - b);
  return merged.filter((place, i) => place !== merged[i - 1]);
}
