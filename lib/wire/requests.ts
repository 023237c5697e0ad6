import { decodeMsgpack, encodeMsgpack } from './msgpack.js';
import { isNodeId } from './server-uid.js';
import { isStreamId, type StreamId } from './stream-id.js';

/**
 * The types of message that travel by PUB/SUB. Their numbers are those of socket.io-adapter's cluster adapter, whose other
 * types are entries of the log: see `EntryType`.
 */
export const RequestType = {
  /** Volatile, or with a `requestId` one that asks for acknowledgements. */
  Broadcast: 3,
  FetchSockets: 7,
  FetchSocketsResponse: 8,
  /** With a `requestId` one that asks for an answer. */
  ServerSideEmit: 9,
  ServerSideEmitResponse: 10,
  BroadcastClientCount: 11,
  BroadcastAck: 12,
  /** A part of a response. Ours: the reference passes it over. */
  ResponsePiece: 100,
} as const;

/** The type of a Socket.IO packet that carries an event. */
export const EVENT = 2;

/** Names that have a meaning of their own for clients: one that receives such an event closes its connection. */
const RESERVED_EVENTS: ReadonlySet<unknown> = new Set([
  ...['connect', 'connect_error', 'disconnect', 'disconnecting', 'newListener', 'removeListener'],
]);
/** Names of events with which Socket.IO itself calls listeners of a server. */
const RESERVED_SERVER_EVENTS: ReadonlySet<unknown> = new Set(['connect', 'connection', 'new_namespace']);

/** Why a value cannot be the name of an event for clients, or for servers; undefined if it can. */
export function problemOfEventName(name: unknown, receiver: 'clients' | 'servers'): string | undefined {
  if (typeof name !== 'string' && typeof name !== 'number') {
    return 'the name of an event is not a string';
  }
  const reserved = receiver === 'clients' ? RESERVED_EVENTS : RESERVED_SERVER_EVENTS;
  return reserved.has(name) ? `"${name}" is a reserved event name` : undefined;
}

/**
 * A request, a response or a volatile broadcast, encoded as MessagePack.
 *
 * The fields from `after` on are ours and ignored by the reference; they keep what one server does in its order although part of
 * it goes through the log: see `RequestOrder`.
 */
export interface BusMessage {
  /** The server that sent it. */
  uid: string;
  nsp: string;
  type: number;
  data?: unknown;
  /** The sequence number of the last entry that its node had appended, or had taken to append, to the namespace's stream. */
  after?: number;
  /** The same, of what its node delivers at once though the ordering is `log`: that is numbered by itself. */
  direct?: number;
  /** The id of the last entry of both, if Redis had acknowledged all. */
  at?: StreamId;
  /** The node, if the uid does not say it: that of an emitter is the same for all. */
  from?: string;
  /** Counts what its server has sent in this namespace, from 1. Volatile broadcasts and responses have none. */
  n?: number;
  /** The trace that it belongs to, as its sender's telemetry wrote it. */
  trace?: string;
}

export function encodeBusMessage(message: BusMessage): Buffer {
  return encodeMsgpack(message);
}

/**
 * Reads a message of a channel, which anybody may have published. What is in `data` is not looked at.
 *
 * @throws Error if it is none
 */
export function decodeBusMessage(payload: Uint8Array): BusMessage {
  const message = decodeMsgpack(payload) as Partial<Record<keyof BusMessage, unknown>> | null;
  if (
    typeof message !== 'object' ||
    typeof message?.uid !== 'string' ||
    typeof message.nsp !== 'string' ||
    typeof message.type !== 'number'
  ) {
    throw new Error('not a message with "uid", "nsp" and "type"');
  }
  const { uid, nsp, type, data, after, direct, at, from, n, trace } = message;
  return {
    ...{ uid, nsp, type, data },
    ...(isNumber(after) && { after }),
    ...(isNumber(direct) && { direct }),
    ...(isStreamId(at) && { at }),
    ...(isNodeId(from) && { from }),
    ...(isNumber(n) && { n }),
    ...(typeof trace === 'string' && { trace }),
  };
}

function isNumber(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}
