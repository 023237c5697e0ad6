import { RESP, RespCursor } from './resp/resp-cursor.js';
import { RawReply } from './resp/raw-reply.js';

/** An entry as Redis returns it: its id and its fields, names and values by turns. */
export interface RawEntry {
  id: string;
  fields: readonly unknown[] | FieldsInReply;
}

/** Where the fields of an entry lie in a reply. */
export class FieldsInReply {
  constructor(
    private readonly bytes: Buffer,
    private readonly at: number,
    /** How many names and values there are. */
    readonly count: number,
    /** How many bytes they take. */
    readonly size: number,
  ) {}

  cursor(): RespCursor {
    return new RespCursor(this.bytes, this.at);
  }

  copyTo(target: Buffer, offset: number): void {
    this.bytes.copy(target, offset, this.at, this.at + this.size);
  }
}

/** The entries of a reply to `XRANGE` or `XREVRANGE`. */
export function toEntries(reply: unknown): RawEntry[] {
  return reply instanceof RawReply ? entriesAt(reply.cursor()) : asArray(reply).map(toEntry);
}

function toEntry(entry: unknown): RawEntry {
  const [id, fields] = asArray(entry);
  return { id: String(id), fields: flatten(fields) };
}

/**
 * The entries of a reply to `XREAD` of one stream. In RESP2 it is an array of pairs; in RESP3 a map, which clients give
 * as a `Map`, an object, or an array of keys and values by turns.
 */
export function toStreamEntries(reply: unknown): RawEntry[] {
  if (reply instanceof RawReply) {
    const cursor = reply.cursor();
    cursor.next();
    if (cursor.type === RESP.array) {
      cursor.next(); // the pair of the stream and its entries
    }
    cursor.next(); // the name of the stream
    return entriesAt(cursor);
  }
  if (reply === null || reply === undefined) {
    return [];
  }
  if (reply instanceof Map) {
    return toEntries(reply.values().next().value);
  }
  if (!Array.isArray(reply)) {
    return toEntries(Object.values(reply)[0]);
  }
  const [first, second] = reply as unknown[];
  return toEntries(Array.isArray(first) ? first[1] : second);
}

/** The entries in the array that a cursor comes to next. Their fields are passed over. */
function entriesAt(cursor: RespCursor): RawEntry[] {
  cursor.next();
  const entries: RawEntry[] = [];
  for (let left = cursor.size; left > 0; left--) {
    cursor.next(); // the pair of id and fields
    cursor.next();
    const id = cursor.text();
    cursor.next();
    const { at } = cursor;
    const count = Math.max(0, cursor.size); // none: the entry was deleted while it was read
    for (let i = 0; i < count; i++) {
      cursor.next();
    }
    entries.push({ id, fields: new FieldsInReply(cursor.bytes, at, count, cursor.at - at) });
  }
  return entries;
}

/** The fields of a reply to `XINFO STREAM`. */
export function toInfo(reply: unknown): Map<string, unknown> {
  const flat = flatten(reply instanceof RawReply ? reply.cursor().decode(false) : reply);
  const info = new Map<string, unknown>();
  for (let i = 0; i + 1 < flat.length; i += 2) {
    info.set(String(flat[i]), flat[i + 1]);
  }
  return info;
}

function flatten(map: unknown): unknown[] {
  if (Array.isArray(map)) {
    return Array.isArray(map[0]) ? (map as unknown[]).flat() : (map as unknown[]);
  }
  if (map instanceof Map) {
    return [...map].flat();
  }
  return typeof map === 'object' && map !== null ? Object.entries(map).flat() : [];
}

function asArray(value: unknown): unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : [];
}
