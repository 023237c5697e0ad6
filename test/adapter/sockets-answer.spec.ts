import { beforeEach, describe, expect, test } from '@jest/globals';
import { ResponsePieces } from '../../lib/adapter/response-pieces.js';
import { answerInPieces, describeSocket } from '../../lib/adapter/sockets-answer.js';
import type { SocketDetails } from '../../lib/adapter/socket-io.js';
import { PayloadTooLargeError } from '../../lib/redis/errors.js';
import type { NotCarried } from '../../lib/wire/carried.js';
import { decodeMsgpack, encodeMsgpack } from '../../lib/wire/msgpack.js';
import type { Response } from '../../lib/wire/request-data.js';
import { RequestType } from '../../lib/wire/requests.js';

type Piece = Extract<Response, { type: typeof RequestType.FetchSocketsResponse }>['data'];

const socket = (id: string, data: unknown = {}, more: Partial<SocketDetails> = {}): SocketDetails => ({
  ...{ id, data, handshake: { address: '::1' }, rooms: new Set([id]) },
  ...more,
});

describe('describeSocket', () => {
  test('gives id, handshake, rooms and data, and no store of sessions, as the reference does', () => {
    const handshake = { address: '::1', sessionStore: { secret: 1 } };
    const rooms = new Set(['a', 'room', undefined as never]);
    const described = describeSocket(socket('a', { name: 'x' }, { handshake, rooms }), () => undefined);
    expect(described).toEqual({ id: 'a', handshake: { address: '::1' }, rooms: ['a', 'room'], data: { name: 'x' } });
    expect(handshake.sessionStore).toEqual({ secret: 1 }); // the application's own is what it was
  });

  test('leaves out what cannot be carried, and says so', () => {
    const leftOut: NotCarried[] = [];
    const described = describeSocket(socket('a', { f: () => 1, name: 'x' }), (what) => leftOut.push(what));
    expect(described).toMatchObject({ data: { name: 'x' } });
    expect(leftOut).toMatchObject([{ path: 'data.f' }]);
  });
});

describe('answerInPieces', () => {
  let pieces: Piece[];
  let leftOut: NotCarried[];
  /** Bytes that Redis takes at once. */
  let limit: number;
  let failure: Error | undefined;
  let parts: ResponsePieces;

  beforeEach(() => {
    parts = new ResponsePieces();
    [pieces, leftOut, limit, failure] = [[], [], Infinity, undefined];
  });

  const answer = (sockets: SocketDetails[]): Promise<void> =>
    answerInPieces(sockets, {
      ...{ uid: 'asker', requestId: 'r', onLeftOut: (what) => leftOut.push(what) },
      bus: {
        respond: (to, response) => {
          const bytes = encodeMsgpack(response).length;
          if (failure || bytes > limit) {
            return Promise.reject(failure ?? new PayloadTooLargeError(bytes));
          }
          const whole = response.type === RequestType.ResponsePiece ? parts.add(to, response.data) : response;
          if (whole) {
            pieces.push(whole.data as Piece);
          }
          return Promise.resolve();
        },
      },
    });

  const idsOf = ({ encoded }: Piece): string[] => encoded!.map((bytes) => (decodeMsgpack(bytes) as { id: string }).id);
  const many = (count: number, bytes: number): SocketDetails[] =>
    Array.from({ length: count }, (_, i) => socket(`s${i}`, { text: 'x'.repeat(bytes) }));

  test('sends a piece of each 32 KB, in order; the last one says how many sockets there are', async () => {
    const sockets = many(10, 10_000);
    await answer(sockets);
    expect(pieces.map(idsOf)).toEqual([
      ...[
        ['s0', 's1', 's2', 's3'],
        ['s4', 's5', 's6', 's7'],
        ['s8', 's9'],
      ],
    ]);
    expect(pieces.map(({ more, count }) => ({ more, count }))).toEqual([
      ...[{ more: true }, { more: true }, { more: undefined, count: 10 }],
    ]);
  });

  test('answers with nothing where there is no socket', async () => {
    await answer([]);
    expect(pieces).toMatchObject([{ requestId: 'r', encoded: [], count: 0 }]);
  });

  test('sends what is more than Redis takes at once in parts, and loses no socket and nothing of it', async () => {
    limit = 34_000;
    const sockets = [...many(10, 5_000), socket('large', { text: 'x'.repeat(100_000) }), socket('other')];
    await answer(sockets);
    expect(pieces.flatMap(idsOf)).toEqual(sockets.map(({ id }) => id));
    expect(pieces.map(({ count }) => count)).toEqual([...pieces.slice(1).map(() => undefined), sockets.length]);
    const described = pieces.flatMap(({ encoded }) => encoded!).map((bytes) => decodeMsgpack(bytes));
    expect(described[10]).toMatchObject({ id: 'large', data: { text: 'x'.repeat(100_000) } });
    expect(leftOut).toEqual([]);
  });

  test('fails where Redis takes not even a part, and while it is away', async () => {
    limit = 1_000;
    await expect(answer(many(1, 20_000))).rejects.toThrow(PayloadTooLargeError);
    [limit, failure] = [Infinity, new Error('away')];
    await expect(answer([socket('a')])).rejects.toThrow('away');
    expect([pieces, leftOut]).toEqual([[], []]);
  });
});
