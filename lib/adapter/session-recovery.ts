import { setTimeout as sleep } from 'node:timers/promises';
import type { Session as SocketIoSession } from 'socket.io-adapter';
import type { ClusterNode } from '../cluster/cluster-node.js';
import type { RecoveryRefusal } from '../cluster/events.js';
import { isSessionId, type Ahead, type LastGiven, type Session } from '../wire/session.js';
import { SessionRecipient } from '../session/session-recipient.js';
import type { SessionClaim, SessionState } from '../session/session-claim.js';
import { DIRECT_LANE, type LogEntry } from '../wire/entry.js';
import type { Replay, ReplayItem } from '../stream/replay-log.js';
import { broadcastOf } from '../stream/broadcast.js';
import type { StreamLog } from '../stream/stream-log.js';
import { within } from '../time/within.js';
import {
  coversCut,
  cutAt,
  cutBackTo,
  decodeCut,
  encodeCut,
  isInCut,
  joinCuts,
  NOTHING,
  type Cut,
} from '../wire/cut.js';
import { EVENT } from '../wire/requests.js';
import { compareStreamIds, earlier, STREAM_START, type StreamId } from '../wire/stream-id.js';
import type { NamespaceLike, PacketLike, SocketLike } from './socket-io.js';

/** The event that tells a client the offset when it connects, with the option `announceOffset`. */
export const OFFSET_EVENT = 'redis-streams:offset';
/** An offset with which nobody is recovered. */
const NO_OFFSET = '-';
/** Milliseconds that a recovery waits: for this node to come to where its client was, for an earlier socket to be gone. */
const PATIENCE = 10_000;
/** How often a session is taken back from other connections of its client, and about how many milliseconds later. */
const MAX_TRIES = 5;
const TAKEN_PAUSE = 200;
/** How many of the rooms that a client has left are remembered. */
const MAX_LEFT = 100;

/** How many publishers are remembered of which a client has more than its node. */
const MAX_AHEAD = 16;

/** A client that is connected. */
interface Live {
  readonly sid: string;
  /** Set as soon as it is live. */
  claim: SessionClaim | undefined;
  /** How far the node was when it connected for the first time. */
  since: Cut;
  /** See {@link Session.forgotten}. */
  forgotten: Cut | undefined;
  /** How far this node was when it came here: it had been given all up to there. */
  arrived: Cut;
  /** The last entries that it had been given then, and whether it had missed some of them. */
  sent: LastGiven;
  hasMissed: boolean;
  /** See {@link Session.owners}. */
  owners: string[] | undefined;
  joined: Map<string, Cut>;
  left: [room: string, from: Cut, upTo: Cut][];
  /** See {@link Session.ahead}. */
  ahead: Ahead[];
}

/**
 * A client that is coming back.
 *
 * - It is being restored: what it missed is collected. Its socket does not exist yet.
 * - Its socket is in the middlewares. What the log brings for it is collected still.
 * - Its socket has joined the namespace, or never will: its connection is gone, or a middleware refused it. In both
 *   cases the session goes back to Redis, for the client may try again.
 *
 * At any time its session may be taken by a later connection of the same client: then it is released.
 */
interface Arrival {
  claim: SessionClaim;
  session: Session;
  /** What the client has. */
  cut: Cut;
  replay: Replay | undefined;
  /** Whether the history was replaced since: what was collected may not go with what the client has. */
  isOutdated: boolean;
  /** Resolves when no socket of it is left. */
  ended: Promise<void>;
  end(): void;
}

/**
 * Connection state recovery of one namespace of one server.
 *
 * A client is *live* from when its socket joins the namespace until it is gone, and *arriving* from when its session was
 * taken until its socket joins. In both states its session is in Redis.
 */
export class SessionRecovery {
  private readonly live = new Map<string, Live>();
  private readonly arriving = new Map<string, Arrival>();
  /** The live clients that have more of a publisher than this node has read, by publisher. */
  private readonly clientsAhead = new Map<string, Set<Live>>();
  private turns: Promise<void> = Promise.resolve();
  private readonly stopListening: () => void;

  constructor(
    private readonly node: ClusterNode,
    private readonly log: StreamLog,
    private readonly namespace: NamespaceLike,
    /** Milliseconds for which a client can come back. */
    private readonly duration: number,
  ) {
    node.sessions.keepFor(duration);
    this.stopListening = log.onReplaced((position) => this.onReplaced(position));
  }

  /** To be called when the namespace or its server is closed. */
  close(): void {
    this.stopListening();
  }

  // ── what happens to sockets ─────────────────────────────────────────────────────────────────────────────────────

  /** A socket was added to rooms: the first time, it has just joined the namespace, and its CONNECT packet follows. */
  onJoin(sid: string, rooms: string[]): void {
    const socket = this.namespace.sockets.get(sid);
    if (!socket?.pid) {
      return; // still in its middlewares
    }
    const live = this.live.get(sid);
    if (!live) {
      this.onConnected(socket, socket.pid);
    } else if (rooms.length > 0) {
      const from = this.log.cut();
      for (const room of rooms) {
        live.joined.set(room, from);
      }
      live.claim?.touch();
    }
  }

  onLeave(sid: string, room: string): void {
    const live = this.live.get(sid);
    if (live) {
      this.leave(live, room);
      live.claim?.touch();
    }
  }

  /** A socket is being removed from the namespace, or has not been let in. */
  onGone(sid: string): void {
    const arrival = this.arriving.get(sid);
    if (arrival) {
      arrival.claim.giveBack();
      arrival.end();
    }
    const live = this.live.get(sid);
    if (live) {
      this.remove(live);
      live.claim?.discard();
    }
  }

  /** A client was cut off. */
  persist({ sid, rooms, data }: SocketIoSession): void {
    const live = this.live.get(sid);
    if (live) {
      const session = this.snapshot(live, rooms, data);
      this.remove(live);
      live.claim?.giveBack(session);
    }
  }

  /**
   * The ids of the sockets that have been given an entry of the log already, elsewhere, and must not be given it again. To
   * be asked for each entry that is delivered because it was read.
   */
  withheldFrom({ id, origin }: LogEntry): ReadonlySet<string> | undefined {
    const clients = origin && this.clientsAhead.size > 0 ? this.clientsAhead.get(origin.node) : undefined;
    if (!origin || !clients) {
      return undefined;
    }
    const withheld = new Set<string>();
    for (const live of clients) {
      const ahead = live.ahead.find(({ node }) => node === origin.node)!;
      if (origin.seq <= ahead.seq) {
        withheld.add(live.sid);
      }
      if (origin.seq >= ahead.seq) {
        ahead.coveredAt = id;
        this.catchUp(live, origin.node);
      }
    }
    return withheld;
  }

  private onConnected(socket: SocketLike, pid: string): void {
    const arrival = this.arriving.get(socket.id);
    if (arrival?.claim.isReleased || arrival?.isOutdated) {
      arrival.end();
      queueMicrotask(() => socket.conn.close(true)); // the client has come elsewhere meanwhile
      return;
    }
    const { session, cut, missed } = arrival ? this.endArrival(arrival) : newClient;
    const arrived = this.log.cut();
    const live: Live = {
      ...{ sid: socket.id, claim: arrival?.claim, arrived },
      since: session ? (session.since ?? NOTHING) : arrived,
      forgotten: session?.forgotten,
      sent: lastOf(missed) ?? { other: cut.position },
      hasMissed: missed.length > 0,
      owners: session?.owners,
      joined: new Map(session?.joined),
      left: [...(session?.left ?? [])],
      ahead: this.withFormer(session ? this.aheadOf(session, cut) : []),
    };
    const isChanged = session !== undefined && this.noteRoomsOf(socket, live, session.rooms);
    this.live.set(socket.id, live);
    this.watchAhead(live);
    const holder = {
      current: () => this.snapshot(live, socket.rooms, socket.data),
      get data() {
        return socket.data;
      },
      release: () => this.releaseLive(socket),
    };
    if (live.claim) {
      live.claim.hold(holder, isChanged);
    } else {
      live.claim = this.node.sessions.open(pid, this.namespace.name, this.duration, holder);
    }
    const isAnnounced = session ? missed.length === 0 && !live.claim.isAnswered : this.node.options.announceOffset;
    const announced = isAnnounced && this.log.position !== undefined;
    if (announced) {
      sendAfterNextPacket(socket, [[OFFSET_EVENT, session ? this.ownOffset() : encodeCut(arrived)]]);
    } else if (missed.length > 0) {
      sendAfterNextPacket(socket, missed.map(toPacketData));
    }
  }

  /**
   * An offset that names this node even if it has sent nothing. The node where a client was before may be cut off from
   * Redis, and if the client comes back to it, can tell by this that it has been elsewhere.
   */
  private ownOffset(): string {
    return encodeCut(joinCuts(this.log.cut(), { position: STREAM_START, ahead: [{ node: this.node.id, seq: 0 }] }));
  }

  /** Notes rooms that a middleware has joined or left. Returns whether there were any. */
  private noteRoomsOf({ rooms }: SocketLike, live: Live, before: string[]): boolean {
    const joined = [...rooms].filter((room) => !before.includes(room));
    const left = before.filter((room) => !rooms.has(room));
    joined.forEach((room) => live.joined.set(room, live.arrived));
    left.forEach((room) => this.leave(live, room));
    return joined.length > 0 || left.length > 0;
  }

  private leave(live: Live, room: string): void {
    live.left.push([room, live.joined.get(room) ?? NOTHING, this.log.cut()]);
    live.joined.delete(room);
    if (live.left.length > MAX_LEFT) {
      live.forgotten = live.left.shift()![2];
    }
  }

  private remove(live: Live): void {
    this.live.delete(live.sid);
    for (const { node } of live.ahead) {
      this.catchUp(live, node);
    }
  }

  // ── what clients have that this node has not read ───────────────────────────────────────────────────────────────

  /** What an arriving client has of publishers, besides what the offsets that it is given here will say. */
  private aheadOf(session: Session, cut: Cut): Ahead[] {
    const known = (session.ahead ?? []).filter(
      ({ coveredAt }) => coveredAt === undefined || compareStreamIds(coveredAt, cut.position) > 0,
    );
    const all = new Map(known.map((ahead) => [ahead.node, { ...ahead }]));
    for (const { node, seq } of cut.ahead) {
      if (seq > (all.get(node)?.seq ?? 0)) {
        all.set(node, { node, seq });
      }
    }
    return [...all.values()].slice(-MAX_AHEAD);
  }

  /** What a client of this node has besides, and its offsets say, of a history that was replaced. */
  private withFormer(ahead: Ahead[]): Ahead[] {
    const all = new Map(ahead.map((one) => [one.node, one]));
    for (const { node, seq } of this.log.formerNumbers) {
      if (seq > (all.get(node)?.seq ?? 0)) {
        all.set(node, { node, seq });
      }
    }
    return [...all.values()].slice(-MAX_AHEAD);
  }

  private watchAhead(live: Live): void {
    for (const ahead of live.ahead) {
      if (ahead.coveredAt === undefined && !this.log.hasRead(ahead.node, ahead.seq)) {
        this.clientsAhead.set(ahead.node, (this.clientsAhead.get(ahead.node) ?? new Set()).add(live));
      } else {
        ahead.coveredAt ??= this.log.position;
      }
    }
  }

  /** This node has read as much of a publisher as a client has, or the client is gone. */
  private catchUp(live: Live, node: string): void {
    const clients = this.clientsAhead.get(node);
    clients?.delete(live);
    if (clients?.size === 0) {
      this.clientsAhead.delete(node);
    }
  }

  /** The client has come elsewhere: this connection of it is closed, and nothing is written of it. */
  private releaseLive(socket: SocketLike): void {
    const live = this.live.get(socket.id);
    const isDoubtful = live?.claim?.isConfirmed === false && this.hasBeenGiven(live, socket.rooms);
    if (live) {
      this.remove(live);
    }
    if (isDoubtful) {
      // What it was given here, in rooms that it may have left elsewhere, is nothing to go on from.
      socket.packet({ type: EVENT, data: [OFFSET_EVENT, NO_OFFSET] });
    }
    socket._onclose('transport close');
    socket.conn.close(!isDoubtful);
  }

  /** Whether a client may have been given anything since it came here. */
  private hasBeenGiven({ arrived, joined, left, hasMissed }: Live, rooms: ReadonlySet<string>): boolean {
    const recipient = new SessionRecipient(this.namespace.name, { rooms: [...rooms], joined: [...joined], left });
    return hasMissed || this.log.lastGivenTo(recipient, arrived) !== undefined;
  }

  /**
   * The history of the log was replaced by one that is the same up to a position. What this node delivered after it is not in
   * the log any more; what the log brings from now on comes after all that has happened here.
   */
  private onReplaced(position: StreamId): void {
    const cutBack = (cut: Cut): Cut => cutBackTo(position, cut);
    const isKept = (id: StreamId | undefined): boolean => id !== undefined && compareStreamIds(id, position) <= 0;
    for (const live of this.live.values()) {
      live.since = cutBack(live.since);
      live.forgotten = live.forgotten && cutBack(live.forgotten);
      live.arrived = cutBack(live.arrived);
      const { other, own } = live.sent;
      live.sent = {
        other: earlier(other, position),
        ...(own && { own: { origin: own.origin, ...(isKept(own.id) && { id: own.id }) } }),
      };
      live.joined.forEach((from, room) => live.joined.set(room, cutBack(from)));
      live.left = live.left.map(([room, from, upTo]) => [room, cutBack(from), cutBack(upTo)]);
      live.ahead = this.withFormer(
        live.ahead.map(({ node, seq, coveredAt }) => ({ node, seq, ...(isKept(coveredAt) && { coveredAt }) })),
      );
      live.claim?.touch();
    }
    for (const arrival of [...this.arriving.values()]) {
      arrival.isOutdated = true;
      arrival.claim.giveBack(arrival.session);
      // It tries again, and is told then whether what it has goes with the new history.
      this.namespace._preConnectSockets?.get(arrival.session.sid)?.conn.close(true);
    }
  }

  // ── recovery ────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * The session of a client; undefined if it cannot be recovered exactly. What it has missed is written to it when it
   * has connected.
   *
   * @param pid - from the client
   * @param offset - from the client: what came with the last entry that it was given; undefined if it has received none
   */
  async restore(pid: unknown, offset: unknown): Promise<SocketIoSession | undefined> {
    let outcome = this.node.isClosing ? 'unknown' : await this.tryRestore(pid, offset);
    // Which of two connections of a client is the one that it still has, nobody can know. Whoever loses the session to
    // another tries again, by when that may be gone; the client would be told that it is new otherwise.
    for (let tries = 1; outcome === 'taken' && tries < MAX_TRIES && !this.node.isClosing; tries++) {
      await sleep(TAKEN_PAUSE * (0.5 + Math.random()));
      outcome = await this.tryRestore(pid, offset);
    }
    if (this.node.isClosing) {
      return new Promise(() => undefined); // its connection is about to be closed, and another node can recover it
    }
    if (typeof outcome === 'string') {
      this.node.refuseRecovery(this.namespace.name, outcome);
      return undefined;
    }
    this.node.counters.recoveries++;
    const { sid, rooms, data } = outcome;
    return { sid, pid, rooms, data, missedPackets: [] } as unknown as SocketIoSession;
  }

  private async tryRestore(pid: unknown, offset: unknown): Promise<Session | RecoveryRefusal> {
    if (!isSessionId(pid)) {
      return 'unknown';
    }
    const offsetCut = offset === undefined ? NOTHING : decodeCut(offset);
    if (!offsetCut) {
      return 'offset';
    }
    const claim = await this.node.sessions.take(pid, this.namespace.name, {
      duration: this.duration,
      wasOnlyHere: () => this.isFromHere(offsetCut),
    });
    if (typeof claim === 'string') {
      return claim;
    }
    const arrival = this.newArrival(claim, offsetCut);
    const { sid } = arrival.session;
    const before = this.arriving.get(sid);
    if (before && !(await isSoon(before.ended))) {
      claim.giveBack(); // a middleware has not let go of an earlier socket with this id
      return 'busy';
    }
    if (claim.isReleased) {
      return 'taken';
    }
    this.arriving.set(sid, arrival);
    const refusal = await this.collect(arrival);
    if (refusal) {
      if (!this.node.isClosing) {
        claim.discard();
      }
      arrival.end();
      return refusal;
    }
    setImmediate(() => this.watch(arrival)); // its socket exists then
    return arrival.session;
  }

  /** Finds what a client has missed. Returns why it cannot, if so. */
  private async collect(arrival: Arrival): Promise<RecoveryRefusal | undefined> {
    const { claim, session, cut } = arrival;
    const { since = NOTHING, sent, position, mark, forgotten } = session;
    if (claim.isConfirmed) {
      // All that the session says is of the history to which its position belongs.
      const ofSession = position ? await this.log.isInLog(position.position, mark) : 'yes';
      const isUsable = ofSession === 'yes' || ofSession === 'trimmed';
      const isThere =
        isUsable && cut.position !== position?.position ? await this.log.isInLog(cut.position) : ofSession;
      if (isThere === 'no' || isThere === 'unknown') {
        return isThere === 'no' ? 'offset' : 'redis-away';
      }
      if (!this.knowsNodesOf(cut, session)) {
        return 'unknown';
      }
    }
    const isUpToDate = sent !== undefined && position !== undefined && hasReceived(cut, sent);
    const has = joinCuts(joinCuts(cut, since), isUpToDate ? position : NOTHING);
    if (forgotten && !coversCut(has, forgotten)) {
      return 'trimmed';
    }
    if (!(await this.log.whenRead(has, PATIENCE))) {
      return this.log.isReading ? 'offset' : 'redis-away';
    }
    if (!(await this.log.whenFormerIn(has, PATIENCE))) {
      return 'lost';
    }
    await this.turn();
    if (claim.isReleased) {
      return 'taken';
    }
    arrival.replay = this.log.replay(has, new SessionRecipient(this.namespace.name, session));
    const outcome = await arrival.replay.complete;
    if (arrival.isOutdated) {
      return 'taken';
    }
    return claim.isReleased ? 'taken' : outcome === 'complete' ? undefined : outcome;
  }

  /**
   * Whether a session names all nodes that the offset says the client was at. If not, Redis has lost the session as it was
   * there, in a failover, and this is an earlier one.
   */
  private knowsNodesOf({ ahead }: Cut, { owner, owners = [], position, ahead: before = [] }: Session): boolean {
    const known = new Set([
      owner,
      ...owners,
      ...[...before, ...(position?.ahead ?? [])].map(({ node }) => serverOf(node)),
    ]);
    return ahead.every(({ node }) => known.has(serverOf(node)));
  }

  /** Whether a client with this offset was given nothing that this node has not delivered. */
  private isFromHere({ position, ahead }: Cut): boolean {
    const { id } = this.node;
    return (
      compareStreamIds(position, this.log.position ?? STREAM_START) <= 0 &&
      ahead.every(({ node }) => node === id || node === id + DIRECT_LANE)
    );
  }

  /** When many come back at once, each has a turn of the event loop of its own. */
  private turn(): Promise<void> {
    this.turns = this.turns.then(() => new Promise((resolve) => setImmediate(resolve)));
    return this.turns;
  }

  /** Notices at once when the connection of a socket in its middlewares is gone. */
  private watch(arrival: Arrival): void {
    const socket = this.namespace._preConnectSockets?.get(arrival.session.sid);
    if (!socket || this.arriving.get(arrival.session.sid) !== arrival) {
      return; // it has connected, or is gone
    }
    if (arrival.claim.isReleased || arrival.isOutdated) {
      socket.conn.close(true);
    } else if (socket.conn.readyState !== 'open') {
      arrival.claim.giveBack();
    } else {
      socket.conn.once('close', () => this.giveBack(arrival));
    }
  }

  private newArrival(claim: SessionClaim, offset: Cut): Arrival {
    const session = claim.current();
    const cut = joinCuts(offset, { position: STREAM_START, ahead: session.ahead ?? [] });
    let resolve!: () => void;
    const ended = new Promise<void>((settle) => (resolve = settle));
    const arrival: Arrival = {
      ...{ claim, session, cut, replay: undefined, isOutdated: false, ended },
      end: () => {
        arrival.replay?.end();
        arrival.replay = undefined; // listeners of the connection hold the arrival for as long as that is open
        if (this.arriving.get(session.sid) === arrival) {
          this.arriving.delete(session.sid);
        }
        resolve();
      },
    };
    const holder = {
      current: () => session,
      data: session.data,
      release: () => {
        arrival.replay?.end();
        this.namespace._preConnectSockets?.get(session.sid)?.conn.close(true);
      },
    };
    claim.hold(holder, false);
    return arrival;
  }

  /** The client is not here after all: its session is kept, as it was, for when it tries again. */
  private giveBack(arrival: Arrival): void {
    if (this.arriving.get(arrival.session.sid) === arrival) {
      arrival.replay?.end();
      arrival.claim.giveBack(arrival.session);
    }
  }

  private endArrival(arrival: Arrival): { session: Session; cut: Cut; missed: ReplayItem[] } {
    const { session, cut, replay } = arrival;
    const missed = replay!.end();
    arrival.end();
    return { session, cut, missed };
  }

  private snapshot(live: Live, rooms: Iterable<string>, data: unknown): SessionState {
    const { sid, since, arrived, joined, left, ahead } = live;
    this.settleForgotten(live);
    const session: SessionState = { sid, rooms: [...rooms], data, since };
    if (live.owners) {
      session.owners = live.owners;
    }
    if (live.forgotten) {
      session.forgotten = live.forgotten;
    }
    if (joined.size > 0) {
      session.joined = [...joined];
    }
    if (left.length > 0) {
      session.left = left;
    }
    if (ahead.length > 0) {
      session.ahead = ahead;
    }
    if (this.log.position !== undefined) {
      const recipient = new SessionRecipient(this.namespace.name, session);
      session.sent = this.log.lastGivenTo(recipient, arrived) ?? live.sent;
      session.position = this.log.cut();
      const mark = this.log.positionMark;
      if (mark !== undefined) {
        session.mark = mark;
      }
    }
    return session;
  }

  /** Once what the mark names of this node has been read back, a position says it as well, and to every node. */
  private settleForgotten(live: Live): void {
    const { forgotten } = live;
    if (forgotten && forgotten.ahead.length > 0 && this.log.position !== undefined) {
      if (forgotten.ahead.every(({ node, seq }) => this.log.hasRead(node, seq))) {
        live.forgotten = cutAt(this.log.position);
      }
    }
  }
}

const newClient = { session: undefined, cut: NOTHING, missed: [] as ReplayItem[] };

/** Whether a client that has what is in a cut has received what it was given last, and so all before it. */
function hasReceived(cut: Cut, { other, own }: LastGiven): boolean {
  const isOwnReceived = own === undefined || isInCut({ id: own.id, origin: own.origin }, cut);
  return isOwnReceived && compareStreamIds(cut.position, other) >= 0;
}

/** The last of what a client missed; undefined if it missed nothing. */
function lastOf(missed: readonly ReplayItem[]): LastGiven | undefined {
  const read = missed.findLast(({ entry }) => entry.id !== undefined)?.entry.id;
  const origin = missed.findLast(({ entry }) => entry.id === undefined)?.entry.origin;
  return missed.length === 0 ? undefined : { other: read ?? STREAM_START, ...(origin && { own: { origin } }) };
}

/** What is sent to a client that missed an entry. */
function toPacketData({ entry, offset }: ReplayItem): unknown[] {
  return [...broadcastOf(entry)!.packet.data, offset];
}

/**
 * Sends packets to a socket right after its next one, which is CONNECT: a client that is cut off before it has that would
 * keep what came before it, and be given it again.
 *
 * A function of its own: what is sent must not be held, in a scope, by anything that lives as long as the connection.
 */
function sendAfterNextPacket(socket: SocketLike, packets: unknown[][]): void {
  const { packet } = socket;
  socket.packet = (next: PacketLike, ...rest: unknown[]) => {
    socket.packet = packet;
    packet.call(socket, next, ...rest);
    packets.forEach((data) => socket.packet({ type: EVENT, data }));
  };
}

/** The node that has a lane. */
function serverOf(lane: string): string {
  return lane.endsWith(DIRECT_LANE) ? lane.slice(0, -DIRECT_LANE.length) : lane;
}

async function isSoon(event: Promise<void>): Promise<boolean> {
  return (
    (await within(
      PATIENCE,
      event.then(() => true),
    )) ?? false
  );
}
