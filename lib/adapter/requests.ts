import { randomBytes } from 'node:crypto';
import type { BroadcastOptions } from 'socket.io-adapter';
import type { BusMessage } from '../cluster/request-bus.js';
import { PayloadTooLargeError } from '../redis/errors.js';
import { describeEvent } from '../stream/message-size.js';
import { carry, type NotCarried } from '../wire/carried.js';
import type { EventPacket, WireOptions } from '../wire/entry.js';
import { copyOf, decodeMsgpack, encodeMsgpack } from '../wire/msgpack.js';
import { parseRequest, parseResponse, type Request, type Response } from '../wire/request-data.js';
import { RequestType } from '../wire/requests.js';
import { callApp } from '../cluster/app-code.js';
import { CarriedOut, KEPT_MS } from './carried-out.js';
import type { NamespaceBus } from './namespace-bus.js';
import { RequestError } from './request-error.js';
import type { SocketDetails } from './socket-io.js';
import { respondOfAnySize, ResponsePieces } from './response-pieces.js';
import { answerInPieces, describeSocket } from './sockets-answer.js';
import { Survey } from './survey.js';

/** Milliseconds for an answer, where the application has not said how long. */
const DEFAULT_TIMEOUT_MS = 5_000;
/** Milliseconds after which a request is sent again of which answers are lost: the subscriber is back then, in most cases. */
const AGAIN_DELAY_MS = 100;
/** Milliseconds for which a request is sent again to who may have carried it out, and knows that then: the way takes some time. */
const REPEATED_MS = KEPT_MS - 10_000;
/** Milliseconds after which Redis is asked again who is still there to answer. */
const RECHECK_INTERVAL_MS = 250;

/** What requests need of the server that makes and answers them. */
export interface RequestServer {
  /** The other servers. */
  readonly bus: Pick<
    NamespaceBus,
    'whenStarted' | 'isStarting' | 'census' | 'send' | 'repeat' | 'respond' | 'onUnsent'
  >;
  /** Called with what an answer had to leave out. */
  readonly onLeftOut: (what: NotCarried) => void;
  /** What is asked, done on the sockets of this server. */
  readonly here: {
    broadcast(packet: EventPacket, opts: BroadcastOptions): void;
    broadcastWithAck(
      packet: EventPacket,
      opts: BroadcastOptions,
      onClientCount: (clientCount: number) => void,
      onAck: (response: unknown) => void,
    ): void;
    fetchSockets(opts: BroadcastOptions): Promise<SocketDetails[]>;
    serverSideEmit(event: unknown[]): void;
  };
}

/** What a request of one type says. */
type DataOf<Type extends Request['type']> = Extract<Request, { type: Type }>['data'];

/** A request that waits for the answers of other servers. */
interface Pending {
  /** Undefined until it is known who is to answer. */
  survey: Survey | undefined;
  /** Servers that have answered before that was known. */
  early: Set<string>;
  /** Whether answers may have been lost before that was known. */
  isDeafened: boolean;
  /** Takes a response. Returns whether it was the last one of its server; `again`: some are lost, and are to be asked for. */
  take(response: Response, uid: string): boolean | 'again';
  /** What is asked, as it was at the call. */
  request: Request;
  /** Called at the end: with an error if answers are missing. */
  end(error: Error | undefined): void;
  timer: NodeJS.Timeout;
  /** When it was asked, by the monotonic clock. */
  at: number;
  /** Responses of which some pieces are still missing. */
  pieces: ResponsePieces;
}

/**
 * Requests to the other servers of a namespace, and their answers.
 *
 * A request is sent at the call, and ends when all servers have answered that were there then, when those that have not
 * are known to be gone, or when its time is over.
 */
export class Requests {
  /** Requests that wait for answers, by their ids. */
  private readonly pending = new Map<string, Pending>();
  /** Runs while a recheck is due. */
  private recheckTimer: NodeJS.Timeout | undefined;
  /** Whether it is being asked who is still there. */
  private isRechecking = false;
  /** Whether something has changed since that was asked last. */
  private isRecheckDue = false;
  /** Those of others that were carried out lately. */
  private readonly carriedOut = new CarriedOut();

  constructor(private readonly server: RequestServer) {}

  /** How many requests wait for answers. */
  get size(): number {
    return this.pending.size;
  }

  // ── asking ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * The sockets of the other servers, as they describe them.
   *
   * @throws Error if a server does not answer in time, or the request cannot be sent
   */
  fetchSockets(opts: WireOptions, timeout = DEFAULT_TIMEOUT_MS): Promise<unknown[]> {
    const answers = new Map<string, Map<unknown, unknown>>(); // by server, sockets by id: some may come twice
    return new Promise((resolve, reject) => {
      this.ask((requestId) => ({ type: RequestType.FetchSockets, data: { opts, requestId, pieces: true } }), timeout, {
        take: (response, uid) => {
          if (response.type !== RequestType.FetchSocketsResponse) {
            return false;
          }
          const { sockets, encoded = [], more, count = 0 } = response.data;
          const known = answers.get(uid) ?? new Map<unknown, unknown>();
          answers.set(uid, known);
          const add = (socket: unknown): void => {
            known.set((socket as Partial<SocketDetails> | null)?.id ?? known.size, socket);
          };
          sockets.forEach(add);
          encoded.forEach((socket) => add(decodeMsgpack(socket)));
          return known.size < count ? 'again' : !more; // a piece is lost if Redis has cut the subscriber meanwhile
        },
        end: (error) => {
          if (error) {
            reject(error);
          } else {
            resolve([...answers.values()].flatMap((known) => [...known.values()]));
          }
        },
      });
    });
  }

  /**
   * Emits an event to the other servers and collects what each answers.
   *
   * @param done - called once, also if not all have answered in time
   */
  serverSideEmit(event: unknown[], done: (error: Error | null, responses: unknown[]) => void): void {
    const responses: unknown[] = [];
    let refusal: Error | undefined;
    this.ask(
      (requestId) => ({ type: RequestType.ServerSideEmit, data: { packet: event, requestId, pieces: true } }),
      DEFAULT_TIMEOUT_MS,
      {
        take: (response, uid) => {
          if (response.type !== RequestType.ServerSideEmitResponse) {
            return false;
          }
          if (response.data.error === undefined) {
            responses.push(response.data.packet);
          } else {
            refusal = new RequestError('ANSWER', `the server ${uid} cannot send its answer: ${response.data.error}`);
          }
          return true;
        },
        end: (error) => callApp(() => done(error ?? refusal ?? null, responses)),
      },
    );
  }

  /**
   * Broadcasts to the clients of the other servers and passes on what they answer.
   *
   * @param timeout - milliseconds; nobody listens any longer
   * @param onAll - called when all those clients have answered whose server is still there, with how many did
   */
  broadcastWithAck(
    { packet, opts, timeout }: { packet: EventPacket; opts: WireOptions; timeout: number | undefined },
    onAck: (response: unknown) => void,
    onAll: (count: number) => void,
  ): void {
    let received = 0;
    const clients = new Map<string, { expected: number | undefined; received: number; numbers: Set<number> }>();
    this.ask(
      (requestId) => ({ type: RequestType.Broadcast, data: { packet, opts, requestId, pieces: true } }),
      timeout,
      {
        take: (response, uid) => {
          const of = clients.get(uid) ?? { expected: undefined, received: 0, numbers: new Set() };
          clients.set(uid, of);
          if (response.type === RequestType.BroadcastClientCount) {
            of.expected = response.data.clientCount;
          } else if (response.type === RequestType.BroadcastAck && isFirst(response.data.n, of.numbers)) {
            of.received++;
            received++;
            callApp(() => onAck(response.data.packet));
          }
          return of.expected !== undefined && of.received >= of.expected;
        },
        end: (error) => {
          if (!error) {
            callApp(() => onAll(received));
          } else {
            // Socket.IO notices by itself that the time is over, and only that.
            this.server.bus.onUnsent(error.cause, describeEvent(packet.data[0]));
          }
        },
      },
    );
  }

  /** Servers may have come or gone, or hear no more, or hear again. */
  async recheck(): Promise<void> {
    if (this.pending.size === 0) {
      return;
    }
    this.isRecheckDue = true;
    if (this.isRechecking) {
      return;
    }
    this.isRechecking = true;
    while (this.isRecheckDue) {
      this.isRecheckDue = false;
      const present = await this.server.bus.census();
      for (const [requestId, { survey }] of [...this.pending]) {
        survey?.narrow(present);
        survey?.unreached(present).forEach((uid) => this.repeat(requestId, uid));
        this.endIfComplete(requestId);
      }
    }
    this.isRechecking = false;
    this.scheduleRecheck();
  }

  /** Nobody will answer any more: what has come so far is the answer. */
  close(): void {
    clearTimeout(this.recheckTimer);
    for (const requestId of [...this.pending.keys()]) {
      this.end(requestId);
    }
  }

  private ask(
    request: (requestId: string) => Request,
    timeout: number | undefined,
    { take, end }: Pick<Pending, 'take' | 'end'>,
  ): void {
    const requestId = randomBytes(8).toString('hex');
    const timer = setTimeout(() => this.end(requestId, this.lateness(requestId)), timeout);
    const pending: Pending = {
      ...{ survey: undefined, early: new Set(), isDeafened: false, request: request(requestId) },
      ...{ take, end, timer, at: performance.now(), pieces: new ResponsePieces() },
    };
    this.pending.set(requestId, pending);
    const started = this.server.bus.whenStarted();
    if (started) {
      pending.request = copyOf(pending.request);
      void started.then(() => this.send(requestId));
    } else {
      this.send(requestId);
    }
    this.scheduleRecheck();
  }

  private send(requestId: string): void {
    const pending = this.pending.get(requestId);
    if (!pending) {
      return; // its time was over before the node had started
    }
    // Both at once: who comes between the two need not answer, and what is sent keeps its place in the order.
    const counting = this.server.bus.census();
    this.server.bus.send(pending.request).catch((cause: Error) => {
      const problem = `the request cannot be sent to other servers: ${cause.message}`;
      this.end(requestId, new RequestError('UNSENT', problem, { cause }));
    });
    void counting.then((census) => {
      pending.survey = new Survey(census);
      pending.early.forEach((uid) => pending.survey!.answer(uid));
      this.endIfComplete(requestId);
      if (pending.isDeafened) {
        this.askOnceMore(requestId, pending);
        void this.recheck();
      }
    });
  }

  /**
   * To be called when this node hears the others again: answers may have been lost meanwhile. What does no harm if it is asked
   * twice is asked again; the rest only of servers that know what they have carried out.
   */
  askAgain(): void {
    this.pending.forEach((pending, requestId) => this.askOnceMore(requestId, pending));
    void this.recheck();
  }

  private askOnceMore(requestId: string, pending: Pending): void {
    const { request, survey } = pending;
    pending.isDeafened = survey === undefined; // then it is done once it is known who is to answer
    if (survey && request.type === RequestType.FetchSockets) {
      this.sendAgain(requestId);
    } else {
      survey?.onUnheard();
    }
  }

  private repeat(requestId: string, uid: string): void {
    const { request, at } = this.pending.get(requestId)!;
    if (performance.now() - at > REPEATED_MS) {
      return; // it might be carried out twice
    }
    this.server.bus.repeat(uid, request).catch(() => this.onUnrepeated(requestId));
  }

  /** Servers that have answered answer again, and are not heard. */
  private sendAgain(requestId: string): void {
    const request = this.pending.get(requestId)?.request;
    if (request) {
      this.server.bus.send(request).catch(() => this.onUnrepeated(requestId));
    }
  }

  /** It could not be sent again: at the next recheck it is, to each that has not answered. */
  private onUnrepeated(requestId: string): void {
    this.pending.get(requestId)?.survey?.onUnheard();
  }

  private lateness(requestId: string): Error {
    if (this.server.bus.isStarting) {
      return new RequestError(
        'TIMEOUT',
        'timeout reached: Redis has not been reached yet, so other servers could not be asked',
      );
    }
    const { survey } = this.pending.get(requestId)!;
    const { answered, expected } = survey ?? { answered: new Set(), expected: 'an unknown number' };
    return new RequestError('TIMEOUT', `timeout reached: only ${answered.size} responses received out of ${expected}`);
  }

  private endIfComplete(requestId: string): void {
    if (this.pending.get(requestId)?.survey?.isComplete) {
      this.end(requestId);
    }
  }

  private end(requestId: string, error?: Error): void {
    const pending = this.pending.get(requestId);
    if (pending) {
      this.pending.delete(requestId);
      clearTimeout(pending.timer);
      pending.end(error);
    }
  }

  private scheduleRecheck(): void {
    clearTimeout(this.recheckTimer);
    if (this.pending.size > 0) {
      this.recheckTimer = setTimeout(() => void this.recheck(), RECHECK_INTERVAL_MS).unref();
    }
  }

  // ── what the bus brings ─────────────────────────────────────────────────────────────────────────────────────────

  /** @throws Error if the message, which anybody may have published, is not one */
  receive({ uid, type, data }: BusMessage): void {
    const message = parseRequest({ type, data });
    switch (message.type) {
      case RequestType.Broadcast:
        this.onBroadcast(uid, message.data);
        return;
      case RequestType.FetchSockets:
        void this.onFetchSockets(uid, message.data);
        return;
      case RequestType.ServerSideEmit:
        this.onServerSideEmit(uid, message.data);
        return;
      case RequestType.ResponsePiece: {
        const whole = this.pending.get(message.data.requestId)?.pieces.add(uid, message.data);
        if (whole) {
          this.onResponse(uid, whole);
        }
        return;
      }
      default:
        this.onResponse(uid, message);
    }
  }

  private onResponse(uid: string, response: Response): void {
    const { requestId } = response.data;
    const request = this.pending.get(requestId);
    if (!request || request.survey?.answered.has(uid) || request.early.has(uid)) {
      return;
    }
    const isLast = request.take(response, uid);
    if (isLast === 'again') {
      setTimeout(() => this.sendAgain(requestId), AGAIN_DELAY_MS).unref();
    } else if (isLast) {
      if (request.survey) {
        request.survey.answer(uid);
        this.endIfComplete(requestId);
      } else {
        request.early.add(uid);
      }
    }
  }

  // ── answering ───────────────────────────────────────────────────────────────────────────────────────────────────

  private onBroadcast(
    uid: string,
    { packet, opts, requestId, pieces = false }: DataOf<typeof RequestType.Broadcast>,
  ): void {
    const { here } = this.server;
    if (requestId === undefined) {
      here.broadcast(packet, toBroadcastOptions(opts));
      return;
    }
    if (this.wasCarriedOut(uid, requestId)) {
      return;
    }
    const type = RequestType.BroadcastClientCount;
    let n = 0;
    here.broadcastWithAck(
      packet,
      toBroadcastOptions(opts),
      (clientCount) => void this.respond(uid, { type, data: { requestId, clientCount } }, false).catch(ignore),
      (response) => this.acknowledge(uid, { requestId, packet: response, n: ++n }, pieces),
    );
  }

  private async onFetchSockets(
    uid: string,
    { opts, requestId, pieces }: DataOf<typeof RequestType.FetchSockets>,
  ): Promise<void> {
    const { bus, here, onLeftOut } = this.server;
    const sockets = await here.fetchSockets(toBroadcastOptions(opts));
    const type = RequestType.FetchSocketsResponse;
    try {
      if (pieces) {
        await answerInPieces(sockets, { bus, uid, requestId, onLeftOut });
      } else {
        const described = sockets.map((socket) => describeSocket(socket, onLeftOut));
        await bus.respond(uid, { type, data: { requestId, sockets: described } });
      }
    } catch {
      // Redis is away, which is counted; who asked waits no longer than it wants to
    }
  }

  private onServerSideEmit(
    uid: string,
    { packet: event, requestId, pieces = false }: DataOf<typeof RequestType.ServerSideEmit>,
  ): void {
    if (requestId !== undefined) {
      if (this.wasCarriedOut(uid, requestId)) {
        return;
      }
      let isAnswered = false;
      const answer = (value?: unknown): void => {
        if (!isAnswered) {
          isAnswered = true;
          this.answerEvent(uid, { requestId, value, pieces });
        }
      };
      callApp(() => this.server.here.serverSideEmit([...event, answer]));
    } else {
      callApp(() => this.server.here.serverSideEmit(event));
    }
  }

  /** @throws TypeError if the value cannot be sent: to the listener that gave it */
  private answerEvent(
    uid: string,
    { requestId, value, pieces }: { requestId: string; value: unknown; pieces: boolean },
  ): void {
    const type = RequestType.ServerSideEmitResponse;
    const refuse = ({ message }: Error): Promise<void> =>
      this.respond(uid, { type, data: { requestId, packet: null, error: message } }, false);
    let packet: unknown;
    try {
      packet = carry(value);
    } catch (error) {
      refuse(error as Error).catch(ignore);
      throw error;
    }
    this.respond(uid, { type, data: { requestId, packet } }, pieces)
      .catch((error: Error) => (error instanceof PayloadTooLargeError ? refuse(error) : undefined))
      .catch(ignore);
  }

  /** Whether a request came before. Then what was answered is sent again, for it may not have been heard. */
  private wasCarriedOut(uid: string, requestId: string): boolean {
    const answers = this.carriedOut.begin(uid, requestId);
    for (const answer of answers ?? []) {
      respondOfAnySize(uid, parseResponse(decodeMsgpack(answer)), this.server.bus, answer).catch(ignore);
    }
    return answers !== undefined;
  }

  /** The answer of a client. One that cannot be sent is missed by who asked, as one of a client that does not answer. */
  private acknowledge(uid: string, data: { requestId: string; packet: unknown; n: number }, pieces: boolean): void {
    const { bus } = this.server;
    this.respond(uid, { type: RequestType.BroadcastAck, data }, pieces).catch((error: unknown) =>
      bus.onUnsent(error, 'an acknowledgement of a client'),
    );
  }

  /** @param pieces - whether who asked understands pieces of what is too large */
  private async respond(uid: string, response: Response, pieces: boolean): Promise<void> {
    const { bus } = this.server;
    const encoded = encodeMsgpack(response); // as it is now
    this.carriedOut.onAnswer(uid, response.data.requestId, encoded);
    await (pieces ? respondOfAnySize(uid, response, bus, encoded) : bus.respond(uid, response));
  }
}

/** Redis is away, which is counted; who asked notices by its time. */
function ignore(): void {}

/** Whether something with this number comes for the first time; without one, it comes once. */
function isFirst(n: number | undefined, numbers: Set<number>): boolean {
  return n === undefined || numbers.size < numbers.add(n).size;
}

export function toBroadcastOptions({ rooms, except, flags }: WireOptions): BroadcastOptions {
  return { rooms: new Set(rooms), except: new Set(except), flags };
}
