import { RequestType } from './requests.js';
import { toPacket, toServerSideEvent, toWireOptions, type EventPacket, type WireOptions } from './entry.js';

/** Of a request: whether responses may come in pieces, which the reference does not understand. */
interface Pieces {
  pieces?: boolean;
}

/** What a server asks of the others. */
export type Request =
  | {
      type: typeof RequestType.Broadcast;
      data: { packet: EventPacket; opts: WireOptions; requestId?: string } & Pieces;
    }
  | { type: typeof RequestType.FetchSockets; data: { opts: WireOptions; requestId: string } & Pieces }
  | { type: typeof RequestType.ServerSideEmit; data: { packet: unknown[]; requestId?: string } & Pieces };

/** A part of a response that is too large for Redis. */
export interface ResponsePiece {
  type: typeof RequestType.ResponsePiece;
  data: {
    requestId: string;
    /** Random: of which response it is. */
    of: string;
    /** Its place, from 0, among so many pieces. */
    index: number;
    count: number;
    /** Part of the response, its `type` and `data` as MessagePack. */
    bytes: Uint8Array;
  };
}

/** What a server answers. */
export type Response =
  | {
      type: typeof RequestType.FetchSocketsResponse;
      data: {
        requestId: string;
        sockets: unknown[];
        /** Sockets that are encoded, each for itself (see `encodeMsgpack`). Only in a piece. */
        encoded?: Uint8Array[];
        /** Whether there are further pieces. */
        more?: boolean;
        /** How many sockets the server has, in all pieces. Only in the last one. */
        count?: number;
      };
    }
  | {
      type: typeof RequestType.ServerSideEmitResponse;
      data: {
        requestId: string;
        packet: unknown;
        /** Why there is no answer. */
        error?: string;
      };
    }
  | { type: typeof RequestType.BroadcastClientCount; data: { requestId: string; clientCount: number } }
  | {
      type: typeof RequestType.BroadcastAck;
      data: {
        requestId: string;
        packet: unknown;
        /** Which of the server's acknowledgements it is, counted from 1: it may come twice. */
        n?: number;
      };
    };

/**
 * Reads what a message of a channel contains, which anybody may have published.
 *
 * @throws Error that says what is wrong
 */
export function parseRequest({ type, data }: { type: number; data?: unknown }): Request | Response | ResponsePiece {
  if (typeof data !== 'object' || data === null) {
    throw new Error(`a message of type ${type} without data`);
  }
  const fields = data as Record<string, unknown>;
  switch (type) {
    case RequestType.Broadcast: {
      const broadcast = { packet: toPacket(fields.packet), opts: toWireOptions(fields.opts) };
      return { type, data: { ...broadcast, ...optionalId(fields), pieces: fields.pieces === true } };
    }
    case RequestType.FetchSockets: {
      const request = { opts: toWireOptions(fields.opts), requestId: toRequestId(fields) };
      return { type, data: { ...request, pieces: fields.pieces === true } };
    }
    case RequestType.ServerSideEmit:
      return {
        type,
        data: { packet: toServerSideEvent(fields.packet), ...optionalId(fields), pieces: fields.pieces === true },
      };
    case RequestType.FetchSocketsResponse: {
      const { sockets, encoded = [] } = fields;
      if (!Array.isArray(sockets) || !isListOfBytes(encoded)) {
        throw new Error('an answer to fetchSockets without sockets');
      }
      const count = Number.isSafeInteger(fields.count) ? { count: fields.count as number } : {};
      return { type, data: { requestId: toRequestId(fields), sockets, encoded, more: fields.more === true, ...count } };
    }
    case RequestType.ServerSideEmitResponse: {
      const { packet, error } = fields;
      return { type, data: { requestId: toRequestId(fields), packet, ...(typeof error === 'string' && { error }) } };
    }
    case RequestType.BroadcastClientCount: {
      const { clientCount } = fields;
      if (!Number.isSafeInteger(clientCount) || (clientCount as number) < 0) {
        throw new Error('a number of clients that is none');
      }
      return { type, data: { requestId: toRequestId(fields), clientCount: clientCount as number } };
    }
    case RequestType.BroadcastAck: {
      const { packet, n } = fields;
      return {
        type,
        data: { requestId: toRequestId(fields), packet, ...(Number.isSafeInteger(n) && { n: n as number }) },
      };
    }
    case RequestType.ResponsePiece:
      return { type, data: { requestId: toRequestId(fields), ...toPiece(fields) } };
    default:
      throw new Error(`the type ${type} is not known to this version`);
  }
}

/**
 * Reads a response that has come in pieces.
 *
 * @throws Error that says what is wrong
 */
export function parseResponse(value: unknown): Response {
  const message = parseRequest(value as { type: number });
  switch (message.type) {
    case RequestType.Broadcast:
    case RequestType.FetchSockets:
    case RequestType.ServerSideEmit:
    case RequestType.ResponsePiece:
      throw new Error('pieces of something that is no response');
    default:
      return message;
  }
}

function toPiece({ of, index, count, bytes }: Record<string, unknown>): Omit<ResponsePiece['data'], 'requestId'> {
  const isPlace = Number.isSafeInteger(index) && Number.isSafeInteger(count) && (index as number) >= 0;
  if (typeof of !== 'string' || !isPlace || (index as number) >= (count as number) || !(bytes instanceof Uint8Array)) {
    throw new Error('a piece of a response without its place');
  }
  return { of, index: index as number, count: count as number, bytes };
}

function toRequestId({ requestId }: Record<string, unknown>): string {
  if (typeof requestId !== 'string') {
    throw new Error('a message without "requestId"');
  }
  return requestId;
}

function optionalId({ requestId }: Record<string, unknown>): { requestId?: string } {
  return typeof requestId === 'string' ? { requestId } : {};
}

function isListOfBytes(value: unknown): value is Uint8Array[] {
  return Array.isArray(value) && value.every((item) => item instanceof Uint8Array);
}
