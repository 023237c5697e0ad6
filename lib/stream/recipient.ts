import { EntryType, type LogEntry, type UnreadEntry } from '../wire/entry.js';
import { targetOf } from './broadcast.js';
import type { EntryIdentity } from './room-index.js';

/** A client of a namespace, as far as it decides what it would have been given. */
export interface Recipient {
  readonly nsp: string;
  /** All rooms that it was in at some time. */
  readonly rooms: Iterable<string>;
  /** Whether it was in a room when the entry was delivered, which has no id as long as it has not been read back. */
  wasIn(room: string, entry: EntryIdentity): boolean;
}

/** Whether a recipient of these rooms is given this entry. */
export function isFor(entry: LogEntry | UnreadEntry, recipient: Recipient): boolean {
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
