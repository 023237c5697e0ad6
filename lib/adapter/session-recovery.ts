import { setTimeout as sleep } from 'node:timers/promises';
import type { Session as SocketIoSession } from 'socket.io-adapter';
import type { ClusterNode } from '../cluster/cluster-node.js';
import type { RecoveryRefusal } from '../cluster/events.js';
import { isSessionId, type Session } from '../wire/session.js';
import { SessionRecipient } from '../session/session-recipient.js';
import { nodeOfLane, type LogEntry } from '../wire/entry.js';
import type { ReplayItem } from '../stream/replay-log.js';
import { broadcastOf } from '../stream/broadcast.js';
import type { StreamLog } from '../stream/stream-log.js';
import { within } from '../time/within.js';
import { decodeCut, encodeCut, joinCuts, NO_OFFSET, NOTHING, type Cut } from '../wire/cut.js';
import { EVENT } from '../wire/requests.js';
import { compareStreamIds, STREAM_START, type StreamId } from '../wire/stream-id.js';
import { ClientsAhead } from './clients-ahead.js';
import { ConnectedClient, type Recovered } from './connected-client.js';
import { RecoveringClient } from './recovering-client.js';
import { findReplayStart } from './replay-start.js';
import type { NamespaceLike, PacketLike, SocketLike } from './socket-io.js';

/** The event with which a client receives the offset when it connects, with the option `announceOffset`. */
export const OFFSET_EVENT = 'redis-streams:offset';
/** Milliseconds for which a recovery waits for an earlier socket of its client to be gone. */
const EARLIER_SOCKET_TIMEOUT_MS = 10_000;
/** How often a session is taken back from other connections of its client, and about how many milliseconds later. */
const MAX_TRIES = 5;
const RETRY_PAUSE_MS = 200;

/**
 * Connection state recovery of one namespace of one server.
 *
 * A client is *connected* from when its socket joins the namespace until it is gone, and *recovering* from when its session
 * was taken until its socket joins. In both states its session is in Redis.
 */
export class SessionRecovery {
  /** By socket id. */
  private readonly connected = new Map<string, ConnectedClient>();
  /** By the id that the socket has or will have. */
  private readonly recovering = new Map<string, RecoveringClient>();
  /** Those of the connected clients that have more of a publisher than this node has read. */
  private readonly clientsAhead: ClientsAhead;
  /** How many clients are being recovered whose socket does not exist yet. */
  private restoring = 0;
  /** Resolves when all recoveries that have asked for a turn of the event loop have had it. */
  private turns: Promise<void> = Promise.resolve();
  /** Ends the listening for replaced histories. */
  private readonly stopListening: () => void;

  constructor(
    private readonly node: ClusterNode,
    private readonly log: StreamLog,
    private readonly namespace: NamespaceLike,
    /** Milliseconds for which a client can come back. */
    private readonly duration: number,
  ) {
    this.clientsAhead = new ClientsAhead(log);
    node.sessions.keepFor(duration);
    this.stopListening = log.onReplaced((position, isAllKnown) => this.onReplaced(position, isAllKnown));
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
    const client = this.connected.get(sid);
    if (!client) {
      this.onConnected(socket, socket.pid);
    } else if (rooms.length > 0) {
      client.join(rooms);
      client.claim?.touch();
    }
  }

  onLeave(sid: string, room: string): void {
    const client = this.connected.get(sid);
    if (client) {
      client.leave(room);
      client.claim?.touch();
    }
  }

  /** A socket is being removed from the namespace, or has not been let in. */
  onGone(sid: string): void {
    const recovering = this.recovering.get(sid);
    if (recovering) {
      recovering.giveBack();
      this.endRecovering(recovering);
    }
    const client = this.connected.get(sid);
    if (client) {
      this.remove(client);
      client.claim?.discard();
    }
  }

  /** A client was cut off. */
  persist({ sid, rooms, data }: SocketIoSession): void {
    const client = this.connected.get(sid);
    if (client) {
      const session = client.session(rooms, data);
      this.remove(client);
      client.claim?.giveBack(session);
    }
  }

  /** See {@link ClientsAhead.withheldFrom}. */
  withheldFrom(entry: LogEntry): ReadonlySet<string> | undefined {
    return this.clientsAhead.withheldFrom(entry);
  }

  /** Whether any client here has more of a publisher than this node has read. */
  get hasClientsAhead(): boolean {
    return !this.clientsAhead.isEmpty;
  }

  /** See {@link ClientsAhead.ownOffsets}. */
  ownOffsets(offset: string, isMeant: (sid: string) => boolean): ReadonlyMap<string, string> | undefined {
    return this.clientsAhead.ownOffsets(offset, isMeant);
  }

  private onConnected(socket: SocketLike, pid: string): void {
    const recovering = this.recovering.get(socket.id);
    if (recovering?.isVoid) {
      this.endRecovering(recovering);
      queueMicrotask(() => socket.conn.close(true)); // the client has come elsewhere meanwhile
      return;
    }
    const recovered = recovering && this.endRecovering(recovering);
    const client = new ConnectedClient(this.log, this.namespace.name, socket.id, recovered);
    const isChanged = recovered !== undefined && client.noteRooms(socket.rooms, recovered.session.rooms);
    this.connected.set(socket.id, client);
    this.clientsAhead.add(client);
    const holder = {
      current: () => client.session(socket.rooms, dataOf(socket)),
      get data() {
        return dataOf(socket);
      },
      release: () => this.releaseConnected(socket),
    };
    if (recovering) {
      client.claim = recovering.claim;
      client.claim.hold(holder, isChanged);
      this.node.sessions.onJoined(client.claim);
    } else {
      client.claim = this.node.sessions.open(pid, this.namespace.name, this.duration, holder);
    }
    this.greet(socket, client, recovered);
  }

  /** Sends a client what it missed or, where no packet with an offset follows, the offset that it can be recovered from. */
  private greet(socket: SocketLike, client: ConnectedClient, recovered: Recovered | undefined): void {
    const { claim, arrived } = client;
    const missed = recovered?.missed ?? [];
    const isDue = recovered ? missed.length === 0 && !claim?.isAnswered : this.node.options.announceOffset;
    if (isDue && this.log.position !== undefined) {
      sendAfterNextPacket(socket, [
        [
          OFFSET_EVENT,
          recovered ? this.named(this.clientsAhead.ownOffset(client, this.log.offset())) : encodeCut(arrived),
        ],
      ]);
    } else if (missed.length > 0) {
      const packets = missed.map(({ entry, offset }) =>
        toPacketData(entry, this.clientsAhead.ownOffset(client, offset)),
      );
      if (!claim?.isAnswered) {
        const last = packets.at(-1)!;
        last.push(this.named(last.pop()));
      }
      sendAfterNextPacket(socket, packets);
    }
  }

  /**
   * An offset that names this node even if it has sent nothing. The node where a client was before may be cut off from
   * Redis, and if the client comes back to it, knows by this that it has been elsewhere.
   */
  private named(offset: unknown): string {
    const cut = decodeCut(offset);
    return cut
      ? encodeCut(joinCuts(cut, { position: STREAM_START, ahead: [{ node: this.node.id, seq: 0 }] }))
      : NO_OFFSET;
  }

  private remove(client: ConnectedClient): void {
    this.connected.delete(client.sid);
    this.clientsAhead.remove(client);
  }

  /** The client has come elsewhere: this connection of it is closed, and nothing is written of it. */
  private releaseConnected(socket: SocketLike): void {
    const client = this.connected.get(socket.id);
    const isDoubtful = client?.claim?.isConfirmed === false && client.hasBeenGiven(socket.rooms);
    if (client) {
      this.remove(client);
    }
    if (isDoubtful) {
      // What it was given here, in rooms that it may have left elsewhere, is nothing to go on from.
      socket.packet({ type: EVENT, data: [OFFSET_EVENT, NO_OFFSET] });
    }
    this.keepingNamespace(() => socket._onclose('transport close'));
    socket.conn.close(!isDoubtful);
  }

  /**
   * Socket.IO deletes a child namespace with its last socket, if it is told to (`cleanupEmptyChildNamespaces`). A client that is
   * being recovered is about to join this one.
   */
  private keepingNamespace(remove: () => void): void {
    const { sockets } = this.namespace;
    const [last] = sockets.values();
    if (!last || this.restoring === 0 || sockets.size > 1) {
      remove();
      return;
    }
    const place = `${last.id} (closing)`;
    sockets.set(place, last);
    try {
      remove();
    } finally {
      sockets.delete(place);
    }
  }

  /**
   * The history of the log was replaced by one that is the same up to a position. What this node delivered after it is not in
   * the log any more; what the log brings from now on comes after all that has happened here.
   *
   * A client that was given by another node what this one does not know of is sent away, since its publisher may send it
   * again: when the client comes back, its offset is not in the log, and it begins anew.
   */
  private onReplaced(position: StreamId, isAllKnown: boolean): void {
    for (const client of [...this.connected.values()]) {
      const isDoubtful = !isAllKnown && client.wasGivenElsewhereAfter(position);
      client.cutBackTo(position);
      client.claim?.touch();
      if (isDoubtful) {
        this.namespace.sockets.get(client.sid)?.conn.close(true);
      }
    }
    for (const client of [...this.recovering.values()]) {
      client.outdate();
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
    this.restoring++;
    try {
      return await this.restoreIfPossible(pid, offset);
    } finally {
      this.restoring--;
    }
  }

  private async restoreIfPossible(pid: unknown, offset: unknown): Promise<SocketIoSession | undefined> {
    let outcome = this.node.isClosing ? 'unknown' : await this.tryRestore(pid, offset);
    // Which of two connections of a client is the one that it still has, nobody can know. Whoever loses the session to
    // another tries again, by when that may be gone; otherwise the client would begin anew.
    for (let tries = 1; outcome === 'taken' && tries < MAX_TRIES && !this.node.isClosing; tries++) {
      await sleep(RETRY_PAUSE_MS * (0.5 + Math.random()));
      outcome = await this.tryRestore(pid, offset);
    }
    if (this.node.isClosing) {
      return new Promise(() => undefined); // its connection is about to be closed, and another node can recover it
    }
    if (typeof outcome === 'string') {
      this.node.counters.refuseRecovery(this.namespace.name, outcome);
      return undefined;
    }
    this.node.counters.count('recoveries');
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
    const client = new RecoveringClient(claim, offsetCut, this.namespace);
    const { sid } = client.session;
    const before = this.recovering.get(sid);
    if (before && !(await isSoon(before.ended))) {
      claim.giveBack(); // a middleware has not let go of an earlier socket with this id
      return 'busy';
    }
    if (claim.isReleased) {
      return 'taken';
    }
    this.recovering.set(sid, client);
    const refusal = await this.collect(client);
    if (refusal) {
      if (refusal === 'redis-away') {
        claim.giveBack(); // the client may not be there any more, and be recovered elsewhere
      } else if (!this.node.isClosing) {
        claim.discard();
      }
      this.endRecovering(client);
      return refusal;
    }
    setImmediate(() => this.watch(client)); // its socket exists then
    return client.session;
  }

  /** Finds what a client has missed. Returns why it cannot, if so. */
  private async collect(client: RecoveringClient): Promise<RecoveryRefusal | undefined> {
    const { claim, session, cut } = client;
    const start = await findReplayStart(this.log, session, cut, claim.isConfirmed);
    if (typeof start === 'string') {
      return start;
    }
    await this.turn();
    if (claim.isReleased) {
      return 'taken';
    }
    const recipient = new SessionRecipient(this.namespace.name, session);
    const outcome = await client.collect(this.log.replay(start, recipient));
    return client.isVoid ? 'taken' : outcome === 'complete' ? undefined : outcome;
  }

  /**
   * Whether a client with this offset was given nothing that this node had not delivered when others could last ask it for
   * the session: what it has delivered since, the client may have been given by another.
   */
  private isFromHere({ position, ahead }: Cut): boolean {
    const { id } = this.node;
    return (
      compareStreamIds(position, this.node.soleUpTo(this.log) ?? STREAM_START) <= 0 &&
      ahead.every(({ node }) => nodeOfLane(node) === id)
    );
  }

  /** When many come back at once, each has a turn of the event loop of its own. */
  private turn(): Promise<void> {
    this.turns = this.turns.then(() => new Promise((resolve) => setImmediate(resolve)));
    return this.turns;
  }

  /** Notices at once when the connection of a socket in its middlewares is gone. */
  private watch(client: RecoveringClient): void {
    const { socket } = client;
    if (!socket || !this.isRecovering(client)) {
      return; // it has connected, or is gone
    }
    if (client.isVoid) {
      socket.conn.close(true);
    } else if (socket.conn.readyState !== 'open') {
      client.giveBack();
    } else {
      socket.conn.once('close', () => this.isRecovering(client) && client.giveBack());
    }
  }

  private isRecovering(client: RecoveringClient): boolean {
    return this.recovering.get(client.session.sid) === client;
  }

  private endRecovering(client: RecoveringClient): Recovered {
    const { session, cut } = client;
    const missed = client.end();
    if (this.isRecovering(client)) {
      this.recovering.delete(session.sid);
    }
    return { session, cut, missed };
  }
}

/** An application may have put a getter there, which throws: nothing is kept then. */
function dataOf(socket: SocketLike): unknown {
  try {
    return socket.data;
  } catch {
    return {};
  }
}

/** What is sent to a client that missed an entry. */
function toPacketData(entry: ReplayItem['entry'], offset: string): unknown[] {
  return [...broadcastOf(entry)!.packet.data, offset];
}

/**
 * Sends packets to a socket right after its next one, which is CONNECT: a client that is cut off before it has that would
 * keep what came before it, and be given it again.
 *
 * A function of its own: what is sent must not be referenced, in a scope, by anything that lives as long as the connection.
 */
function sendAfterNextPacket(socket: SocketLike, packets: unknown[][]): void {
  const { packet } = socket;
  socket.packet = (next: PacketLike, ...rest: unknown[]) => {
    socket.packet = packet;
    packet.call(socket, next, ...rest);
    packets.forEach((data) => socket.packet({ type: EVENT, data }));
  };
}

async function isSoon(event: Promise<void>): Promise<boolean> {
  return (
    (await within(
      EARLIER_SOCKET_TIMEOUT_MS,
      event.then(() => true),
    )) ?? false
  );
}
