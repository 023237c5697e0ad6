import {
  decodeEntry,
  EntryType,
  type EventPacket,
  type LogEntry,
  type UnreadEntry,
  type WireOptions,
  sizeOfData,
} from '../wire/entry.js';
import { InvalidEntryError } from '../wire/invalid-entry-error.js';

export interface Broadcast {
  packet: EventPacket;
  opts: WireOptions;
}

/** For which clients a broadcast is: null if it cannot be decoded, or is for nobody who is recovered. */
export type Target = { readonly rooms: readonly string[]; readonly except: readonly string[] } | null;

type Entry = LogEntry | UnreadEntry;

/** How many broadcasts, and how many characters of them, are kept decoded: they take about ten times as many bytes. */
const MAX_DECODED_BROADCASTS = 1_024;
const MAX_DECODED_CHARACTERS = 1024 * 1024;

/** How many rooms that are excepted are kept for each entry. */
const MAX_KEPT_EXCEPT_ROOMS = 16;

const NONE: readonly string[] = [];
const EVERYBODY: Target = { rooms: NONE, except: NONE };
const targets = new WeakMap<Entry, Target>();
/** The broadcasts decoded last, the latest at the end. */
const decoded = new Map<Entry, Broadcast>();
let decodedLength = 0;

/** For whom the broadcast of an entry is; kept as long as the entry is, if it is small. */
export function targetOf(entry: Entry): Target {
  let target = targets.get(entry);
  if (target === undefined) {
    const broadcast = broadcastOf(entry);
    target = broadcast && broadcast.packet.id === undefined ? toTarget(entry, broadcast.opts) : null;
    if ((target?.except.length ?? 0) <= MAX_KEPT_EXCEPT_ROOMS) {
      targets.set(entry, target);
    }
  }
  return target;
}

/** The rooms are shared with the entry where that says them, so that they are not kept twice. */
function toTarget({ rooms: known }: Entry, { rooms, except }: WireOptions): Target {
  if (rooms.length === 0 && except.length === 0) {
    return EVERYBODY;
  }
  const isKnown = known?.length === rooms.length && rooms.every((room, i) => room === known[i]);
  return { rooms: isKnown ? known : rooms, except: except.length > 0 ? except : NONE };
}

/**
 * The decoded broadcast of an entry; undefined if it is none or cannot be decoded. Several clients are mostly given the same
 * ones in turn, so those decoded last are kept.
 */
export function broadcastOf(entry: Entry): Broadcast | undefined {
  let broadcast = decoded.get(entry);
  if (!broadcast) {
    broadcast = decodeBroadcast(entry);
    if (broadcast) {
      keep(entry, broadcast);
    }
  }
  return broadcast;
}

function keep(entry: Entry, broadcast: Broadcast): void {
  decoded.set(entry, broadcast);
  decodedLength += sizeOfData(entry);
  for (const oldest of decoded.keys()) {
    if (decoded.size <= MAX_DECODED_BROADCASTS && decodedLength <= MAX_DECODED_CHARACTERS) {
      break;
    }
    decoded.delete(oldest);
    decodedLength -= sizeOfData(oldest);
  }
}

function decodeBroadcast(entry: Entry): Broadcast | undefined {
  try {
    const message = decodeEntry(entry);
    return message?.type === EntryType.Broadcast ? message.data : undefined;
  } catch (error) {
    if (error instanceof InvalidEntryError) {
      return undefined; // was reported when it was read
    }
    throw error;
  }
}
