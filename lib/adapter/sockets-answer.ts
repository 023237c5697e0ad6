import { PayloadTooLargeError } from '../redis/errors.js';
import { carry, type NotCarried } from '../wire/carried.js';
import { isRoom } from '../wire/entry.js';
import { encodeMsgpack } from '../wire/msgpack.js';
import type { Response } from '../wire/request-data.js';
import { RequestType } from '../wire/requests.js';
import type { NamespaceBus } from './namespace-bus.js';
import type { SocketDetails } from './socket-io.js';

/** Bytes of a piece of an answer, but for its last socket: Redis may be set to cut a subscriber for which much more waits. */
const PIECE_BYTES = 32 * 1024;

/** Who is answered, and how. */
export interface SocketsQuestion {
  readonly bus: Pick<NamespaceBus, 'respond'>;
  /** Of the server that asks. */
  readonly uid: string;
  readonly requestId: string;
  /** Called with what had to be left out. */
  readonly onLeftOut: (what: NotCarried) => void;
}

/** A socket as it is described, and that as bytes. */
interface Described {
  readonly socket: SocketDetails;
  readonly encoded: Buffer;
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

/** Answers with sockets, in pieces of bounded size. @throws if Redis cannot be reached now, or takes not even a single socket */
export async function answerInPieces(sockets: readonly SocketDetails[], question: SocketsQuestion): Promise<void> {
  let piece: Described[] = [];
  let bytes = 0;
  for (const socket of sockets) {
    if (bytes >= PIECE_BYTES) {
      await answerPiece(piece, { more: true }, question);
      piece = [];
      bytes = 0;
    }
    const described = encode(socket, question);
    piece.push(described);
    bytes += described.encoded.length;
  }
  await answerPiece(piece, { count: sockets.length }, question);
}

/** Either other pieces follow, or there were so many sockets in all. */
type Rest = { readonly more: true } | { readonly count: number };

async function answerPiece(piece: readonly Described[], rest: Rest, question: SocketsQuestion): Promise<void> {
  const { bus, uid, requestId } = question;
  const encoded = piece.map((described) => described.encoded);
  const response: Response = {
    type: RequestType.FetchSocketsResponse,
    data: { requestId, sockets: [], encoded, ...rest },
  };
  try {
    await bus.respond(uid, response);
  } catch (error) {
    if (!(error instanceof PayloadTooLargeError) || piece.length === 0) {
      throw error;
    }
    const total = encoded.reduce((sum, { length }) => sum + length, 0);
    const largest = piece.reduce((most, other) => (other.encoded.length > most.encoded.length ? other : most));
    if (largest.encoded.length * 2 < total) {
      const middle = Math.ceil(piece.length / 2);
      await answerPiece(piece.slice(0, middle), { more: true }, question);
      await answerPiece(piece.slice(middle), rest, question);
      return;
    }
    const smaller = withoutData(largest, question, error);
    await answerPiece(
      piece.map((described) => (described === largest ? smaller : described)),
      rest,
      question,
    );
  }
}

/** A socket without what the application has put into it. @throws the error if it is not that which is large */
function withoutData({ socket, encoded }: Described, question: SocketsQuestion, error: Error): Described {
  const { id, handshake, rooms } = socket;
  const smaller = encode({ id, handshake, rooms, data: {} }, question);
  if (smaller.encoded.length * 2 > encoded.length) {
    throw error;
  }
  question.onLeftOut({ path: 'data', reason: 'it is more than Redis, or a proxy before it, takes at once' });
  return smaller;
}

function encode(socket: SocketDetails, { onLeftOut }: SocketsQuestion): Described {
  return { socket, encoded: encodeMsgpack(describeSocket(socket, onLeftOut)) };
}
