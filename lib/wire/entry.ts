import { randomBytes } from 'node:crypto';
import { hasBinary, ofFiniteDepth, toPlain } from './binary.js';
import { exceedsJson } from './carried.js';
import { InvalidEntryError } from './invalid-entry-error.js';
import { decodeMsgpack, encodeMsgpack } from './msgpack.js';
import { EVENT, problemOfEventName } from './requests.js';
import type { StreamId } from './stream-id.js';

/**
 * The types of message that the log contains. Their numbers are those of socket.io-adapter's cluster adapter; its other
 * types travel by PUB/SUB.
 */
export const EntryType = {
  Broadcast: 3,
  SocketsJoin: 4,
  SocketsLeave: 5,
  DisconnectSockets: 6,
  /** Comes from emitters of others only: servers send theirs by PUB/SUB. */
  ServerSideEmit: 9,
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

/** A packet that is, or was, in the log. */
export interface LoggedPacket extends EventPacket {
  /** The JSON of `data`, if that is known and carries all of it: it need not be made again for the clients. */
  json?: string | undefined;
}

/** What is appended to the log. `uid` names the server that sent it, `nsp` the namespace. */
export type LogMessage = { uid: string; nsp: string } & (
  | {
      type: typeof EntryType.Broadcast;
      data: { packet: LoggedPacket; opts: WireOptions };
      /**
       * The values of the packet are meant as they are (see `encodeMsgpack`), for the parser of the servers carries more
       * than JSON; otherwise, as Socket.IO's default parser, they are what JSON and binary data are.
       */
      exact?: boolean;
    }
  | { type: typeof EntryType.SocketsJoin | typeof EntryType.SocketsLeave; data: { opts: WireOptions; rooms: string[] } }
  | { type: typeof EntryType.DisconnectSockets; data: { opts: WireOptions; close: boolean } }
);

/** What can be read from the log besides. */
export type ForeignMessage = {
  uid: string;
  nsp: string;
  type: typeof EntryType.ServerSideEmit;
  data: { packet: unknown[] };
};

/** Who appended an entry, and as which of its entries in this stream, counted from 1. */
export interface Origin {
  node: string;
  seq: number;
}

/** An origin as a text. */
export function describeOrigin({ node, seq }: Origin): string {
  return `${node}:${seq}`;
}

/** Appended to a node's id, it names the lane of what overtakes: entries that are delivered here before others of the node. */
export const DIRECT_LANE = '~';

/** The node that has a lane. */
export function nodeOfLane(lane: string): string {
  return lane.endsWith(DIRECT_LANE) ? lane.slice(0, -DIRECT_LANE.length) : lane;
}

/** An entry of this node that has not been read back: its id is not known. */
export type UnreadEntry = Omit<LogEntry, 'id' | 'size'> & { readonly id?: undefined };

/** An entry of the log as it was read, its `data` not yet decoded. */
export interface LogEntry {
  readonly id: StreamId;
  readonly uid: string;
  readonly nsp: string;
  readonly type: number;
  /** Undecoded: JSON, or base64 of MessagePack. Of an entry that was read it may be made a string each time it is asked for. */
  readonly data: string;
  /** About how many bytes of memory `data` takes; see {@link sizeOfData}. */
  readonly size?: number;
  /** Absent on entries of the reference adapter. */
  readonly origin?: Origin | undefined;
  /** The rooms that it is for; empty: all sockets; absent on entries of the reference adapter: decode to know. */
  readonly rooms?: readonly string[] | undefined;
  /**
   * The number of the entry that its publisher appended before it; undefined if that is the number before its own. Those
   * in between were dropped by the publisher: nobody has them.
   */
  readonly prev?: number | undefined;
  /**
   * The number of the last request that its publisher has sent over PUB/SUB, in this namespace, before it appended the
   * entry; undefined if it has sent none since the entry before.
   */
  readonly bus?: number | undefined;
  /** The trace that it belongs to, as its publisher's telemetry wrote it; undefined if it carries none. */
  readonly trace?: string | undefined;
  /** Why it cannot be understood; undefined if it can, as far as it is not decoded. */
  readonly problem?: string | undefined;
  /** Whether it may be the second copy of an entry, because the answer to the first was lost. */
  readonly isResent?: boolean | undefined;
}

/** About how many bytes of memory the data of an entry takes. */
export function sizeOfData(entry: Pick<LogEntry, 'size' | 'data'>): number {
  return entry.size ?? sizeOfText(entry.data);
}

/** What a text has if V8 keeps two bytes for each of its characters. To look for it in one that has not costs nothing. */
const WIDE = /[\u0100-\uffff]/;

/** About how many bytes of memory an entry takes where it is kept, and found by its rooms. */
export function weightOf(entry: Pick<LogEntry, 'size' | 'data' | 'rooms'>): number {
  return 320 + sizeOfData(entry) + (entry.rooms?.length ?? 0) * 64;
}

export function sizeOfText(text: string): number {
  return text.length * (WIDE.test(text) ? 2 : 1);
}

/** How a message is encoded. */
export interface EncodeOptions {
  /** Skips the search for binary data. */
  onlyPlaintext: boolean;
  /** See {@link LogEntry.trace}. */
  trace?: string | undefined;
}

/**
 * The fields of an entry but for its sequence number, which is known only when it is sent: names and values by turns.
 *
 * @throws TypeError if the message cannot be serialized (a BigInt, a circular reference)
 */
export function encodeMessage(message: LogMessage, { onlyPlaintext, trace }: EncodeOptions): string[] {
  const { uid, nsp, type } = message;
  const { rooms } = message.data.opts;
  const binary = type === EntryType.Broadcast && !onlyPlaintext && isBeyondJson(message);
  const data = binary ? encodeBeyondJson(message).toString('base64') : encodeJson(message);
  const fields = ['uid', uid, 'nsp', nsp, 'type', String(type), 'data', data];
  if (rooms.length > 0) {
    fields.push('rooms', JSON.stringify(rooms));
  }
  if (trace !== undefined) {
    fields.push('trace', trace);
  }
  return fields;
}

/**
 * Of a broadcast, the JSON of the packet's data is kept with the packet: the clients here are given what all others are, also if
 * a getter or `toJSON` gives something else each time.
 */
function encodeJson(message: LogMessage): string {
  if (message.type !== EntryType.Broadcast) {
    return JSON.stringify(message.data);
  }
  const { packet, opts } = message.data;
  const json = ofFiniteDepth(() => JSON.stringify(packet.data));
  packet.json = message.exact ? undefined : json;
  return `${untilData(opts, packet.type)}${json}${AFTER_DATA}`;
}

/** The JSON of a broadcast up to the data of its packet, as {@link encodeJson} writes it. */
function untilData(opts: unknown, type: number): string {
  return `{"opts":${JSON.stringify(opts)},"packet":{"type":${type},"data":`;
}

/** What follows in it. */
const AFTER_DATA = '}}';

/**
 * The JSON of a packet's data, cut out of the JSON of its broadcast, which has been parsed; undefined if that does not look
 * as {@link encodeJson} writes it. (Somebody who names a key twice on purpose gets past this, and clients are sent what
 * is no packet. Who may write to the stream can do worse.)
 */
function dataJson(text: string, { opts, packet }: Record<string, unknown>): string | undefined {
  if (!text.startsWith('{"opts":') || Object.keys(packet as object).length !== 2) {
    return undefined;
  }
  const before = untilData(opts, EVENT);
  return text.startsWith(before) && text.endsWith(`]${AFTER_DATA}`)
    ? text.slice(before.length, -AFTER_DATA.length)
    : undefined;
}

type BroadcastMessage = Extract<LogMessage, { type: typeof EntryType.Broadcast }>;

function isBeyondJson({ data: { packet }, exact }: BroadcastMessage): boolean {
  return exact ? exceedsJson(packet.data) : hasBinary(packet.data);
}

function encodeBeyondJson({ data, exact }: BroadcastMessage): Buffer {
  return encodeMsgpack(exact ? data : toPlain(data));
}

/** The field for {@link LogEntry.bus}. */
export function encodeBus(bus: number | undefined): string[] {
  return bus === undefined ? [] : ['bus', String(bus)];
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

/** The rooms of a message as its readers will understand them. */
export function targetsOf({ data }: LogMessage): readonly string[] {
  const { rooms } = data.opts;
  return rooms.every(isRoom) ? rooms : toTargets(rooms);
}

/** A room that nobody is in, and nobody can join: it is known to this process only. */
const NOBODY = `nobody ${randomBytes(16).toString('hex')}`;

/**
 * The rooms of a broadcast. What is no name of a room, such as the `null` that JSON makes of `undefined`, names nobody, as
 * with Socket.IO's in-memory adapter; a broadcast to nobody must not become one to everybody.
 *
 * @throws InvalidEntryError
 */
export function toTargets(value: unknown): string[] {
  const rooms = toNames(value);
  return rooms.length === 0 && (value as unknown[]).length > 0 ? [NOBODY] : rooms;
}

/** The names of rooms in an array; the rest is left out. @throws InvalidEntryError */
function toNames(value: unknown): string[] {
  if (!Array.isArray(value)) {
    throw new InvalidEntryError('"rooms" or "except" is not an array of room names');
  }
  return value.every(isRoom) ? value : value.filter(isRoom);
}

/**
 * The message of an entry, or undefined if it is of a type that this version does not know.
 *
 * @throws InvalidEntryError
 */
export function decodeEntry(
  entry: Pick<LogEntry, 'uid' | 'nsp' | 'type' | 'data'>,
): LogMessage | ForeignMessage | undefined {
  const { uid, nsp, type } = entry;
  if (!isEntryType(type)) {
    return undefined;
  }
  const text = entry.data;
  const data = decodeData(text);
  if (!isRecord(data)) {
    throw new InvalidEntryError('the field "data" holds no object');
  }
  if (type === EntryType.ServerSideEmit) {
    return { uid, nsp, type, data: { packet: toServerSideEvent(data.packet) } };
  }
  const opts = toWireOptions(data.opts);
  switch (type) {
    case EntryType.Broadcast:
      return { uid, nsp, type, data: { packet: toLoggedPacket(data, text), opts } };
    case EntryType.DisconnectSockets:
      return { uid, nsp, type, data: { close: data.close === true, opts } };
    default:
      return { uid, nsp, type, data: { rooms: toNames(data.rooms), opts } };
  }
}

/** From how many characters on it is worth while to look for the JSON of the data in that of a broadcast. */
const MIN_REUSED_CHARACTERS = 1_024;

function toLoggedPacket(data: Record<string, unknown>, text: string): LoggedPacket {
  const packet: LoggedPacket = toPacket(data.packet);
  const json = text.length < MIN_REUSED_CHARACTERS ? undefined : dataJson(text, data);
  if (json !== undefined && !hasBinary(packet.data)) {
    packet.json = json; // it is not nested too deep for Socket.IO either, or looking through it would have failed
  }
  return packet;
}

function isEntryType(type: number): type is (LogMessage | ForeignMessage)['type'] {
  return (type >= EntryType.Broadcast && type <= EntryType.DisconnectSockets) || type === EntryType.ServerSideEmit;
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
  if (!isRecord(value)) {
    throw new InvalidEntryError('"opts" is no object');
  }
  return {
    rooms: toTargets(value.rooms),
    except: toNames(value.except),
    flags: isRecord(value.flags) ? value.flags : {},
  };
}

/** @throws InvalidEntryError */
export function toPacket(value: unknown): EventPacket {
  if (!isRecord(value) || value.type !== EVENT || !Array.isArray(value.data) || value.data.length === 0) {
    throw new InvalidEntryError('"packet" is not an event packet');
  }
  checkEventName(value.data[0], 'clients');
  const packet: EventPacket = { type: EVENT, data: value.data as unknown[] };
  if (typeof value.id === 'number') {
    packet.id = value.id;
  }
  return packet;
}

/**
 * The name and arguments of an event for servers.
 *
 * @throws InvalidEntryError
 */
export function toServerSideEvent(value: unknown): unknown[] {
  if (!Array.isArray(value)) {
    throw new InvalidEntryError('a serverSideEmit without the name of an event');
  }
  checkEventName(value[0], 'servers');
  return value;
}

function checkEventName(name: unknown, receiver: 'clients' | 'servers'): void {
  const problem = problemOfEventName(name, receiver);
  if (problem !== undefined) {
    throw new InvalidEntryError(problem);
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Whether other servers can have a room of this name. Rooms are strings; Socket.IO lets numbers pass, and so do we. It takes
 * anything else, too, for the name of a room that nobody has joined: `undefined`, where a lookup found nothing.
 */
export function isRoom(value: unknown): value is string {
  return typeof value === 'string' || Number.isFinite(value);
}
