import { encodeText } from '../redis/resp/encode-command.js';
import { FieldsInReply } from '../redis/stream-reply.js';
import { weightOf, type LogEntry, type Origin } from '../wire/entry.js';
import { fieldsInBytes, parseEntry, toFields, type FieldsInBytes } from '../wire/parse-entry.js';
import { compareStreamIds, type StreamId } from '../wire/stream-id.js';
import { binarySearch } from './binary-search.js';

/** Bytes of the pieces of memory in which entries lie, one behind the other. */
const SLAB_BYTES = 128 * 1024;
/** An entry of more bytes has a piece of its own. */
const LARGE_BYTES = SLAB_BYTES / 8;
/** How many pieces that hold nothing any more are kept for what comes next. */
const MAX_SPARE_SLABS = 4;
/** For how many entries there are slots at first: a power of two, and few, for without recovery there are none. */
const FIRST_CAPACITY = 64;

/** The numbers that are kept of each entry, by their places in its part of {@link PackedEntries.numbers}. */
const OFFSET = 0;
const SIZE = 1;
const COUNT = 2;
const SEQ = 3;
const WEIGHT = 4;
const NUMBERS = 5;

/**
 * Entries in the order of their ids, as the bytes that they consist of.
 *
 * Thousands of them come each second and stay for some seconds. As objects they would be what the garbage collector has most
 * to do with: it copies what stays, and nothing else runs meanwhile. So an entry is made an object of only if somebody asks
 * for it, and then it is kept as one for the next who asks. Only its id is kept as the string that it came as: it is asked for
 * when the entry leaves. The pieces of memory are used again: what is taken from outside of the heap counts for the time of
 * the next full collection, which would come every two seconds.
 *
 * Each has a place: a number, larger by one than that of the entry before.
 */
export class PackedEntries {
  /** The place of the oldest entry. */
  private begin = 0;
  /** The place of the next entry that is pushed. */
  private end = 0;
  /** About how many bytes the entries take. */
  private weight = 0;
  /** How many slots there are: a power of two. The entry at a place is in the slot of that number, modulo this. */
  private capacity = FIRST_CAPACITY;
  /** By slot: the id of an entry. */
  private ids: (StreamId | undefined)[] = slots(FIRST_CAPACITY);
  /** By slot: what its fields lie in. */
  private slabs: (Buffer | undefined)[] = slots(FIRST_CAPACITY);
  /** By slot, NUMBERS for each. */
  private numbers = new Float64Array(FIRST_CAPACITY * NUMBERS);
  /** By slot: which publisher numbered an entry, if one did. */
  private nodes: (string | undefined)[] = slots(FIRST_CAPACITY);
  /** By place: the entries that somebody has asked for. */
  private readonly made = new Map<number, LogEntry>();
  /** What the next entry is written to. */
  private slab: Buffer | undefined;
  /** Where in it. */
  private written = 0;
  /** Pieces that hold nothing any more. */
  private readonly spare: Buffer[] = [];
  /** Pieces of which entries were made: whoever has those may keep them. */
  private readonly lent = new WeakSet<Buffer>();

  constructor(entries: Iterable<LogEntry> = []) {
    for (const entry of entries) {
      this.push(entry);
    }
  }

  get length(): number {
    return this.end - this.begin;
  }

  get bytes(): number {
    return this.weight;
  }

  /** The place of the oldest entry. */
  get first(): number {
    return this.begin;
  }

  /** Adds an entry that comes after all others. Returns its place. */
  push(entry: LogEntry): number {
    if (this.length === this.capacity) {
      this.grow();
    }
    const { id, origin } = entry;
    const fields = fieldsInBytes(entry) ?? inBytes(toFields(entry));
    const place = this.end++;
    const slot = this.slotOf(place);
    const slab = this.reserve(fields.size);
    const offset = this.written;
    fields.copyTo(slab, offset);
    this.written += fields.size;
    this.ids[slot] = id;
    this.slabs[slot] = slab;
    this.nodes[slot] = origin?.node;
    const at = slot * NUMBERS;
    const weight = weightOf(entry);
    this.numbers[at + OFFSET] = offset;
    this.numbers[at + SIZE] = fields.size;
    this.numbers[at + COUNT] = fields.count;
    this.numbers[at + SEQ] = origin?.seq ?? 0;
    this.numbers[at + WEIGHT] = weight;
    this.weight += weight;
    return place;
  }

  /** Removes the oldest. There must be one. Returns what is left of it. */
  shift(): Pick<LogEntry, 'id' | 'origin'> {
    const place = this.begin;
    const slot = this.slotOf(place);
    const removed = { id: this.idAt(place), origin: this.originAt(slot) };
    const slab = this.slabs[slot]!;
    this.weight -= this.numberAt(slot, WEIGHT);
    this.ids[slot] = this.slabs[slot] = this.nodes[slot] = undefined;
    if (this.made.size > 0) {
      this.made.delete(place);
    }
    this.begin++;
    if (slab !== this.slab && slab !== this.slabs[this.slotOf(this.begin)]) {
      this.reuse(slab);
    }
    return removed;
  }

  /** The entry at a place: the same object each time. */
  at(place: number): LogEntry {
    const slot = this.slotOf(place);
    let entry = this.made.get(place);
    if (!entry) {
      const from = this.numberAt(slot, OFFSET);
      const slab = this.slabs[slot]!;
      const fields = new FieldsInReply(slab, from, this.numberAt(slot, COUNT), this.numberAt(slot, SIZE));
      this.lent.add(slab);
      entry = parseEntry(this.idAt(place), fields);
      this.made.set(place, entry);
    }
    return entry;
  }

  /** The place of the first entry with a larger id than this; that of the next which is pushed if there is none. */
  placeAfter(id: StreamId): number {
    return binarySearch(this.begin, this.end, (place) => compareStreamIds(this.idAt(place), id) <= 0);
  }

  /** The entry with this id, if it is here. */
  find(id: StreamId): LogEntry | undefined {
    const place = this.placeAfter(id) - 1;
    return place >= this.begin && this.idAt(place) === id ? this.at(place) : undefined;
  }

  *[Symbol.iterator](): Iterator<LogEntry> {
    for (let place = this.begin; place < this.end; place++) {
      yield this.at(place);
    }
  }

  private slotOf(place: number): number {
    return place & (this.capacity - 1);
  }

  private numberAt(slot: number, which: number): number {
    return this.numbers[slot * NUMBERS + which]!;
  }

  private idAt(place: number): StreamId {
    return this.ids[this.slotOf(place)]!;
  }

  private originAt(slot: number): Origin | undefined {
    const node = this.nodes[slot];
    return node === undefined ? undefined : { node, seq: this.numberAt(slot, SEQ) };
  }

  /** What so many bytes are written to, from {@link written} on. */
  private reserve(bytes: number): Buffer {
    if (bytes > LARGE_BYTES) {
      this.written = 0;
      this.slab = undefined;
      return Buffer.allocUnsafeSlow(bytes);
    }
    if (!this.slab || this.written + bytes > this.slab.length) {
      this.slab = this.spare.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES);
      this.written = 0;
    }
    return this.slab;
  }

  /** @param slab - whose last entry has left */
  private reuse(slab: Buffer): void {
    if (slab.length === SLAB_BYTES && this.spare.length < MAX_SPARE_SLABS && !this.lent.has(slab)) {
      this.spare.push(slab);
    }
  }

  /** Doubles the number of slots. */
  private grow(): void {
    const { capacity, ids, slabs, numbers, nodes } = this;
    this.capacity *= 2;
    [this.ids, this.slabs, this.nodes] = [slots(this.capacity), slots(this.capacity), slots(this.capacity)];
    this.numbers = new Float64Array(this.capacity * NUMBERS);
    for (let place = this.begin; place < this.end; place++) {
      const from = place & (capacity - 1);
      const to = this.slotOf(place);
      this.ids[to] = ids[from];
      this.slabs[to] = slabs[from];
      this.nodes[to] = nodes[from];
      this.numbers.set(numbers.subarray(from * NUMBERS, (from + 1) * NUMBERS), to * NUMBERS);
    }
  }
}

function slots<T>(count: number): (T | undefined)[] {
  return new Array<T | undefined>(count).fill(undefined);
}

/** Fields as they lie in a reply: some clients return them as values only. */
function inBytes(fields: readonly string[]): FieldsInBytes {
  const bytes = Buffer.from(fields.map(encodeText).join(''));
  return new FieldsInReply(bytes, 0, fields.length, bytes.length);
}
