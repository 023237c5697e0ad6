import { RawReply } from './resp/resp-pipe.js';

/** An entry as Redis tells it: its id and its fields, names and values by turns. */
export interface RawEntry {
  id: string;
  fields: unknown[];
}

/** The entries of a reply to `XRANGE` or `XREVRANGE`. */
export function toEntries(reply: unknown): RawEntry[] {
  return asArray(decoded(reply)).map(toEntry);
}

function toEntry(entry: unknown): RawEntry {
  const [id, fields] = asArray(entry);
  return { id: String(id), fields: flatten(fields) };
}

/**
 * The entries of a reply to `XREAD` of one stream. In RESP2 it is an array of pairs; in RESP3 a map, which clients give
 * as a `Map`, an object, or an array of keys and values by turns.
 */
export function toStreamEntries(raw: unknown): RawEntry[] {
  const reply = decoded(raw);
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

/** The fields of a reply to `XINFO STREAM`. */
export function toInfo(reply: unknown): Map<string, unknown> {
  const flat = flatten(decoded(reply));
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

function decoded(reply: unknown): unknown {
  return reply instanceof RawReply ? reply.cursor().decode(true) : reply;
}

function asArray(value: unknown): unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : [];
}
