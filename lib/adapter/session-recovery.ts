import type { Session as SocketIoSession } from 'socket.io-adapter';
import type { ClusterNode } from '../cluster/cluster-node.js';
import { isSessionId, type Session } from '../wire/session.js';
import { SessionRecipient } from '../session/session-recipient.js';
import type { SessionHolder } from '../session/session-store.js';
import { cutAt } from '../wire/cut.js';
import type { Replay, ReplayItem } from '../stream/replay-log.js';
import { broadcastOf } from '../stream/broadcast.js';
import type { StreamLog } from '../stream/stream-log.js';
import { EVENT } from '../wire/requests.js';
import { compareStreamIds, isStreamId, later, STREAM_START, type StreamId } from '../wire/stream-id.js';
import type { NamespaceLike, PacketLike, SocketLike } from './socket-io.js';

/** The event that tells a client the offset when it connects, with the option `announceOffset`. */
export const OFFSET_EVENT = 'redis-streams:offset';
/** Milliseconds that a recovery waits: for this node to come to where its client was, for an earlier socket to be gone. */
const PATIENCE = 10_000;
/** How many of the rooms that a client has left are remembered. */
const MAX_LEFT = 100;

/** A client that is connected. */
interface Live {
  pid: string;
  epoch: number;
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
  session: Session;
  offset: StreamId;
  replay: Replay | undefined;
  /** Whether the session is still its own. */
  isOwner: boolean;
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
      this.node.sessions.touch(live.pid);
    }
  }

  onLeave(sid: string, room: string): void {
    const live = this.live.get(sid);
    if (live) {
      this.leave(live, room);
      this.node.sessions.touch(live.pid);
    }
  }

  /** A socket is being removed from the namespace, or has not been let in. */
  onGone(sid: string): void {
    const arrival = this.arriving.get(sid);
    if (arrival) {
      this.giveBack(arrival);
      arrival.end();
    }
    const live = this.live.get(sid);
    if (live) {
      this.live.delete(sid);
      this.node.sessions.forget(live.pid);
    }
  }

  /** A client was cut off. */
  persist({ sid, rooms, data }: SocketIoSession): void {
    const live = this.live.get(sid);
    if (live) {
      this.live.delete(sid);
      this.node.sessions.save(this.snapshot(sid, live, rooms, data), this.duration);
    }
  }

  private onConnected(socket: SocketLike, pid: string): void {
    const arrival = this.arriving.get(socket.id);
    if (arrival && !arrival.isOwner) {
      arrival.end();
      queueMicrotask(() => socket.conn.close(true)); // the client has come elsewhere meanwhile
      return;
    }
    const { session, offset, missed } = arrival ? this.endArrival(arrival) : newClient;
    const arrived = this.position;
    const live: Live = {
      ...{ pid, arrived },
      epoch: session?.epoch ?? 0,
      since: session ? (session.since ?? STREAM_START) : arrived,
      forgotten: session?.forgotten,
      sent: missed.at(-1)?.entry.id ?? offset,
      joined: new Map(session?.joined),
      left: [...(session?.left ?? [])],
    };
    const isChanged = session !== undefined && this.noteRoomsOf(socket, live, session.rooms);
    this.live.set(socket.id, live);
    const holder: SessionHolder = {
      duration: this.duration,
      current: () => this.snapshot(socket.id, live, socket.rooms, socket.data),
      release: () => this.releaseLive(socket),
    };
    this.node.sessions.hold(pid, holder, session !== undefined && !isChanged);
    const announced = !session && this.node.options.announceOffset && this.log.position !== undefined;
    const packets = announced ? [[OFFSET_EVENT, arrived]] : missed.map(toPacketData);
    if (packets.length > 0) {
      // A client that is cut off before it has its CONNECT packet would keep what came before, and be given it again.
      afterNextPacket(socket, () => packets.forEach((data) => socket.packet({ type: EVENT, data })));
    }
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
    this.live.delete(socket.id);
    socket._onclose('transport close');
    socket.conn.close(true);
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
    const mayHaveSession = isSessionId(pid) && isStreamId(offset) && !this.node.isClosing;
    const session = mayHaveSession ? await this.tryRestore(pid, offset) : undefined;
    if (this.node.isClosing) {
      return new Promise(() => undefined); // its connection is about to be closed, and another node can recover it
    }
    if (!session) {
      this.node.counters.refusedRecoveries++;
      return undefined;
    }
    this.node.counters.recoveries++;
    const { sid, rooms, data } = session;
    return { sid, pid, rooms, data, missedPackets: [] } as unknown as SocketIoSession;
  }

  private async tryRestore(pid: string, offset: StreamId): Promise<Session | undefined> {
    let arrival: Arrival | undefined;
    const session = await this.node.sessions.take(pid, this.namespace.name, (taken) => {
      arrival = this.newArrival(taken, offset);
      return this.holderOf(arrival);
    });
    if (!session || !arrival) {
      return undefined;
    }
    const { sid } = session;
    const before = this.arriving.get(sid);
    if (before && !(await isSoon(before.ended))) {
      this.giveBack(arrival); // a middleware has not let go of an earlier socket with this id
      return undefined;
    }
    if (!arrival.isOwner) {
      return undefined;
    }
    this.arriving.set(sid, arrival);
    if (!(await this.collect(arrival))) {
      if (arrival.isOwner && !this.node.isClosing) {
        arrival.isOwner = false;
        this.node.sessions.forget(pid);
      }
      arrival.end();
      return undefined;
    }
    const watched = arrival;
    setImmediate(() => this.watch(watched)); // its socket exists then
    return session;
  }

  /** Finds what a client has missed. Returns whether that is all of it. */
  private async collect(arrival: Arrival): Promise<boolean> {
    const { session, offset } = arrival;
    const { sent, position, since = STREAM_START, forgotten = STREAM_START } = session;
    // Who has all up to `sent` has missed nothing up to `position` either.
    const isUpToDate = sent !== undefined && position !== undefined && compareStreamIds(offset, sent) >= 0;
    const from = later(later(offset, since), isUpToDate ? position : STREAM_START);
    if (compareStreamIds(from, forgotten) < 0 || !(await this.log.whenRead(cutAt(from), PATIENCE))) {
      return false;
    }
    await this.turn();
    if (!arrival.isOwner) {
      return false;
    }
    arrival.replay = this.log.replay(cutAt(from), new SessionRecipient(this.namespace.name, session));
    return (await arrival.replay.complete) === 'complete' && arrival.isOwner;
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
    if (!arrival.isOwner) {
      socket.conn.close(true);
    } else if (socket.conn.readyState !== 'open') {
      this.giveBack(arrival);
    } else {
      socket.conn.once('close', () => this.giveBack(arrival));
    }
  }

  private newArrival(session: Session, offset: StreamId): Arrival {
    let resolve!: () => void;
    const ended = new Promise<void>((settle) => (resolve = settle));
    const arrival: Arrival = {
      ...{ session, offset, replay: undefined, isOwner: true, ended },
      end: () => {
        if (this.arriving.get(session.sid) === arrival) {
          this.arriving.delete(session.sid);
        }
        resolve();
      },
    };
    return arrival;
  }

  private holderOf(arrival: Arrival): SessionHolder {
    return {
      duration: this.duration,
      current: () => arrival.session,
      release: () => {
        arrival.isOwner = false;
        arrival.replay?.end();
        this.namespace._preConnectSockets?.get(arrival.session.sid)?.conn.close(true);
      },
    };
  }

  /** The client is not here after all: its session is kept, as it was, for when it tries again. */
  private giveBack(arrival: Arrival): void {
    if (arrival.isOwner) {
      arrival.isOwner = false;
      arrival.replay?.end();
      this.node.sessions.save(arrival.session, this.duration);
    }
  }

  private endArrival(arrival: Arrival): { session: Session; offset: StreamId; missed: ReplayItem[] } {
    const { session, offset, replay } = arrival;
    arrival.isOwner = false;
    arrival.end();
    return { session, offset, missed: replay!.end() };
  }

  private snapshot(sid: string, live: Live, rooms: Iterable<string>, data: unknown): Session {
    const { pid, epoch, since, forgotten, arrived, joined, left } = live;
    const session: Session = { sid, pid, rooms: [...rooms], data, nsp: this.namespace.name, since, epoch };
    if (forgotten !== undefined) {
      session.forgotten = forgotten;
    }
    if (joined.size > 0) {
      session.joined = [...joined];
    }
    if (left.length > 0) {
      session.left = left;
    }
    if (this.log.position !== undefined) {
      const recipient = new SessionRecipient(this.namespace.name, session);
      session.sent = this.log.lastGivenTo(recipient, cutAt(arrived))?.position ?? live.sent;
      session.position = this.position;
    }
    return session;
  }

  private get position(): StreamId {
    return this.log.position ?? STREAM_START;
  }
}

const newClient = { session: undefined, offset: STREAM_START, missed: [] as ReplayItem[] };

/** What is sent to a client that missed an entry. */
function toPacketData({ entry, offset }: ReplayItem): unknown[] {
  return [...broadcastOf(entry)!.packet.data, offset];
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
