import { decodeEntry, EntryType, InvalidEntryError, type EventPacket, type LogEntry, type WireOptions } from './entry.js';
import { compareStreamIds, STREAM_START, type StreamId } from './stream-id.js';

export interface ReplayLogOptions {
  /** How many entries are kept. */
  maxEntries: number;
  /** About how many bytes of entries are kept. */
  maxBytes: number;
}

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

/** Where older entries come from: the stream itself. */
export interface OlderEntries {
  /** The id of the oldest entry that there is. */
  oldest(): Promise<StreamId | undefined>;
  /** Entries with ids in `(id, upTo]`, oldest first, and the id of the last one read; undefined if there are none. */
  after(id: StreamId, upTo: StreamId, count: number): Promise<{ entries: LogEntry[]; last: StreamId | undefined }>;
}

/** How many rooms are remembered after their last entry left the log. */
const MAX_ROOMS = 20_000;
const READ_COUNT = 1_000;

/**
 * The recent part of the log, in memory: all broadcasts with an id in `(floor, end]`, so that what a client missed is
 * found without asking Redis.
 *
 * What is older, but still in the stream, is read from Redis once, in batches, for all who need it, and kept like the
 * rest. Of what has left the log, the last id for each room is remembered, to tell whether anything that a quiet
 * client should have been given is gone.
 */
export class ReplayLog {
  private entries: LogEntry[] = [];
  private head = 0;
  private byteCount = 0;
  /** Entries up to this id are not here. */
  private floor: StreamId | undefined;
  /** Entries that are neither here nor in {@link lastLeft} have ids up to this one. */
  private forgotten: StreamId | undefined;
  /** The id of the last entry that left the log, by namespace and room; the empty room stands for all sockets. */
  private readonly lastLeft = new Map<string, StreamId>();
  /** The id of the last entry that was read, by namespace and room. */
  private readonly lastRead = new Map<string, StreamId>();
  /** Entries for rooms that are not in {@link lastRead} have ids up to this one. */
  private untold: StreamId = STREAM_START;
  private filling: Promise<void> | undefined;
  private readingOlder: Promise<void> = Promise.resolve();
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

  /** Forgets everything: what lies before `position` is not the whole. */
  restart(position: StreamId): void {
    this.entries = [];
    this.head = 0;
    this.byteCount = 0;
    this.lastLeft.clear();
    this.lastRead.clear();
    this.untold = STREAM_START;
    this.floor = this.forgotten = position;
    this.generation++;
  }

  push(entry: LogEntry): void {
    if (entry.type === EntryType.Broadcast) {
      this.untold = max(this.untold, note(entry, this.lastRead));
      this.entries.push(entry);
      this.byteCount += weight(entry);
      this.evict();
    }
  }

  /**
   * What a client missed after the entry `offset`, oldest first; undefined if that cannot be known, or part of it is
   * gone. If it is known, `onComplete` is called in the same turn in which the last entry was looked at, so that the
   * caller can hold what comes next.
   */
  async missedSince(offset: StreamId, recipient: Recipient, onComplete: () => void): Promise<LogEntry[] | undefined> {
    if (this.floor === undefined) {
      return undefined;
    }
    const { generation } = this;
    const missed: LogEntry[] = [];
    if (this.lacks(offset, recipient)) {
      await this.fill(offset);
      if (generation === this.generation && this.lacks(offset, recipient)) {
        const older = await this.readOlderFor(offset, recipient);
        if (!older) {
          return undefined;
        }
        missed.push(...older.missed);
        offset = older.upTo;
      }
      if (generation !== this.generation) {
        return undefined;
      }
    }
    for (let i = this.indexAfter(offset); i < this.entries.length; i++) {
      const entry = this.entries[i]!;
      if (isFor(entry, recipient)) {
        missed.push(entry);
      }
    }
    onComplete();
    return missed;
  }

  /** Whether an entry after `offset` that is not here may have been for the recipient. */
  private lacks(offset: StreamId, recipient: Recipient): boolean {
    return compareStreamIds(offset, this.floor!) < 0 && this.mayHaveLeft(offset, recipient);
  }

  /** Whether an entry after `offset` and up to the floor, which is not here, may have been for the recipient. */
  private mayHaveLeft(offset: StreamId, { nsp, rooms }: Recipient): boolean {
    if (compareStreamIds(offset, this.forgotten!) < 0) {
      return true;
    }
    const left = (room: string): boolean => {
      const id = this.lastLeft.get(key(nsp, room));
      return id !== undefined && compareStreamIds(id, offset) > 0;
    };
    return left('') || [...rooms].some(left);
  }

  private indexAfter(offset: StreamId): number {
    let low = this.head;
    let high = this.entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareStreamIds(this.entries[middle]!.id, offset) <= 0) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  /** Brings the floor down to the oldest entry of the stream, as far as the bounds allow. */
  private async fill(offset: StreamId): Promise<void> {
    await this.filling;
    if (compareStreamIds(offset, this.floor!) < 0 && this.size < this.options.maxEntries) {
      this.filling ??= this.readOlder().finally(() => (this.filling = undefined));
      await this.filling;
    }
  }

  /** Reads what one recipient missed of the entries that are too many to keep; undefined if some are gone. */
  private async readOlderFor(
    offset: StreamId,
    recipient: Recipient,
  ): Promise<{ missed: LogEntry[]; upTo: StreamId } | undefined> {
    const before = this.readingOlder;
    let done!: () => void;
    this.readingOlder = new Promise<void>((resolve) => (done = resolve));
    await before; // one at a time
    try {
      const missed: LogEntry[] = [];
      const seen = new Map<string, number>();
      let upTo = offset;
      while (compareStreamIds(upTo, this.floor!) < 0) {
        const floor = this.floor!;
        const { entries, last } = await this.older.after(upTo, floor, READ_COUNT);
        const oldest = await this.older.oldest();
        if (oldest === undefined || compareStreamIds(oldest, upTo) > 0) {
          return undefined; // trimmed past what had been read
        }
        missed.push(...entries.filter((entry) => isFirst(entry, seen) && isFor(entry, recipient)));
        upTo = last ?? floor;
      }
      return { missed, upTo };
    } finally {
      done();
    }
  }

  private async readOlder(): Promise<void> {
    const generation = this.generation;
    const upTo = this.floor!;
    const oldest = await this.older.oldest();
    if (oldest === undefined || compareStreamIds(oldest, upTo) > 0) {
      return;
    }
    let read: LogEntry[] = [];
    // All after the stream's oldest entry will be known. What lay before it, nobody knows.
    const beforeOldest = predecessor(oldest);
    let floor = beforeOldest;
    const seen = new Map<string, number>();
    for (let at: StreamId | undefined = STREAM_START; ; ) {
      const batch: Awaited<ReturnType<OlderEntries['after']>> = await this.older.after(at, upTo, READ_COUNT);
      at = batch.last;
      if (at === undefined) {
        break;
      }
      for (const entry of batch.entries) {
        if (entry.type === EntryType.Broadcast && isFirst(entry, seen)) {
          read.push(entry);
        }
      }
      // Trimmed while it was read, or too much to keep: the newest of it is what counts.
      const surplus = read.length + this.size - this.options.maxEntries;
      if (surplus > 0) {
        this.noteLeft(read.slice(0, surplus));
        floor = read[surplus - 1]?.id ?? upTo;
        read = read.slice(surplus);
      }
    }
    if (generation !== this.generation || this.floor !== upTo) {
      return; // the log was restarted, or has shed entries meanwhile: what was read no longer joins it
    }
    this.entries = [...read, ...this.entries.slice(this.head)];
    this.head = 0;
    for (const entry of read) {
      this.byteCount += weight(entry);
    }
    this.forgotten = min(this.forgotten!, beforeOldest);
    this.floor = floor;
    this.evict();
  }

  private evict(): void {
    const { maxEntries, maxBytes } = this.options;
    while (this.size > maxEntries || (this.byteCount > maxBytes && this.size > 0)) {
      const entry = this.entries[this.head]!;
      this.entries[this.head++] = undefined as never;
      this.byteCount -= weight(entry);
      this.floor = entry.id;
      this.noteLeft([entry]);
    }
    if (this.head > 1_024 && this.head * 2 > this.entries.length) {
      this.entries = this.entries.slice(this.head);
      this.head = 0;
    }
  }

  private noteLeft(entries: readonly LogEntry[]): void {
    for (const entry of entries) {
      const dropped = note(entry, this.lastLeft);
      this.forgotten = max(this.forgotten!, dropped);
    }
  }

  /**
   * The id of an entry at or after the last one for the recipient that was read after `since`; `since` itself if there
   * was none.
   */
  lastFor({ nsp, rooms }: Recipient, since: StreamId): StreamId {
    let last = since;
    for (const room of ['', ...rooms]) {
      last = max(last, this.lastRead.get(key(nsp, room)) ?? this.untold);
    }
    return last;
  }
}

/** Notes an entry as the last one of its rooms. Returns the id that was dropped for want of room, if one was. */
function note(entry: LogEntry, lastByRoom: Map<string, StreamId>): StreamId {
  for (const room of entry.rooms?.length ? entry.rooms : ['']) {
    const name = key(entry.nsp, room);
    lastByRoom.delete(name);
    lastByRoom.set(name, entry.id);
  }
  let dropped = STREAM_START;
  while (lastByRoom.size > MAX_ROOMS) {
    const [name, id] = lastByRoom.entries().next().value!;
    lastByRoom.delete(name);
    dropped = id;
  }
  return dropped;
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

function isFirst({ origin }: LogEntry, seen: Map<string, number>): boolean {
  if (!origin) {
    return true;
  }
  if ((seen.get(origin.node) ?? 0) >= origin.seq) {
    return false;
  }
  seen.set(origin.node, origin.seq);
  return true;
}

function weight(entry: LogEntry): number {
  return 256 + entry.data.length + (entry.rooms?.length ?? 0) * 32;
}

function key(nsp: string, room: string): string {
  return `${nsp}\u0000${room}`;
}

function predecessor(id: StreamId): StreamId {
  const [ms, seq] = id.split('-') as [string, string];
  if (seq !== '0') {
    return `${ms}-${BigInt(seq) - 1n}`;
  }
  return ms === '0' ? STREAM_START : `${BigInt(ms) - 1n}-18446744073709551615`;
}

function min(a: StreamId, b: StreamId): StreamId {
  return compareStreamIds(a, b) <= 0 ? a : b;
}

function max(a: StreamId, b: StreamId): StreamId {
  return compareStreamIds(a, b) >= 0 ? a : b;
}
