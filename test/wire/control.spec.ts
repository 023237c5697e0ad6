import { describe, expect, test } from '@jest/globals';
import { encode } from '@msgpack/msgpack';
import fc from 'fast-check';
import { decodeControlMessage, encodeControlMessage, type ControlMessage } from '../../lib/wire/control.js';

const nodeId = fc.stringMatching(/^[\w-]{1,64}$/);
const count = fc.maxSafeInteger().map(Math.abs);
const node = fc.record({
  ...{ id: nodeId, host: fc.string({ maxLength: 20 }), pid: count, startedAt: count, sockets: count, backlog: count },
  servers: fc.integer({ min: 1, max: 64 }),
});
const streamId = fc.tuple(count, count).map(([ms, seq]) => `${ms}-${seq}`);
const STREAMS = ['chat', '__proto__', 'constructor'];

const hearing = fc.record({
  ...{ losses: count, root: fc.boolean() },
  unheard: fc.oneof(fc.constant(true as const), fc.array(fc.string())),
});

const message: fc.Arbitrary<ControlMessage> = fc.oneof(
  fc.record(
    {
      ...{ kind: fc.constantFrom('heartbeat' as const, 'ping' as const), node },
      ...{ reading: fc.boolean(), settled: fc.boolean(), observer: fc.boolean(), hearing },
      streams: fc.record({ chat: fc.tuple(count, streamId, count) }, { requiredKeys: [] }),
    },
    { requiredKeys: ['kind', 'node', 'reading', 'settled', 'observer', 'streams'] },
  ),
  fc.record({ kind: fc.constant('goodbye' as const), node }),
  fc.record({ kind: fc.constant('session-request' as const), node, pid: fc.string(), at: nodeId, epoch: count }),
  fc.record({
    ...{ kind: fc.constant('session-response' as const), node, pid: fc.string(), to: nodeId },
    session: fc.option(fc.string()),
  }),
);

describe('a control message', () => {
  test('is read as it was written', () => {
    fc.assert(
      fc.property(message, (written) => {
        const read = decodeControlMessage(encodeControlMessage(written), STREAMS);
        expect({ ...read, ...('streams' in read && { streams: { ...read.streams } }) }).toEqual(written);
      }),
    );
  });

  test('says nothing of streams that nobody has asked for', () => {
    fc.assert(
      fc.property(message, (written) => {
        const read = decodeControlMessage(encodeControlMessage(written), ['other']);
        expect('streams' in read ? Object.keys(read.streams) : []).toEqual([]);
      }),
    );
  });

  const good = { id: 'a', host: 'h', pid: 1, startedAt: 2, sockets: 3, backlog: 4, servers: 1 };

  test('that anybody may have sent is one or is refused, and changes no prototype', () => {
    fc.assert(
      fc.property(
        fc.record({
          kind: fc.constantFrom('heartbeat', 'ping', 'goodbye', 'session-request', 'session-response'),
          node: fc.oneof(fc.constant(good), fc.anything()),
          ...{ pid: fc.anything(), at: fc.anything(), epoch: fc.anything(), to: fc.anything() },
          ...{ session: fc.anything(), streams: fc.anything(), reading: fc.anything() },
          hearing: fc.oneof(fc.anything(), fc.record({ losses: fc.anything(), unheard: fc.anything() })),
        }),
        (sent) => {
          let payload: Uint8Array;
          try {
            payload = encode(sent);
          } catch {
            return; // nobody can send it
          }
          try {
            const { node: read, ...rest } = decodeControlMessage(payload, STREAMS);
            expect(typeof read.id === 'string' && typeof read.host === 'string').toBe(true);
            const { pid, startedAt, sockets, backlog, servers } = read;
            expect(
              [pid, startedAt, sockets, backlog, servers].filter((n) => !Number.isSafeInteger(n) || n < 0),
            ).toEqual([]);
            expect(rest.kind).toBe(sent.kind);
          } catch (error) {
            expect((error as Error).message).not.toMatch(/undefined|not a function|not iterable/); // of our own making
          }
        },
      ),
    );
    expect(({} as Record<string, unknown>).chat).toBeUndefined();
  });

  test.each<[string, unknown, RegExp]>([
    ['nothing', null, /without the id of its node/],
    ['no node', { kind: 'goodbye' }, /without the id of its node/],
    ['a node without an id', { kind: 'goodbye', node: { ...good, id: 'a b' } }, /without the id of its node/],
    ['an unknown kind', { kind: 'hello', node: good }, /unknown kind "hello"/],
    ['a request for nothing', { kind: 'session-request', node: good, pid: 'p' }, /without "pid", "at" and "epoch"/],
    ['a response to nobody', { kind: 'session-response', node: good, pid: 'p' }, /without "pid" and "to"/],
  ])('with %s is refused', (_what, sent, problem) => {
    expect(() => decodeControlMessage(encode(sent), STREAMS)).toThrow(problem);
  });

  test('has bounds for what a node says of itself', () => {
    const boasting = { ...good, host: 'h'.repeat(1_000), servers: 1_000_000, sockets: -1, backlog: 0.5, pid: '1' };
    const read = decodeControlMessage(encode({ kind: 'goodbye', node: boasting }), STREAMS).node;
    expect(read).toMatchObject({ host: 'h'.repeat(256), servers: 64, sockets: 0, backlog: 0, pid: 0 });
  });

  test('of a version that says less of a stream is read with what it says', () => {
    const sent = { kind: 'heartbeat', node: good, streams: { chat: [7, '5-0'] } };
    expect(decodeControlMessage(encode(sent), STREAMS)).toMatchObject({
      ...{ reading: true, settled: true, observer: false, streams: { chat: [7, '5-0', 0] } },
    });
  });
});
