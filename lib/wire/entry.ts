import { hasBinary } from './binary.js';
import { decodeMsgpack, encodeMsgpack } from './msgpack.js';
import { EVENT } from './requests.js';
import { isNodeId, nodeOf } from './server-uid.js';
import type { StreamId } from './stream-id.js';
import { isSameText, isText, RecurringText, toWholeNumber, type Text } from './text.js';

/**
 * The types of message that the log holds. Their numbers are those of socket.io-adapter's cluster adapter; its other
 * types travel by PUB/SUB.
 */
export const EntryType = {
  Broadcast: 3,
  SocketsJoin: 4,
  SocketsLeave: 5,
  DisconnectSockets: 6,
} as const;

/** Which sockets a message is for, as it goes over the wire. */
export interface WireOptions {
  rooms: string[];
  except: string[];
  flags: Record<string, unknown>;
}

/** A Socket.IO event packet without its namespace. */
export interface EventPacket {
  type: number;
  data: unknown[];
  id?: number;
}

/** What is appended to the log. `uid` names the server that sent it, `nsp` the namespace. */
export type LogMessage = { uid: string; nsp: string } & (
  | { type: typeof EntryType.Broadcast; data: { packet: EventPacket; opts: WireOptions } }
  | { type: typeof EntryType.SocketsJoin | typeof EntryType.SocketsLeave; data: { opts: WireOptions; rooms: string[] } }
  | { type: typeof EntryType.DisconnectSockets; data: { opts: WireOptions; close: boolean } }
);

/** Who appended an entry, and as which of its entries in this stream, counted from 1. */
export interface Origin {
  node: string;
  seq: number;
}

/** Appended to a node's id, it names the lane of what overtakes: entries that are delivered here before others of the node. */
export const DIRECT_LANE = '~';

/** An entry of this node that has not been read back: its id is not known. */
export type UnreadEntry = Omit<LogEntry, 'id'> & { readonly id?: undefined };

/** An entry of the log as it was read, its `data` not yet decoded. */
export interface LogEntry {
  readonly id: StreamId;
  readonly uid: string;
  readonly nsp: string;
  readonly type: number;
  /** Undecoded: JSON, or base64 of MessagePack. */
  readonly data: string;
  /** Absent on entries of the reference adapter. */
  readonly origin?: Origin | undefined;
  /** The rooms that it is for; empty: all sockets; absent on entries of the reference adapter: decode to know. */
  readonly rooms?: readonly string[] | undefined;
  /**
   * The number of the entry that its publisher appended before it; undefined if that is the number before its own. Those
   * in between were dropped by the publisher: nobody has them.
   */
  readonly prev?: number | undefined;
  /** Whether it may be the second copy of an entry, because the answer to the first was lost. */
  readonly isResent?: boolean | undefined;
}

/** An entry that cannot be understood. It is passed over. */
export class InvalidEntryError extends Error {
  override readonly name = 'InvalidEntryError';
}

/** The fields of an entry. The first four are those of the reference. There are no rooms if it is for all. */
const FIELDS = ['uid', 'nsp', 'type', 'data', 'rooms', 'seq', 'prev', 'resent'] as const;

/** Which types of value may hold binary data. */
export interface EncodeOptions {
  /** Skips the search for binary data. */
  onlyPlaintext: boolean;
}

/**
 * The fields of an entry but for its sequence number, which is known only when it is sent: names and values by turns.
 *
 * @throws TypeError if the message cannot be serialized (a BigInt, a circular reference)
 */
export function encodeMessage(message: LogMessage, { onlyPlaintext }: EncodeOptions): string[] {
  const { uid, nsp, type } = message;
  const { rooms } = message.data.opts;
  const binary = type === EntryType.Broadcast && !onlyPlaintext && hasBinary(message.data.packet.data);
  const data = binary ? encodeMsgpack(message.data).toString('base64') : JSON.stringify(message.data);
  const fields = ['uid', uid, 'nsp', nsp, 'type', String(type), 'data', data];
  if (rooms.length > 0) {
    fields.push('rooms', JSON.stringify(rooms));
  }
  return fields;
}

/**
 * The fields that make known which of its publisher's entries in this stream it is.
 *
 * @param node - the id of the node, with {@link DIRECT_LANE} if it is of that lane
 * @param prev - the number of the entry that was appended before it; 0 if there was none
 * @param isResent - whether it may be in the stream already
 */
export function encodeOrigin(node: string, seq: number, prev: number, isResent: boolean): string[] {
  const lane = node.endsWith(DIRECT_LANE) ? DIRECT_LANE : '';
  const fields = ['seq', `${lane}${seq}`];
  if (prev !== seq - 1) {
    fields.push('prev', String(prev));
  }
  if (isResent) {
    fields.push('resent', '1');
  }
  return fields;
}

/**
 * Reads the fields of an entry, names and values by turns, which anybody who can write to the stream may have written.
 *
 * @throws InvalidEntryError
 */
export function parseEntry(id: StreamId, fields: readonly unknown[]): LogEntry {
  let uid, nsp, type, data, rooms, seq, prev, resent: unknown;
  let expected = 0;
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const value = fields[i + 1];
    const field = indexOfField(fields[i], expected);
    expected = field + 1;
    switch (FIELDS[field]) {
      case 'uid':
        uid = value;
        break;
      case 'nsp':
        nsp = value;
        break;
      case 'type':
        type = value;
        break;
      case 'data':
        data = value;
        break;
      case 'rooms':
        rooms = value;
        break;
      case 'seq':
        seq = value;
        break;
      case 'prev':
        prev = value;
        break;
      case 'resent':
        resent = value;
        break;
      case undefined: // somebody else's
        break;
    }
  }
  if (!isText(uid) || !isText(nsp) || !isText(type)) {
    throw new InvalidEntryError('an entry without the fields "uid", "nsp" and "type"');
  }
  const publisher = publisherOf(uid);
  return {
    id,
    uid: publisher.uid,
    nsp: namespaces.stringOf(nsp),
    type: parseType(type),
    data: isText(data) ? data.toString() : '',
    origin: isText(seq) ? parseOrigin(publisher, seq) : undefined,
    rooms: isText(rooms) ? parseRooms(rooms.toString()) : isText(seq) ? ALL : undefined,
    prev: isText(prev) ? parsePrev(prev) : undefined,
    isResent: isText(resent),
  };
}

/** @param expected - where it probably is: fields are mostly in this order */
function indexOfField(name: unknown, expected: number): number {
  for (let n = 0; n < FIELDS.length; n++) {
    const i = (expected + n) % FIELDS.length;
    if (isSameText(name, FIELDS[i]!)) {
      return i;
    }
  }
  return -1;
}

const ALL: readonly string[] = [];
const namespaces = new RecurringText();

function parseType(text: Text): number {
  const type = toWholeNumber(text);
  if (Number.isNaN(type)) {
    throw new InvalidEntryError('the field "type" is no number');
  }
  return type;
}

interface Publisher {
  uid: string;
  /** Undefined if the uid is not of a node. */
  node: string | undefined;
  /** Its second lane. */
  direct: string;
}

let lastPublisher: Publisher = { uid: '', node: undefined, direct: '' };

/** Entries come in runs of one publisher, and many are kept for a while: they share these strings. */
function publisherOf(text: Text): Publisher {
  if (!isSameText(text, lastPublisher.uid)) {
    const uid = text.toString();
    const node = nodeOf(uid);
    lastPublisher = { uid, node: isNodeId(node) ? node : undefined, direct: node + DIRECT_LANE };
  }
  return lastPublisher;
}

function parsePrev(text: Text): number | undefined {
  const prev = toWholeNumber(text);
  return Number.isSafeInteger(prev) ? prev : undefined;
}

function parseOrigin({ node, direct }: Publisher, text: Text): Origin {
  if (node !== undefined && isDirect(text)) {
    return originOf(direct, toWholeNumber(text.slice(DIRECT_LANE.length)));
  }
  return originOf(node, toWholeNumber(text));
}

function isDirect(text: Text): boolean {
  return typeof text === 'string' ? text.startsWith(DIRECT_LANE) : text[0] === DIRECT_LANE.charCodeAt(0);
}

function originOf(node: string | undefined, seq: number): Origin {
  if (node === undefined || !Number.isSafeInteger(seq) || seq < 1) {
    throw new InvalidEntryError('the field "seq" is no number, or the uid with it is not of a node');
  }
  return { node, seq };
}

/** How many lists of rooms are known, at most. */
const MAX_KNOWN_ROOMS = 4_096;
const knownRooms = new Map<string, readonly string[]>();

/** The same rooms recur, and many entries are kept for a while: they share these arrays. */
function parseRooms(value: string): readonly string[] {
  let rooms = knownRooms.get(value);
  if (!rooms) {
    rooms = toRooms(parseJson(value));
    if (knownRooms.size === MAX_KNOWN_ROOMS) {
      knownRooms.clear();
    }
    if (value.length < 256) {
      knownRooms.set(value, rooms);
    }
  }
  return rooms;
}

function toRooms(value: unknown): string[] {
  if (!isRooms(value)) {
    throw new InvalidEntryError('the field "rooms" is not an array of room names');
  }
  return value;
}

/**
 * The message of an entry, or undefined if it is of a type that this version does not know.
 *
 * @throws InvalidEntryError
 */
export function decodeEntry(entry: Pick<LogEntry, 'uid' | 'nsp' | 'type' | 'data'>): LogMessage | undefined {
  const { uid, nsp, type } = entry;
  if (!isEntryType(type)) {
    return undefined;
  }
  const data = decodeData(entry.data);
  if (!isRecord(data)) {
    throw new InvalidEntryError('the field "data" holds no object');
  }
  const opts = toWireOptions(data.opts);
  switch (type) {
    case EntryType.Broadcast:
      return { uid, nsp, type, data: { packet: toPacket(data.packet), opts } };
    case EntryType.DisconnectSockets:
      return { uid, nsp, type, data: { close: data.close === true, opts } };
    default:
      if (!isRooms(data.rooms)) {
        throw new InvalidEntryError('"rooms" is not an array of room names');
      }
      return { uid, nsp, type, data: { rooms: data.rooms, opts } };
  }
}

function isEntryType(type: number): type is LogMessage['type'] {
  return type >= EntryType.Broadcast && type <= EntryType.DisconnectSockets;
}

function decodeData(data: string): unknown {
  if (data.startsWith('{')) {
    return parseJson(data);
  }
  try {
    return decodeMsgpack(Buffer.from(data, 'base64'));
  } catch (cause) {
    throw new InvalidEntryError(`the field "data" is neither JSON nor base64 of MessagePack: ${String(cause)}`, {
      cause,
    });
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new InvalidEntryError(`broken JSON: ${String(cause)}`, { cause });
  }
}

/** @throws InvalidEntryError */
export function toWireOptions(value: unknown): WireOptions {
  if (!isRecord(value) || !isRooms(value.rooms) || !isRooms(value.except)) {
    throw new InvalidEntryError('"opts" has no "rooms" and "except" that are arrays of room names');
  }
  return { rooms: value.rooms, except: value.except, flags: isRecord(value.flags) ? value.flags : {} };
}

/** @throws InvalidEntryError */
export function toPacket(value: unknown): EventPacket {
  if (!isRecord(value) || value.type !== EVENT || !Array.isArray(value.data) || value.data.length === 0) {
    throw new InvalidEntryError('"packet" is not an event packet');
  }
  const packet: EventPacket = { type: EVENT, data: value.data as unknown[] };
  if (typeof value.id === 'number') {
    packet.id = value.id;
  }
  return packet;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Rooms are strings; Socket.IO lets numbers pass, and so do we. */
function isRooms(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string' || typeof item === 'number');
}
