import {
  decodeEntry,
  EntryType,
  InvalidEntryError,
  type EventPacket,
  type LogEntry,
  type WireOptions,
} from './entry.js';
import { compareStreamIds, type StreamId } from './stream-id.js';

/** A client of a namespace, as far as it decides what it would have been given. */
export interface Recipient {
  readonly nsp: string;
  /** All rooms that it was in at some time. */
  readonly rooms: Iterable<string>;
  /** Whether it was in a room when the entry with this id was delivered. */
  wasIn(room: string, id: StreamId): boolean;
}

export interface Broadcast {
  packet: EventPacket;
  opts: WireOptions;
}

/** The entries for one room, oldest first; those before `head` are gone. */
interface Shelf {
  entries: LogEntry[];
  head: number;
}

/**
 * Entries by the rooms that they are for, so that a client's are found without looking at the others: most entries of
 * a busy cluster are for a single socket.
 */
export class RoomIndex {
  private readonly shelves = new Map<string, Shelf>();

  constructor(entries: Iterable<LogEntry> = []) {
    for (const entry of entries) {
      this.add(entry);
    }
  }

  /** Adds an entry that comes after all that are here. */
  add(entry: LogEntry): void {
    for (const name of shelfNames(entry)) {
      const shelf = this.shelves.get(name);
      if (!shelf) {
        this.shelves.set(name, { entries: [entry], head: 0 });
      } else if (shelf.entries.at(-1) !== entry) {
        shelf.entries.push(entry);
      }
    }
  }

  /** Removes the oldest entry of all. */
  removeOldest(entry: LogEntry): void {
    for (const name of shelfNames(entry)) {
      const shelf = this.shelves.get(name);
      if (shelf?.entries[shelf.head] !== entry) {
        continue; // the room was named twice
      }
      shelf.entries[shelf.head++] = undefined as never;
      if (shelf.head === shelf.entries.length) {
        this.shelves.delete(name);
      } else if (shelf.head > 64 && shelf.head * 2 > shelf.entries.length) {
        shelf.entries = shelf.entries.slice(shelf.head);
        shelf.head = 0;
      }
    }
  }

  /** The id of the newest entry for a room; the empty room stands for all sockets. */
  newestFor(nsp: string, room: string): StreamId | undefined {
    return this.shelves.get(shelfName(nsp, room))?.entries.at(-1)?.id;
  }

  /** What a recipient is given of the entries with ids in `(after, upTo]`, oldest first. */
  entriesFor(recipient: Recipient, after: StreamId, upTo?: StreamId): LogEntry[] {
    const parts: LogEntry[][] = [];
    for (const room of new Set(['', ...recipient.rooms])) {
      const shelf = this.shelves.get(shelfName(recipient.nsp, room));
      if (shelf) {
        const first = firstAfter(shelf, after);
        if (first < shelf.entries.length) {
          parts.push(shelf.entries.slice(first));
        }
      }
    }
    const found = parts.length > 1 ? inOrder(parts) : (parts[0] ?? []);
    return found.filter(
      (entry) => (upTo === undefined || compareStreamIds(entry.id, upTo) <= 0) && isFor(entry, recipient),
    );
  }
}

/** The rooms of an entry by namespace; entries for all sockets, or whose rooms only decoding tells, are in room ''. */
export function shelfNames({ nsp, rooms }: LogEntry): string[] {
  return rooms?.length ? rooms.map((room) => shelfName(nsp, room)) : [shelfName(nsp, '')];
}

export function shelfName(nsp: string, room: string): string {
  return `${nsp}\u0000${room}`;
}

function firstAfter({ entries, head }: Shelf, id: StreamId): number {
  let low = head;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareStreamIds(entries[middle]!.id, id) <= 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/** Merges sorted parts; an entry for several rooms is in several of them. */
function inOrder(parts: LogEntry[][]): LogEntry[] {
  const merged = parts.flat().sort((a, b) => compareStreamIds(a.id, b.id));
  return merged.filter((entry, i) => entry !== merged[i - 1]);
}

/** Whether a recipient of these rooms is given this entry. */
export function isFor(entry: LogEntry, recipient: Recipient): boolean {
  const isIn = (room: string): boolean => recipient.wasIn(room, entry.id);
  if (entry.nsp !== recipient.nsp || entry.type !== EntryType.Broadcast) {
    return false;
  }
  if (entry.rooms?.length && !entry.rooms.some(isIn)) {
    return false; // told without decoding
  }
  const broadcast = broadcastOf(entry);
  return (
    broadcast !== undefined &&
    broadcast.packet.id === undefined &&
    (broadcast.opts.rooms.length === 0 || broadcast.opts.rooms.some(isIn)) &&
    !broadcast.opts.except.some(isIn)
  );
}

const decoded = new WeakMap<LogEntry, Broadcast | null>();

/** The decoded broadcast of an entry, kept as long as the entry is; undefined if it is none or cannot be decoded. */
export function broadcastOf(entry: LogEntry): Broadcast | undefined {
  let broadcast = decoded.get(entry);
  if (broadcast === undefined) {
    broadcast = decodeBroadcast(entry);
    decoded.set(entry, broadcast);
  }
  return broadcast ?? undefined;
}

function decodeBroadcast(entry: LogEntry): Broadcast | null {
  try {
    const message = decodeEntry(entry);
    return message?.type === EntryType.Broadcast ? message.data : null;
  } catch (error) {
    if (error instanceof InvalidEntryError) {
      return null; // was told when it was read
    }
    throw error;
  }
}
