import { weightOf, type Origin, type UnreadEntry } from '../wire/entry.js';
import { isInCut, type Cut } from '../wire/cut.js';
import { Fifo } from '../queue/fifo.js';
import { isFor, type Recipient } from './recipient.js';
import { RoomIndex } from './room-index.js';

/** An entry of this node that was given to its own clients, and has not been read back. */
export interface OwnEntry extends UnreadEntry {
  readonly origin: Origin;
  /** Its place among the own entries. */
  readonly place: number;
  readonly bytes: number;
  /** Whether the outbox has dropped it: it will never be read back. */
  isDropped: boolean;
}

export interface OwnEntriesLimits {
  maxEntries: number;
  maxBytes: number;
}

/**
 * The entries of one lane of this node that were delivered here at once, until they are read back and take their place in
 * the log. They stay encoded as they were at the call: what an application does to the objects afterwards changes nothing.
 *
 * They are indexed by room only when somebody asks, so that they cost next to nothing otherwise.
 */
export class OwnEntries {
  /** In the order of their numbers. */
  private readonly entries = new Fifo<OwnEntry>();
  /** About how many bytes the entries take. */
  private byteCount = 0;
  /** How many entries were ever pushed: the place of the last one. */
  private places = 0;
  /** Made by the first question, and kept until there are no entries. */
  private index: RoomIndex | undefined;
  /** The newest entries, which are not in the index yet. */
  private unindexed: OwnEntry[] = [];
  /** Entries up to this number are not here though they may be unread: there were too many. */
  private evictedUpTo = 0;

  /**
   * @param node - the lane
   * @param after - the number of its last entry before those that are to be kept
   */
  constructor(
    readonly node: string,
    private readonly after: number,
    private readonly limits: OwnEntriesLimits,
  ) {}

  get length(): number {
    return this.entries.length;
  }

  get bytes(): number {
    return this.byteCount;
  }

  /** Whether an entry was among these when it was taken. */
  includes(origin: Origin | undefined): boolean {
    return origin?.node === this.node && origin.seq > this.after;
  }

  push(entry: Omit<UnreadEntry, 'origin'> & { readonly origin: Origin }): OwnEntry {
    const { uid, nsp, type, data, origin, rooms } = entry;
    const bytes = weightOf(entry);
    const place = ++this.places;
    const own: OwnEntry = { uid, nsp, type, data, origin, rooms, place, bytes, isDropped: false };
    this.entries.push(own);
    this.byteCount += bytes;
    if (this.index) {
      this.unindexed.push(own);
    }
    while (this.length > this.limits.maxEntries || (this.byteCount > this.limits.maxBytes && this.length > 0)) {
      const evicted = this.shift()!;
      if (!evicted.isDropped) {
        this.evictedUpTo = evicted.origin.seq;
      }
    }
    return own;
  }

  /** Entries up to this number were read back, or are lost. */
  readUpTo(seq: number): void {
    if (this.length === 0 && this.evictedUpTo === 0) {
      return;
    }
    if (seq >= this.evictedUpTo) {
      this.evictedUpTo = 0;
    }
    for (let entry = this.entries.peek(); entry && entry.origin.seq <= seq; entry = this.entries.peek()) {
      this.shift();
    }
  }

  /** The outbox has dropped an entry: who has not been given it will never be. */
  drop({ node, seq }: Origin): void {
    if (node !== this.node || this.length === 0) {
      return;
    }
    const at = seq - this.entries.peek()!.origin.seq;
    const entry = this.entries.at(at);
    if (entry?.origin.seq === seq) {
      entry.isDropped = true;
    }
    while (this.entries.peek()?.isDropped) {
      this.shift();
    }
  }

  /** Whether all that is unread and not in a cut is here. */
  covers({ ahead }: Cut): boolean {
    return this.evictedUpTo === 0 || ahead.some(({ node, seq }) => node === this.node && seq >= this.evictedUpTo);
  }

  /** What a recipient is to be given of the entries that are not in a cut, oldest first. */
  entriesFor(recipient: Recipient, cut: Cut): OwnEntry[] {
    const index = this.indexed();
    return index
      .placesFor(recipient.nsp, recipient.rooms)
      .map((place) => this.at(place))
      .filter((entry) => isFor(entry, recipient) && !entry.isDropped && !isInCut(entry, cut));
  }

  /** The newest entry for a recipient's rooms. */
  lastFor({ nsp, rooms }: Recipient): OwnEntry | undefined {
    if (this.length === 0) {
      return undefined;
    }
    const index = this.indexed();
    let last = index.newestFor(nsp, '') ?? 0;
    for (const room of rooms) {
      last = Math.max(last, index.newestFor(nsp, room) ?? 0);
    }
    return last === 0 ? undefined : this.at(last);
  }

  private indexed(): RoomIndex {
    const index = (this.index ??= this.indexOfAll());
    for (const entry of this.unindexed) {
      index.add(entry.place, entry);
    }
    this.unindexed = [];
    return index;
  }

  private indexOfAll(): RoomIndex {
    const index = new RoomIndex();
    for (const entry of this.entries) {
      index.add(entry.place, entry);
    }
    return index;
  }

  /** @param place - of an entry that is here */
  private at(place: number): OwnEntry {
    return this.entries.at(place - this.entries.peek()!.place)!;
  }

  private shift(): OwnEntry | undefined {
    const entry = this.entries.shift();
    if (!entry) {
      return undefined;
    }
    this.byteCount -= entry.bytes;
    if (this.length === 0) {
      this.index = undefined;
      this.unindexed = [];
    } else if (this.index) {
      this.indexed().removeOldest({ origin: entry.origin });
    }
    return entry;
  }
}
