import { describe, expect, test } from '@jest/globals';
import { respondOfAnySize, ResponsePieces } from '../../lib/adapter/response-pieces.js';
import { PayloadTooLargeError } from '../../lib/redis/errors.js';
import { encodeMsgpack } from '../../lib/wire/msgpack.js';
import type { Response, ResponsePiece } from '../../lib/wire/request-data.js';
import { RequestType } from '../../lib/wire/requests.js';

const type = RequestType.BroadcastAck;
const responseOf = (packet: unknown): Response => ({ type, data: { requestId: 'r', packet, n: 1 } });
const large = { text: 'x'.repeat(100_000), bytes: Buffer.alloc(10_000, 'ab') };

/** A bus that takes so many bytes at once. */
function busOf(limit: number) {
  const sent: (Response | ResponsePiece)[] = [];
  return {
    sent,
    pieces: () => sent.filter((one) => one.type === RequestType.ResponsePiece).map(({ data }) => data),
    respond: async (_uid: string, response: Response | ResponsePiece) => {
      const { length } = encodeMsgpack(response);
      if (length > limit) throw new PayloadTooLargeError(length);
      sent.push(response);
    },
  };
}

describe('A response', () => {
  test('that Redis takes is sent as it is', async () => {
    const bus = busOf(200_000);
    await respondOfAnySize('asking', responseOf(large), bus);
    expect(bus.sent).toEqual([responseOf(large)]);
  });

  test('that is too large is sent in pieces as it was at the call, which make the same in any order', async () => {
    const bus = busOf(50_000);
    const packet = { ...large, bytes: Buffer.from(large.bytes) };
    const sending = respondOfAnySize('asking', responseOf(packet), bus);
    packet.bytes.fill(0);
    await sending;
    const [first, ...others] = bus.pieces();
    expect(others).toHaveLength(3);
    const pieces = new ResponsePieces();
    const taken = [...others, others[0]!].map((piece) => pieces.add('answering', piece)); // one comes twice
    expect(taken).toEqual([undefined, undefined, undefined, undefined]);
    expect(pieces.add('another server', first!)).toBeUndefined();
    expect(pieces.add('answering', first!)).toEqual(responseOf(large));
  });

  test('of which Redis takes not even a piece is an error', async () => {
    await expect(respondOfAnySize('asking', responseOf(large), busOf(1_000))).rejects.toThrow(PayloadTooLargeError);
  });

  test('is not made of pieces of a request, of pieces, or of something else', () => {
    const request = {
      type: RequestType.FetchSockets,
      data: { requestId: 'r', opts: { rooms: [], except: [], flags: {} } },
    };
    const piece = {
      type: RequestType.ResponsePiece,
      data: { requestId: 'r', of: 'a', index: 0, count: 1, bytes: Buffer.from('') },
    };
    for (const value of [request, piece, null, 5, {}, { type }]) {
      const data = { requestId: 'r', of: 'a', index: 0, count: 1, bytes: encodeMsgpack(value) };
      expect(() => new ResponsePieces().add('answering', data)).toThrow();
    }
  });
});
