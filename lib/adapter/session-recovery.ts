import type { Session as SocketIoSession } from 'socket.io-adapter';
import type { ClusterNode } from '../cluster/cluster-node.js';
import { isSessionId, type Session } from '../session/session.js';
import { SessionRecipient } from '../session/session-recipient.js';
import type { LogEntry } from '../stream/entry.js';
import { broadcastOf, isFor } from '../stream/replay-log.js';
import type { StreamLog } from '../stream/stream-log.js';
import { compareStreamIds, isStreamId, STREAM_START, type StreamId } from '../stream/stream-id.js';
import type { NamespaceLike, SocketLike } from './socket-io.js';

const EVENT = 2;
/** The event that tells a client the offset when it connects, with the option `announceOffset`. */
export const OFFSET_EVENT = 'redis-streams:offset';
/** Milliseconds that a recovery waits for this node to come to where its client was. */
const CATCH_UP_TIMEOUT = 10_000;
/** How many of the rooms that a client has left are remembered. */
const MAX_LEFT = 100;

/** A client that is connected. */
interface Live {
  pid: string;
  epoch: number;
  /** What the client had been given before it came to this server. */
  sent: StreamId;
  joined: Map<string, StreamId>;
  left: [room: string, from: StreamId, upTo: StreamId][];
}

/** A client that is being recovered: its socket is not in the namespace yet. */
interface Pending {
  session: Session;
  recipient: SessionRecipient;
  /** What the log brought for it meanwhile. */
  held: LogEntry[];
  /** The last entry that it was given. */
  sent: StreamId;
}

/**
 * Connection state recovery of one namespace of one server.
 *
 * A client is *live* from when its socket joins the namespace until it is gone; its session is in Redis all that time.
 * It is *pending* from when its session was restored until its socket joins, which may take as long as a middleware
 * does; what the log brings for it is held, and handed over when it joins.
 */
export class SessionRecovery {
  private readonly live = new Map<string, Live>();
  private readonly pending = new Map<string, Pending>();

  constructor(
    private readonly node: ClusterNode,
    private readonly log: StreamLog,
    private readonly namespace: NamespaceLike,
    /** Milliseconds for which a client can come back. */
    private readonly duration: number,
  ) {}

  /** Whether entries must be looked at for clients that are not in the namespace yet. */
  get isHolding(): boolean {
    return this.pending.size > 0;
  }

  /** Keeps an entry for the clients that are about to join. */
  hold(entry: LogEntry): void {
    for (const { recipient, held } of this.pending.values()) {
      if (isFor(entry, recipient)) {
        held.push(entry);
      }
    }
  }

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
      live.left.push([room, live.joined.get(room) ?? STREAM_START, this.position]);
      live.joined.delete(room);
      if (live.left.length > MAX_LEFT) {
        live.left.shift();
      }
      this.node.sessions.touch(live.pid);
    }
  }

  /** A socket is being removed from the namespace, or has not been let in. */
  onGone(sid: string): void {
    const pending = this.pending.get(sid);
    if (pending) {
      this.pending.delete(sid);
      if (this.namespace._preConnectSockets?.get(sid)?.conn.readyState !== 'open') {
        this.node.sessions.save(pending.session, this.duration); // cut again, not refused
      }
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

  /** Writes the sessions of the clients that are still connected. */
  saveAll(): void {
    for (const [sid, live] of this.live) {
      const socket = this.namespace.sockets.get(sid);
      if (socket) {
        this.node.sessions.save(this.snapshot(sid, live, socket.rooms, socket.data), this.duration);
      }
    }
    this.live.clear();
  }

  /** The client was recovered on another connection: this one is closed, and nothing is written of it. */
  onMoved(sid: string, pid: string): void {
    const live = this.live.get(sid);
    const socket = this.namespace.sockets.get(sid);
    if (live?.pid === pid && socket) {
      this.live.delete(sid);
      this.node.sessions.release(pid);
      socket._onclose('transport close');
      socket.conn.close(true);
    }
  }

  /**
   * The session of a client and what it has missed; undefined if it cannot be recovered exactly.
   *
   * @param pid - from the client
   * @param offset - from the client: the id of the last entry that it was given
   */
  async restore(pid: unknown, offset: unknown): Promise<SocketIoSession | undefined> {
    const restored = isSessionId(pid) && isStreamId(offset) ? await this.tryRestore(pid, offset) : undefined;
    if (restored) {
      this.node.counters.recoveries++;
    } else {
      this.node.counters.refusedRecoveries++;
    }
    return restored;
  }

  private async tryRestore(pid: string, offset: StreamId): Promise<SocketIoSession | undefined> {
    const session = await this.take(pid);
    if (!session) {
      return undefined;
    }
    const { sid, rooms, data, sent, position } = session;
    // Who has been given all up to `sent` has missed nothing up to `position` either.
    const complete = sent !== undefined && position !== undefined && compareStreamIds(offset, sent) >= 0;
    const from = complete && compareStreamIds(position, offset) > 0 ? position : offset;
    if (!(await this.log.reader.whenDelivered(from, CATCH_UP_TIMEOUT))) {
      return undefined;
    }
    const pending: Pending = {
      session,
      recipient: new SessionRecipient(this.namespace.name, session),
      held: [],
      sent: complete ? offset : from,
    };
    const missed = await this.log.replay.missedSince(from, pending.recipient, () => this.pending.set(sid, pending));
    if (!missed) {
      return undefined;
    }
    pending.sent = missed.at(-1)?.id ?? pending.sent;
    return { sid, pid, rooms, data, missedPackets: missed.map(toPacketData) } as SocketIoSession;
  }

  private async take(pid: string): Promise<Session | undefined> {
    const taken = await this.node.sessions.take(pid).catch(() => undefined);
    if (!taken || (taken.session.nsp ?? this.namespace.name) !== this.namespace.name) {
      return undefined;
    }
    const { session, liveOn } = taken;
    if (liveOn === undefined) {
      return session;
    }
    const live = this.live.get(session.sid);
    const socket = this.namespace.sockets.get(session.sid);
    if (live?.pid === pid && socket) {
      const current = this.snapshot(session.sid, live, socket.rooms, socket.data);
      this.onMoved(session.sid, pid);
      return current;
    }
    this.node.tellMoved(this.namespace.name, session.sid, pid);
    return session;
  }

  private onConnected(socket: SocketLike, pid: string): void {
    const pending = this.pending.get(socket.id);
    if (pending) {
      this.pending.delete(socket.id);
      for (const entry of pending.held) {
        socket.packet({ type: EVENT, data: toPacketData(entry) });
      }
    }
    const session = pending?.session;
    const live: Live = {
      pid,
      epoch: session ? (session.epoch ?? 0) + 1 : 0,
      sent: pending?.held.at(-1)?.id ?? pending?.sent ?? STREAM_START,
      joined: new Map(session?.joined),
      left: [...(session?.left ?? [])],
    };
    this.live.set(socket.id, live);
    this.node.sessions.track(pid, this.duration, () => this.snapshot(socket.id, live, socket.rooms, socket.data));
    if (this.node.options.announceOffset && !pending && this.log.reader.position !== undefined) {
      const data = [OFFSET_EVENT, this.position];
      queueMicrotask(() => socket.packet({ type: EVENT, data })); // after the CONNECT packet
    }
  }

  private snapshot(sid: string, live: Live, rooms: Iterable<string>, data: unknown): Session {
    const session: Session = {
      ...{ sid, pid: live.pid, rooms: [...rooms], data },
      ...{ nsp: this.namespace.name, epoch: live.epoch },
    };
    if (live.joined.size > 0) {
      session.joined = [...live.joined];
    }
    if (live.left.length > 0) {
      session.left = live.left;
    }
    if (this.log.reader.position !== undefined) {
      const recipient = new SessionRecipient(this.namespace.name, session);
      session.sent = this.log.replay.lastFor(recipient, live.sent);
      session.position = this.position;
    }
    return session;
  }

  private get position(): StreamId {
    return this.log.reader.position ?? STREAM_START;
  }
}

/** What is sent to a client that missed an entry. */
function toPacketData(entry: LogEntry): unknown[] {
  return [...broadcastOf(entry)!.packet.data, entry.id];
}
