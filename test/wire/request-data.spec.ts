import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { decodeMsgpack, encodeMsgpack } from '../../lib/wire/msgpack.js';
import { parseRequest, type Request, type Response, type ResponsePiece } from '../../lib/wire/request-data.js';
import { RequestType } from '../../lib/wire/requests.js';

const requestId = fc.string({ minLength: 1, maxLength: 16 });
const value = fc.jsonValue({ maxDepth: 2 });
const rooms = fc.array(fc.string({ maxLength: 4 }), { maxLength: 3 });
const opts = fc.record({ rooms, except: rooms, flags: fc.constantFrom({}, { compress: true }) });
const event = fc.tuple(fc.constantFrom('a', 'b'), value).map((given): unknown[] => given);
const packet = fc.record({ type: fc.constant(2 as const), data: event });
const optional = { requiredKeys: [] };
const count = fc.nat();
const pieces = fc.boolean();

const message: fc.Arbitrary<Request | Response | ResponsePiece> = fc.oneof(
  fc
    .tuple(requestId, fc.string(), fc.nat(9), fc.integer({ min: 10, max: 20 }), fc.uint8Array())
    .map(([id, of, index, all, bytes]) => ({
      type: RequestType.ResponsePiece,
      data: { requestId: id, of, index, count: all, bytes: Buffer.from(bytes) },
    })),
  fc.record({
    type: fc.constant(RequestType.Broadcast),
    data: fc.record({ packet, opts, requestId, pieces }, { requiredKeys: ['packet', 'opts', 'pieces'] }),
  }),
  fc.record({
    type: fc.constant(RequestType.FetchSockets),
    data: fc.record({ opts, requestId, pieces }),
  }),
  fc.record({
    type: fc.constant(RequestType.ServerSideEmit),
    data: fc.record({ packet: event, requestId, pieces }, { requiredKeys: ['packet', 'pieces'] }),
  }),
  fc
    .tuple(requestId, fc.array(value, { maxLength: 3 }), fc.boolean(), fc.record({ count }, optional))
    .map(([id, sockets, more, last]) => ({
      type: RequestType.FetchSocketsResponse,
      data: { requestId: id, sockets, encoded: sockets.map((socket) => encodeMsgpack(socket)), more, ...last },
    })),
  fc.record({
    type: fc.constant(RequestType.ServerSideEmitResponse),
    data: fc.record({ requestId, packet: value, error: fc.string() }, { requiredKeys: ['requestId', 'packet'] }),
  }),
  fc.record({
    type: fc.constant(RequestType.BroadcastClientCount),
    data: fc.record({ requestId, clientCount: count }),
  }),
  fc.record({
    type: fc.constant(RequestType.BroadcastAck),
    data: fc.record({ requestId, packet: value, n: count }, { requiredKeys: ['requestId', 'packet'] }),
  }),
);

const sent = (given: unknown): unknown => decodeMsgpack(encodeMsgpack(given));
const plain = (given: unknown): unknown =>
  JSON.parse(JSON.stringify(given, (_key, item: unknown) => (item instanceof Uint8Array ? [...item] : item)));

describe('parseRequest', () => {
  test('reads each request and response as it was sent', () => {
    fc.assert(
      fc.property(message, (given) => {
        expect(plain(parseRequest(sent(given) as Request))).toEqual(plain(given));
      }),
    );
  });

  test('reads what anybody may have sent as a message of its type, or says what is wrong', () => {
    const type = fc.constantFrom(...Object.values(RequestType), 99);
    const fields = fc.record(
      {
        ...{ requestId: fc.anything(), packet: fc.anything(), opts: fc.anything(), sockets: fc.anything() },
        ...{ encoded: fc.anything(), count: fc.anything(), clientCount: fc.anything(), n: fc.anything() },
      },
      optional,
    );
    fc.assert(
      fc.property(type, fc.oneof(fields, fc.anything()), (given, data) => {
        try {
          expect(parseRequest({ type: given, data }).type).toBe(given);
        } catch (error) {
          expect((error as Error).message).not.toMatch(/undefined|not a function|not iterable|Cannot/);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  test.each<[string, number, unknown, RegExp]>([
    ['without data', RequestType.FetchSockets, undefined, /without data/],
    ['of an unknown type', 99, {}, /type 99 is not known/],
    ['to fetch sockets, without an id', RequestType.FetchSockets, { opts: { rooms: [], except: [] } }, /"requestId"/],
    ['with sockets that are none', RequestType.FetchSocketsResponse, { requestId: 'r', sockets: 1 }, /without sockets/],
    [
      ...(['with pieces that are no bytes', RequestType.FetchSocketsResponse] as const),
      ...([{ requestId: 'r', sockets: [], encoded: ['x'] }, /without sockets/] as const),
    ],
    ['with less than no client', RequestType.BroadcastClientCount, { requestId: 'r', clientCount: -1 }, /clients/],
    ['with the event of a connection', RequestType.ServerSideEmit, { packet: ['connection'] }, /reserved/],
    [
      ...(['with a packet that closes clients', RequestType.Broadcast] as const),
      ...([{ packet: { type: 2, data: ['disconnect'] }, opts: { rooms: [], except: [] } }, /reserved/] as const),
    ],
  ])('refuses a message %s', (_what, type, data, problem) => {
    expect(() => parseRequest({ type, data })).toThrow(problem);
  });
});
