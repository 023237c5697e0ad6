import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { Requests, type RequestServer } from '../../lib/adapter/requests.js';
import type { Census } from '../../lib/cluster/request-bus.js';
import { PayloadTooLargeError } from '../../lib/redis/errors.js';
import { encodeMsgpack } from '../../lib/wire/msgpack.js';
import type { Request, Response, ResponsePiece } from '../../lib/wire/request-data.js';
import { RequestType } from '../../lib/wire/requests.js';
import { until } from '../kit/index.js';

function census(named: string[], others = 0, hearing: [uid: string, hears: boolean, losses: number][] = []): Census {
  const ofNamed = hearing.map(([uid, hears, losses]) => [uid, { hears, losses }] as const);
  return { named: new Set(named), others, hearing: new Map(ofNamed), isCounted: true };
}

describe('Requests', () => {
  const opts = { rooms: [], except: [], flags: {} };
  const unused = (): never => {
    throw new Error('not asked for');
  };
  let present: Census;
  let sent: Request[];
  let repeated: [uid: string, request: Request][];
  let sending: () => Promise<void>;
  let started: Promise<void> | undefined;
  let answered: (Response | ResponsePiece)[];
  let answering: () => Promise<void>;
  let unsent: unknown[];
  let onEvent: (event: unknown[]) => void;
  let asked: number;
  let requests: Requests;

  beforeEach(() => {
    present = census(['a', 'b']);
    [sent, repeated] = [[], []];
    sending = () => Promise.resolve();
    started = undefined;
    [answered, unsent] = [[], []];
    answering = () => Promise.resolve();
    [onEvent, asked] = [() => undefined, 0];
    const server: RequestServer = {
      bus: {
        whenStarted: () => started,
        get isStarting() {
          return started !== undefined;
        },
        census: async () => present,
        send: (request) => {
          sent.push(request);
          return sending();
        },
        repeat: (uid, request) => {
          repeated.push([uid, request]);
          return sending();
        },
        respond: async (_uid, response) => {
          answered.push(response);
          await answering();
        },
        onUnsent: (error, message) => unsent.push([(error as Error).message, message]),
      },
      onLeftOut: unused,
      here: {
        ...{ broadcast: unused, fetchSockets: unused },
        serverSideEmit: (event) => {
          onEvent(event);
          (event.at(-1) as (answer: unknown) => void)('large');
        },
        broadcastWithAck: (_packet, _opts, onCount, onAck) => {
          asked++;
          onCount(2);
          onAck('first');
          onAck('second');
        },
      },
    };
    requests = new Requests(server);
  });
  afterEach(() => requests.close());

  type Answer<R = Response> = R extends Response ? { type: R['type']; data: Omit<R['data'], 'requestId'> } : never;

  function answer(uid: string, { type, data }: Answer, request = sent.at(-1)!): void {
    requests.receive({ uid, nsp: '/', type, data: { requestId: request.data.requestId, ...data } });
  }

  const sockets = (...ids: string[]): Answer => ({ type: RequestType.FetchSocketsResponse, data: { sockets: ids } });
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  test('ask the others at the call', () => {
    void requests.fetchSockets(opts);
    expect(sent).toMatchObject([{ type: RequestType.FetchSockets, data: { pieces: true } }]);
  });

  test('ask what was to be asked at the call, if it is sent when the node has started', async () => {
    let start!: () => void;
    started = new Promise((resolve) => (start = resolve));
    const [bytes, room] = [Buffer.from([1, 2, 3]), 'room'];
    const packet = { type: 2, data: ['event', { within: bytes }] };
    const target = { ...opts, rooms: [room] };
    requests.serverSideEmit(['event', bytes], () => undefined);
    requests.broadcastWithAck({ packet, opts: target, timeout: 60_000 }, unused, () => undefined);
    bytes.fill(255);
    target.rooms[0] = 'another';
    start();
    await settled();
    const now = new Uint8Array([1, 2, 3]);
    expect(sent).toMatchObject([
      { type: RequestType.ServerSideEmit, data: { packet: ['event', now] } },
      { type: RequestType.Broadcast, data: { packet: { data: ['event', { within: now }] }, opts: { rooms: [room] } } },
    ]);
  });

  test('take the first answer of each server, also before it is known who is to answer', async () => {
    const fetching = requests.fetchSockets(opts);
    answer('a', sockets('one'));
    answer('a', sockets('again'));
    await settled();
    answer('b', sockets('two', 'three'));
    expect(await fetching).toEqual(['one', 'two', 'three']);
    expect(requests.size).toBe(0);
  });

  test('put an answer in pieces together', async () => {
    const fetching = requests.fetchSockets(opts);
    const piece = (more: boolean, ...ids: string[]): Answer => ({
      type: RequestType.FetchSocketsResponse,
      data: { sockets: [], encoded: ids.map(encodeMsgpack), more },
    });
    answer('a', piece(true, '1', '2'));
    answer('b', sockets('of the reference'));
    answer('a', piece(true, '3'));
    await settled();
    expect(requests.size).toBe(1);
    answer('a', piece(false, '4'));
    expect(await fetching).toEqual(['1', '2', '3', '4', 'of the reference']);
  });

  test('ask again if a piece is missing, and take each socket once', async () => {
    const fetching = requests.fetchSockets(opts);
    const type = RequestType.FetchSocketsResponse;
    const piece = (rest: { more: true } | { count: number }, ...ids: string[]): Answer => ({
      type,
      data: { sockets: [], encoded: ids.map((id) => encodeMsgpack({ id })), ...rest },
    });
    answer('b', piece({ count: 1 }, 'b1'));
    answer('a', piece({ more: true }, 'a1'));
    answer('a', piece({ count: 3 }, 'a3')); // a2 is lost
    await until(() => sent.length === 2, { what: 'it to be asked again' });
    expect(sent[1]).toEqual(sent[0]);
    answer('b', piece({ count: 1 }, 'b1'));
    answer('a', piece({ more: true }, 'a1'));
    answer('a', piece({ more: true }, 'a2'));
    expect(requests.size).toBe(1);
    answer('a', piece({ count: 3 }, 'a3'));
    expect(await fetching).toEqual(['b1', 'a1', 'a3', 'a2'].map((id) => ({ id })));
    expect(requests.size).toBe(0);
  });

  test('that do no harm if they are asked twice are asked again when this node hears the others again', async () => {
    const fetching = requests.fetchSockets(opts);
    requests.serverSideEmit(['event'], () => undefined);
    requests.askAgain();
    expect(sent).toHaveLength(2); // it is not known yet who is to answer
    await settled();
    expect(sent.slice(2)).toEqual([sent[0]]);
    answer('a', sockets('a'), sent[0]);
    requests.askAgain();
    expect(sent.slice(3)).toEqual([sent[0]]);
    answer('b', sockets('b'), sent[0]);
    expect(await fetching).toEqual(['a', 'b']);
    requests.askAgain();
    expect(sent).toHaveLength(4);
  });

  test('send a request again to who did not hear it, when it hears, and to nobody else', async () => {
    present = census(['a', 'b'], 0, [
      ['a', true, 0],
      ['b', false, 1],
    ]);
    const outcome = new Promise((resolve) => requests.serverSideEmit(['event'], (...args) => resolve(args)));
    answer('a', { type: RequestType.ServerSideEmitResponse, data: { packet: 'a' } });
    await settled();
    await requests.recheck();
    expect(repeated).toEqual([]);
    present = census(['a', 'b'], 0, [
      ['a', true, 0],
      ['b', true, 1],
    ]);
    await Promise.all([requests.recheck(), requests.recheck()]);
    expect([repeated, sent.length]).toEqual([[['b', sent[0]]], 1]);
    answer('b', { type: RequestType.ServerSideEmitResponse, data: { packet: 'b' } });
    expect(await outcome).toEqual([null, ['a', 'b']]);
  });

  test('send it once more if it could not be sent again', async () => {
    present = census(['a'], 0, [['a', false, 1]]);
    requests.serverSideEmit(['event'], () => undefined);
    await settled();
    present = census(['a'], 0, [['a', true, 1]]);
    sending = () => Promise.reject(new Error('Redis is away'));
    await requests.recheck();
    await settled();
    sending = () => Promise.resolve();
    await requests.recheck();
    await requests.recheck();
    expect(repeated).toHaveLength(2);
  });

  test('are asked of each by itself if this node cannot send to all when it hears again', async () => {
    present = census(['a'], 0, [['a', true, 0]]);
    void requests.fetchSockets(opts);
    await settled();
    sending = () => Promise.reject(new Error('Redis is away'));
    requests.askAgain();
    await settled();
    sending = () => Promise.resolve();
    await requests.recheck();
    expect(repeated.at(-1)).toEqual(['a', sent[0]]);
    answer('a', sockets('one'));
  });

  test('are not sent again when who has carried them out may not know that any more', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'queueMicrotask'] });
    present = census(['a'], 0, [['a', true, 0]]);
    requests.broadcastWithAck(
      { packet: { type: 2, data: ['event'] }, opts, timeout: 120_000 },
      unused,
      () => undefined,
    );
    await jest.advanceTimersByTimeAsync(45_000);
    present = census(['a'], 0, [['a', true, 1]]);
    await jest.advanceTimersByTimeAsync(6_000);
    present = census(['a'], 0, [['a', true, 2]]);
    await jest.advanceTimersByTimeAsync(6_000);
    jest.useRealTimers();
    expect(repeated).toHaveLength(1);
  });

  test('see a change that comes while it is asked who is there', async () => {
    present = census(['a'], 0, [['a', false, 1]]);
    requests.serverSideEmit(['event'], () => undefined);
    await settled();
    const rechecking = requests.recheck();
    present = census(['a'], 0, [['a', true, 1]]);
    void requests.recheck();
    await rechecking;
    expect(repeated).toHaveLength(1);
  });

  test('are sent again to who has not answered when this node hears the others again', async () => {
    present = census(['a', 'b', 'older'], 0, [
      ['a', true, 0],
      ['b', true, 0],
    ]);
    requests.serverSideEmit(['event'], () => undefined);
    answer('a', { type: RequestType.ServerSideEmitResponse, data: { packet: 'a' } });
    await settled();
    requests.askAgain();
    await settled();
    expect(repeated).toEqual([['b', sent[0]]]);
  });

  test('are sent again also if this node did not hear before it was known who is to answer', async () => {
    present = census(['a', 'b'], 0, [
      ['a', true, 0],
      ['b', true, 0],
    ]);
    requests.serverSideEmit(['event'], () => undefined);
    answer('a', { type: RequestType.ServerSideEmitResponse, data: { packet: 'a' } });
    requests.askAgain();
    await settled();
    expect(repeated).toEqual([['b', sent[0]]]);
  });

  test('take 200,000 sockets in one answer', async () => {
    present = census(['a']);
    const fetching = requests.fetchSockets(opts);
    answer('a', sockets(...Array.from({ length: 100_000 }, String)));
    expect(await fetching).toHaveLength(100_000);
    const again = requests.fetchSockets(opts);
    const type = RequestType.FetchSocketsResponse;
    answer('a', { type, data: { sockets: Array.from({ length: 200_000 }, String) } });
    expect(await again).toHaveLength(200_000);
  });

  test('end at once with an error that says why, if they cannot be sent', async () => {
    sending = () => Promise.reject(new Error('Redis is away'));
    await expect(requests.fetchSockets(opts)).rejects.toMatchObject({
      message: 'the request cannot be sent to other servers: Redis is away',
      code: 'REDIS_STREAMS_REQUEST_UNSENT',
    });
  });

  test('end when a server that they wait for is gone', async () => {
    const fetching = requests.fetchSockets(opts);
    answer('a', sockets('one'));
    await settled();
    present = census(['a']);
    await requests.recheck();
    expect(await fetching).toEqual(['one']);
  });

  test('end with an error when their time is over, and say how many have answered', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'queueMicrotask'] });
    try {
      const outcome = new Promise((resolve) =>
        requests.serverSideEmit(['event'], (error, responses) => resolve([error, responses])),
      );
      answer('b', { type: RequestType.ServerSideEmitResponse, data: { packet: 'b' } });
      await settled();
      jest.advanceTimersByTime(5_000);
      expect(await outcome).toMatchObject([
        { message: 'timeout reached: only 1 responses received out of 2', code: 'REDIS_STREAMS_REQUEST_TIMEOUT' },
        ['b'],
      ]);
    } finally {
      jest.useRealTimers();
    }
  });

  test('end without an error when the server closes, with what has come so far', async () => {
    const fetching = requests.fetchSockets(opts);
    answer('a', sockets('one'));
    await settled();
    requests.close();
    expect(await fetching).toEqual(['one']);
  });

  test('say that a server could not send its answer', async () => {
    const outcome = new Promise((resolve) =>
      requests.serverSideEmit(['event'], (error, responses) => resolve([error, responses])),
    );
    answer('a', { type: RequestType.ServerSideEmitResponse, data: { packet: 'a' } });
    answer('b', { type: RequestType.ServerSideEmitResponse, data: { packet: null, error: 'a function' } });
    expect(await outcome).toMatchObject([
      { message: 'the server b cannot send its answer: a function', code: 'REDIS_STREAMS_REQUEST_ANSWER' },
      ['a'],
    ]);
  });

  test('of a broadcast end when all clients of all servers that are still there have answered', async () => {
    const responses: unknown[] = [];
    const counts: number[] = [];
    const packet = { type: 2, data: ['ask'] };
    requests.broadcastWithAck(
      { packet, opts, timeout: 60_000 },
      (response) => responses.push(response),
      (count) => counts.push(count),
    );
    const count = (clientCount: number): Answer => ({ type: RequestType.BroadcastClientCount, data: { clientCount } });
    const ack = (packet: string): Answer => ({ type: RequestType.BroadcastAck, data: { packet } });
    answer('a', ack('before the count'));
    answer('a', count(2));
    await settled();
    answer('b', count(3));
    answer('b', ack('from b'));
    answer('a', ack('second'));
    expect([responses, counts]).toEqual([['before the count', 'from b', 'second'], []]);
    present = census(['a']);
    await requests.recheck();
    expect(counts).toEqual([3]);
  });

  test('of a broadcast take each acknowledgement once, also if it comes twice', async () => {
    const responses: unknown[] = [];
    const counts: number[] = [];
    const packet = { type: 2, data: ['ask'] };
    present = census(['a']);
    requests.broadcastWithAck(
      { packet, opts, timeout: 60_000 },
      (response) => responses.push(response),
      (count) => counts.push(count),
    );
    const ack = (n: number): Answer => ({ type: RequestType.BroadcastAck, data: { packet: n, n } });
    await settled();
    [ack(1), ack(2), ack(1), ack(2)].forEach((one) => answer('a', one));
    answer('a', { type: RequestType.BroadcastClientCount, data: { clientCount: 3 } });
    answer('a', ack(3));
    expect([responses, counts]).toEqual([[1, 2, 3], [3]]);
  });

  test('of servers are answered in pieces what is too large, or with an error if these are not understood', async () => {
    const tooLarge = (): Promise<void> => Promise.reject(new PayloadTooLargeError(8));
    answering = () => (answered.length % 2 === 1 ? tooLarge() : Promise.resolve());
    for (const [requestId, pieces] of [['r', { pieces: true }] as const, ['s', {}] as const]) {
      const data = { packet: ['event'], requestId, ...pieces };
      requests.receive({ uid: 'asking', nsp: '/', type: RequestType.ServerSideEmit, data });
      await settled();
    }
    const error = '8 bytes are more than Redis, or a proxy before it, takes at once';
    expect(answered).toMatchObject([
      { type: RequestType.ServerSideEmitResponse, data: { requestId: 'r', packet: 'large' } },
      { type: RequestType.ResponsePiece, data: { requestId: 'r', index: 0, count: 1 } },
      { type: RequestType.ServerSideEmitResponse, data: { requestId: 's', packet: 'large' } },
      { type: RequestType.ServerSideEmitResponse, data: { requestId: 's', packet: null, error } },
    ]);
  });

  test('are carried out once, and answered again, if they come twice', async () => {
    const emitted: unknown[] = [];
    const ask = (uid: string, requestId: string): void => {
      const data = { packet: ['event'], requestId, pieces: true };
      requests.receive({ uid, nsp: '/', type: RequestType.ServerSideEmit, data });
    };
    onEvent = (event) => emitted.push(event[0]);
    ['r', 'r', 's'].forEach((requestId) => ask('a', requestId));
    ask('b', 'r');
    await settled();
    expect([emitted.length, answered.map(({ data }) => data.requestId)]).toEqual([3, ['r', 'r', 's', 'r']]);

    [emitted.length, answered.length] = [0, 0];
    const data = { packet: { type: 2, data: ['ask'] }, opts, requestId: 'q' };
    requests.receive({ uid: 'a', nsp: '/', type: RequestType.Broadcast, data });
    await settled();
    const once = [...answered];
    requests.receive({ uid: 'a', nsp: '/', type: RequestType.Broadcast, data });
    await settled();
    expect([once.length, answered]).toEqual([3, [...once, ...once]]);
    expect(asked).toBe(1);
  });

  test('take a response that has come in pieces', async () => {
    present = census(['a']);
    const outcome = new Promise((resolve) => requests.serverSideEmit(['event'], (...args) => resolve(args)));
    const { requestId } = sent[0]!.data as { requestId: string };
    const whole = encodeMsgpack({ type: RequestType.ServerSideEmitResponse, data: { requestId, packet: 'answer' } });
    const piece = (index: number, bytes: Uint8Array): object => ({ requestId, of: 'x', index, count: 2, bytes });
    const receive = (data: object): void =>
      requests.receive({ uid: 'a', nsp: '/', type: RequestType.ResponsePiece, data });
    receive(piece(1, whole.subarray(10)));
    receive(piece(0, whole.subarray(0, 10)));
    expect(await outcome).toEqual([null, ['answer']]);
    receive(piece(0, whole.subarray(0, 10))); // nobody waits any more
  });

  test('of a broadcast are answered with numbered acknowledgements; those that cannot be sent are reported', async () => {
    const refused = new Error('too large');
    answering = () => (answered.length === 3 ? Promise.reject(refused) : Promise.resolve());
    const data = { packet: { type: 2, data: ['ask'] }, opts, requestId: 'r' };
    requests.receive({ uid: 'asking', nsp: '/', type: RequestType.Broadcast, data });
    await settled();
    expect(answered.map((response) => response.data)).toEqual([
      { requestId: 'r', clientCount: 2 },
      { requestId: 'r', packet: 'first', n: 1 },
      { requestId: 'r', packet: 'second', n: 2 },
    ]);
    expect(unsent).toEqual([['too large', 'an acknowledgement of a client']]);
  });
});
