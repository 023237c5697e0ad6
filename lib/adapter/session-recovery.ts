import type { Session as SocketIoSession } from 'socket.io-adapter';
import type { ClusterNode } from '../cluster/cluster-node.js';
import type { RecoveryRefusal } from '../cluster/events.js';
import { InvalidOptionError } from '../cluster/options.js';
import { isSessionId, type Session } from '../wire/session.js';
import { SessionRecipient } from '../session/session-recipient.js';
import type { SessionClaim, SessionState } from '../session/session-claim.js';
import type { LogEntry } from '../wire/entry.js';
import type { Replay } from '../stream/replay-log.js';
import { broadcastOf } from '../stream/room-index.js';
import type { StreamLog } from '../stream/stream-log.js';
import { decodeCut, encodeCut } from '../wire/cut.js';
import { compareStreamIds, later, STREAM_START, type StreamId } from '../wire/stream-id.js';
import type { NamespaceLike, PacketLike, SocketLike } from './socket-io.js';

const EVENT = 2;
/** The event that tells a client the offset when it connects, with the option `announceOffset`. */
export const OFFSET_EVENT = 'redis-streams:offset';
/** An offset with which nobody is recovered. */
const NO_OFFSET = '-';
/** Milliseconds that a recovery waits: for this node to come to where its client was, for an earlier socket to be gone. */
const PATIENCE = 10_000;
/** How many of the rooms that a client has left are remembered. */
const MAX_LEFT = 100;

/** A client that is connected. */
interface Live {
  /** Set as soon as it is live. */
  claim: SessionClaim | undefined;
  /** The position when it connected for the first time. */
  since: StreamId;
  /** See {@link Session.forgotten}. */
  forgotten: StreamId | undefined;
  /** The position when it came to this server: it had been given all up to there. */
  arrived: StreamId;
  /** The last entry that it had been given then. */
  sent: StreamId;
  joined: Map<string, StreamId>;
  left: [room: string, from: StreamId, upTo: StreamId][];
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
  offset: StreamId;
  replay: Replay | undefined;
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
  private turns: Promise<void> = Promise.resolve();

  constructor(
    private readonly node: ClusterNode,
    private readonly log: StreamLog,
    private readonly namespace: NamespaceLike,
    /** Milliseconds for which a client can come back. */
    private readonly duration: number,
  ) {
    if (typeof duration !== 'number' || !(duration >= 0)) {
      const name = 'connectionStateRecovery.maxDisconnectionDuration';
      throw new InvalidOptionError(
        name,
        duration,
        'milliseconds, 0 or more (Infinity: as long as Redis can keep a key)',
      );
    }
    node.sessions.keepFor(duration);
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
      for (const room of rooms) {
        live.joined.set(room, this.position);
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
      this.live.delete(sid);
      live.claim?.discard();
    }
  }

  /** A client was cut off. */
  persist({ sid, rooms, data }: SocketIoSession): void {
    const live = this.live.get(sid);
    if (live) {
      this.live.delete(sid);
      live.claim?.giveBack(this.snapshot(sid, live, rooms, data));
    }
  }

  private onConnected(socket: SocketLike, pid: string): void {
    const arrival = this.arriving.get(socket.id);
    if (arrival?.claim.isReleased) {
      arrival.end();
      queueMicrotask(() => socket.conn.close(true)); // the client has come elsewhere meanwhile
      return;
    }
    const { session, offset, missed } = arrival ? this.endArrival(arrival) : newClient;
    const arrived = this.position;
    const live: Live = {
      ...{ claim: arrival?.claim, arrived },
      since: session ? (session.since ?? STREAM_START) : arrived,
      forgotten: session?.forgotten,
      sent: missed.at(-1)?.id ?? offset,
      joined: new Map(session?.joined),
      left: [...(session?.left ?? [])],
    };
    const isChanged = session !== undefined && this.noteRoomsOf(socket, live, session.rooms);
    this.live.set(socket.id, live);
    const holder = {
      current: () => this.snapshot(socket.id, live, socket.rooms, socket.data),
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
    const announced = isAnnounced && this.log.reader.position !== undefined;
    const packets = announced ? [[OFFSET_EVENT, session ? this.ownOffset() : arrived]] : missed.map(toPacketData);
    if (packets.length > 0) {
      // A client that is cut off before it has its CONNECT packet would keep what came before, and be given it again.
      afterNextPacket(socket, () => packets.forEach((data) => socket.packet({ type: EVENT, data })));
    }
  }

  /**
   * An offset that names this node even if it has sent nothing. The node where a client was before may be cut off from
   * Redis, and if the client comes back to it, can tell by this that it has been elsewhere.
   */
  private ownOffset(): string {
    return encodeCut({ position: this.position, ahead: [{ node: this.node.id, seq: 0 }] });
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
    live.left.push([room, live.joined.get(room) ?? STREAM_START, this.position]);
    live.joined.delete(room);
    if (live.left.length > MAX_LEFT) {
      live.forgotten = live.left.shift()![2];
    }
  }

  /** The client has come elsewhere: this connection of it is closed, and nothing is written of it. */
  private releaseLive(socket: SocketLike): void {
    const isDoubtful = this.live.get(socket.id)?.claim?.isConfirmed === false;
    this.live.delete(socket.id);
    if (isDoubtful) {
      // What it was given here, in rooms that it may have left elsewhere, is nothing to go on from.
      socket.packet({ type: EVENT, data: [OFFSET_EVENT, NO_OFFSET] });
    }
    socket._onclose('transport close');
    socket.conn.close(!isDoubtful);
  }

  // ── recovery ────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * The session of a client; undefined if it cannot be recovered exactly. What it has missed is written to it when it
   * has connected.
   *
   * @param pid - from the client
   * @param offset - from the client: the id of the last entry that it was given
   */
  async restore(pid: unknown, offset: unknown): Promise<SocketIoSession | undefined> {
    const outcome = this.node.isClosing ? 'unknown' : await this.tryRestore(pid, offset);
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
    const cut = decodeCut(offset);
    if (!cut) {
      return 'offset';
    }
    const claim = await this.node.sessions.take(pid, this.namespace.name, {
      duration: this.duration,
      wasOnlyHere: () => cut.ahead.length === 0 && compareStreamIds(cut.position, this.position) <= 0,
    });
    if (typeof claim === 'string') {
      return claim;
    }
    const arrival = this.newArrival(claim, cut.position);
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
    const { claim, session, offset } = arrival;
    const { sent, position, since = STREAM_START, forgotten = STREAM_START } = session;
    // Who has all up to `sent` has missed nothing up to `position` either.
    const isUpToDate = sent !== undefined && position !== undefined && compareStreamIds(offset, sent) >= 0;
    const from = later(later(offset, since), isUpToDate ? position : STREAM_START);
    if (compareStreamIds(from, forgotten) < 0) {
      return 'trimmed';
    }
    if (!(await this.log.whenDelivered(from, PATIENCE))) {
      return 'offset';
    }
    await this.turn();
    if (claim.isReleased) {
      return 'taken';
    }
    arrival.replay = this.log.replay.replay(from, new SessionRecipient(this.namespace.name, session));
    const isComplete = await arrival.replay.complete;
    return claim.isReleased ? 'taken' : isComplete ? undefined : 'trimmed';
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
    if (arrival.claim.isReleased) {
      socket.conn.close(true);
    } else if (socket.conn.readyState !== 'open') {
      arrival.claim.giveBack();
    } else {
      socket.conn.once('close', () => this.giveBack(arrival));
    }
  }

  private newArrival(claim: SessionClaim, offset: StreamId): Arrival {
    const session = claim.current();
    let resolve!: () => void;
    const ended = new Promise<void>((settle) => (resolve = settle));
    const arrival: Arrival = {
      ...{ claim, session, offset, replay: undefined, ended },
      end: () => {
        arrival.replay?.end();
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

  private endArrival(arrival: Arrival): { session: Session; offset: StreamId; missed: LogEntry[] } {
    const { session, offset, replay } = arrival;
    const missed = replay!.end();
    arrival.end();
    return { session, offset, missed };
  }

  private snapshot(sid: string, live: Live, rooms: Iterable<string>, data: unknown): SessionState {
    const { since, forgotten, arrived, joined, left } = live;
    const session: SessionState = { sid, rooms: [...rooms], data, since };
    if (forgotten !== undefined) {
      session.forgotten = forgotten;
    }
    if (joined.size > 0) {
      session.joined = [...joined];
    }
    if (left.length > 0) {
      session.left = left;
    }
    if (this.log.reader.position !== undefined) {
      const recipient = new SessionRecipient(this.namespace.name, session);
      session.sent = this.log.replay.lastFor(recipient, arrived) ?? live.sent;
      session.position = this.position;
    }
    return session;
  }

  private get position(): StreamId {
    return this.log.reader.position ?? STREAM_START;
  }
}

const newClient = { session: undefined, offset: STREAM_START, missed: [] as LogEntry[] };

/** What is sent to a client that missed an entry. */
function toPacketData(entry: LogEntry): unknown[] {
  return [...broadcastOf(entry)!.packet.data, entry.id];
}

/** Does something right after the next packet was written to a socket. */
function afterNextPacket(socket: SocketLike, run: () => void): void {
  const { packet } = socket;
  socket.packet = (next: PacketLike, ...rest: unknown[]) => {
    socket.packet = packet;
    packet.call(socket, next, ...rest);
    run();
  };
}

async function isSoon(event: Promise<void>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => (timer = setTimeout(resolve, PATIENCE, false)));
  const happened = await Promise.race([event.then(() => true), late]);
  clearTimeout(timer);
  return happened;
}
