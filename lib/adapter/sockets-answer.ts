import { carry, type NotCarried } from '../wire/carried.js';
import { isRoom } from '../wire/entry.js';
import { encodeMsgpack } from '../wire/msgpack.js';
import type { Response } from '../wire/request-data.js';
import { RequestType } from '../wire/requests.js';
import type { NamespaceBus } from './namespace-bus.js';
import { PIECE_BYTES, respondOfAnySize } from './response-pieces.js';
import type { SocketDetails } from './socket-io.js';

/** Who is answered, and how. */
export interface SocketsQuestion {
  readonly bus: Pick<NamespaceBus, 'respond'>;
  /** Of the server that asks. */
  readonly uid: string;
  readonly requestId: string;
  /** Called with what had to be left out. */
  readonly onLeftOut: (what: NotCarried) => void;
}

/** What a server is given of another's socket. What cannot be carried is left out, and reported. */
export function describeSocket(socket: SocketDetails, onLeftOut: (what: NotCarried) => void): unknown {
  const parts = {
    get handshake() {
      const handshake = { ...socket.handshake };
      delete handshake['sessionStore']; // as in the reference: it is the server's, and circular
      return handshake;
    },
    get data() {
      return socket.data;
    },
  };
  const { handshake = {}, data = null } = carry(parts, { onLeftOut }) as Partial<typeof parts>;
  return { id: socket.id, handshake, rooms: [...socket.rooms].filter(isRoom), data };
}

/** Answers with sockets, in pieces that are of bounded size but for their last socket. @throws if Redis cannot be reached now */
export async function answerInPieces(sockets: readonly SocketDetails[], question: SocketsQuestion): Promise<void> {
  let piece: Buffer[] = [];
  let bytes = 0;
  for (const socket of sockets) {
    if (bytes >= PIECE_BYTES) {
      await answerPiece(piece, { more: true }, question);
      piece = [];
      bytes = 0;
    }
    const encoded = encodeMsgpack(describeSocket(socket, question.onLeftOut));
    piece.push(encoded);
    bytes += encoded.length;
  }
  await answerPiece(piece, { count: sockets.length }, question);
}

/** Either other pieces follow, or there were so many sockets in all. */
type Rest = { readonly more: true } | { readonly count: number };

async function answerPiece(
  piece: readonly Buffer[],
  rest: Rest,
  { bus, uid, requestId }: SocketsQuestion,
): Promise<void> {
  const response: Response = {
    type: RequestType.FetchSocketsResponse,
    data: { requestId, sockets: [], encoded: [...piece], ...rest },
  };
  await respondOfAnySize(uid, response, bus);
}
