import { randomBytes } from 'node:crypto';
import { PayloadTooLargeError } from '../redis/errors.js';
import { decodeMsgpack, encodeMsgpack } from '../wire/msgpack.js';
import { parseResponse, type Response, type ResponsePiece } from '../wire/request-data.js';
import { RequestType } from '../wire/requests.js';
import type { NamespaceBus } from './namespace-bus.js';

/**
 * Bytes of a piece: far fewer than a server or a proxy is set to refuse, and no reason for Redis to cut a subscriber for which
 * so much waits.
 */
export const PIECE_BYTES = 32 * 1024;

/**
 * Sends to one server a response of any size: in pieces, if it is more than Redis takes at once.
 *
 * @param uid - of the server, which must have asked with `pieces`
 * @param bytes - the response as it is now, encoded
 * @throws if Redis cannot be reached now; PayloadTooLargeError if it takes not even a piece
 */
export async function respondOfAnySize(
  uid: string,
  response: Response,
  bus: Pick<NamespaceBus, 'respond'>,
  bytes = encodeMsgpack(response),
): Promise<void> {
  try {
    await bus.respond(uid, response);
  } catch (error) {
    if (!(error instanceof PayloadTooLargeError)) {
      throw error;
    }
    await respondInPieces(uid, { requestId: response.data.requestId, bytes }, bus);
  }
}

async function respondInPieces(
  uid: string,
  { requestId, bytes }: { requestId: string; bytes: Buffer },
  bus: Pick<NamespaceBus, 'respond'>,
): Promise<void> {
  const of = randomBytes(8).toString('hex');
  const count = Math.ceil(bytes.length / PIECE_BYTES);
  for (let index = 0; index < count; index++) {
    const part = bytes.subarray(index * PIECE_BYTES, (index + 1) * PIECE_BYTES);
    const data = { requestId, of, index, count, bytes: part };
    await bus.respond(uid, { type: RequestType.ResponsePiece, data });
  }
}

/** The responses to one request that come in pieces, as long as some are missing. */
export class ResponsePieces {
  /** By server and response, the pieces by their places: some may come twice. */
  private readonly incomplete = new Map<string, Map<number, Uint8Array>>();

  /**
   * Takes a piece. Returns the response if it is whole now.
   *
   * @throws Error if the pieces make no response, which anybody may have published
   */
  add(uid: string, { of, index, count, bytes }: ResponsePiece['data']): Response | undefined {
    const key = `${uid} ${of}`;
    const pieces = this.incomplete.get(key) ?? new Map<number, Uint8Array>();
    this.incomplete.set(key, pieces.set(index, bytes));
    if (pieces.size < count) {
      return undefined;
    }
    this.incomplete.delete(key);
    const whole = Buffer.concat(Array.from({ length: count }, (_, i) => pieces.get(i) ?? new Uint8Array()));
    return parseResponse(decodeMsgpack(whole));
  }
}
