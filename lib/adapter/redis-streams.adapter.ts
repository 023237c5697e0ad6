import { Adapter } from 'socket.io-adapter';
import type {
  BroadcastFlags,
  BroadcastOptions,
  PrivateSessionId,
  Room,
  Session as SocketIoSession,
  SocketId,
} from 'socket.io-adapter';
import type { ClusterNode, NamespaceMember } from '../cluster/cluster-node.js';
import { InvalidOptionError } from '../cluster/options.js';
import type { BusMessage, Census } from '../cluster/request-bus.js';
import { toPlain } from '../wire/binary.js';
import { carry } from '../wire/carried.js';
import {
  decodeEntry,
  EntryType,
  type EventPacket,
  type ForeignMessage,
  type LogEntry,
  type LogMessage,
  type WireOptions,
} from '../wire/entry.js';
import type { Request, Response } from '../wire/request-data.js';
import { RequestType } from '../wire/requests.js';
import type { StreamLog } from '../stream/stream-log.js';
import { callApp } from './app-code.js';
import { corkFlushes } from './cork-flushes.js';
import { isRoom, Requests, toBroadcastOptions } from './requests.js';
import { SessionRecovery } from './session-recovery.js';
import type { NamespaceLike, SocketDetails } from './socket-io.js';

/** Marks adapters of this package, of whichever copy of it. */
const OURS = Symbol.for('nestjs-redis-streams-adapter');

/** What is appended, but for who appends it. */
type Body<M = LogMessage> = M extends LogMessage ? Omit<M, 'uid' | 'nsp'> : never;

/**
 * The adapter of one namespace of one Socket.IO server.
 *
 * What it is asked to do with sockets it does with those of this server, and appends it to the log for the others;
 * what they append it does when the log brings it. Requests and their answers, and volatile broadcasts, go over the bus.
 */
export class RedisStreamsAdapter extends Adapter implements NamespaceMember {
  readonly [OURS] = true;
  readonly uid: string;
  readonly name: string;
  private readonly namespace: NamespaceLike;
  private readonly log: StreamLog;
  private readonly requests: Requests;
  private readonly recovery: SessionRecovery | undefined;
  private readonly ordering: 'log' | 'local-first';
  /** Whether the server's parser may carry more than Socket.IO's default parser does. */
  private readonly hasOwnParser: boolean;
  /** How many counts of clients the broadcast that is under way in this turn gives: see {@link broadcastWithAck}. */
  private countsToCome: number | undefined;
  private closed: Promise<void> | undefined;

  constructor(
    nsp: unknown,
    private readonly node: ClusterNode,
    private readonly onClosed: (last: boolean) => Promise<void>,
  ) {
    super(nsp);
    this.namespace = nsp as NamespaceLike;
    this.name = this.namespace.name;
    this.uid = node.nextUid(this.name);
    this.log = node.logOf(this.name);
    this.requests = new Requests({
      census: () => this.census(),
      send: (request) => this.send(request),
      respond: (uid, response) => this.respond(uid, response),
      onLeftOut: (what) => node.reportLeftOut(this.name, what),
      here: {
        broadcast: (packet, opts) => this.sparing(() => super.broadcast(this.keepingOffset(packet), opts)),
        broadcastWithAck: (...args) => this.sparing(() => super.broadcastWithAck(...args)),
        fetchSockets: (opts) => super.fetchSockets(opts) as Promise<SocketDetails[]>,
        serverSideEmit: (event) => this.namespace._onServerSideEmit(event),
      },
    });
    const { connectionStateRecovery, parser } = this.namespace.server.opts;
    this.hasOwnParser = parser !== undefined;
    this.ordering = node.options.ordering ?? (connectionStateRecovery ? 'log' : 'local-first');
    if (connectionStateRecovery) {
      if (this.ordering !== 'log') {
        throw new InvalidOptionError(
          'ordering',
          this.ordering,
          '"log" (or nothing) when connectionStateRecovery is on: a client that was given broadcasts before the log ' +
            'has them cannot tell what it has missed',
        );
      }
      this.log.remember();
      const { maxDisconnectionDuration } = connectionStateRecovery;
      this.recovery = new SessionRecovery(node, this.log, this.namespace, maxDisconnectionDuration);
    }
    this.spareOthers();
    node.attach(this);
    closeIfOurs(this.namespace.adapter);
  }

  get socketCount(): number {
    return this.sids.size;
  }

  // ── rooms of sockets ────────────────────────────────────────────────────────────────────────────────────────────

  override addAll(id: SocketId, rooms: Set<Room>): void {
    const before = new Set(this.recovery && this.sids.get(id));
    void super.addAll(id, rooms);
    const connection = this.namespace.sockets.get(id)?.conn;
    if (connection) {
      corkFlushes(connection);
    }
    this.recovery?.onJoin(
      id,
      [...rooms].filter((room) => !before.has(room)),
    );
  }

  override del(id: SocketId, room: Room): void {
    if (this.sids.get(id)?.has(room)) {
      this.recovery?.onLeave(id, room);
    }
    void super.del(id, room);
  }

  override delAll(id: SocketId): void {
    this.recovery?.onGone(id);
    super.delAll(id);
  }

  override close(): Promise<void> {
    if (!this.closed) {
      this.requests.close();
      this.closed = this.onClosed(this.node.detach(this));
    }
    return this.closed;
  }

  // ── what the server asks for ────────────────────────────────────────────────────────────────────────────────────

  /** @throws TypeError at once, if the packet cannot be serialized */
  override broadcast(packet: EventPacket, opts: BroadcastOptions): void {
    const flags: BroadcastFlags = opts.flags ?? {};
    const exact = this.exact(packet);
    if (flags.volatile) {
      const elsewhere = this.elsewhere(opts);
      if (elsewhere) {
        const request = { type: RequestType.Broadcast, data: { packet: this.onBus(exact), opts: elsewhere } } as const;
        this.send(request).catch(() => undefined); // it may be lost
      }
      super.broadcast(this.keepingOffset(exact), opts);
    } else if (flags.local || packet.id !== undefined) {
      // An acknowledgement can be called only here, so nobody else needs the packet; but it keeps its place in the order.
      // Its turn may come later, so it is sent as it is now.
      const kept = this.ordering === 'log' ? this.onBus(exact) : exact;
      this.inOrder(() => super.broadcast(this.keepingOffset(kept), opts));
    } else {
      this.change(
        opts,
        () => super.broadcast(exact, opts),
        (elsewhere) => ({
          ...{ type: EntryType.Broadcast, data: { packet: exact, opts: elsewhere } },
          ...(this.hasOwnParser && { exact: true }),
        }),
      );
    }
  }

  /**
   * Socket.IO adds up the counts of clients that it is given, and waits for as many counts as `serverCount()` says, which
   * it asks next. It is given two: of the clients here, and of all others when they have answered.
   *
   * @throws TypeError at once, if the packet cannot be serialized
   */
  override broadcastWithAck(
    packet: EventPacket,
    opts: BroadcastOptions,
    onClientCount: (clientCount: number) => void,
    onAck: (...args: unknown[]) => void,
  ): void {
    const exact = this.exact(packet);
    const elsewhere = this.elsewhere(opts);
    if (elsewhere) {
      const { timeout } = opts.flags ?? {};
      this.requests.broadcastWithAck({ packet: this.onBus(exact), opts: elsewhere, timeout }, onAck, onClientCount);
    }
    this.countsToCome = elsewhere ? 2 : 1;
    queueMicrotask(() => (this.countsToCome = undefined));
    packet.data = exact.data;
    super.broadcastWithAck(packet, opts, onClientCount, onAck);
  }

  override async serverCount(): Promise<number> {
    if (this.countsToCome !== undefined) {
      const count = this.countsToCome;
      this.countsToCome = undefined;
      return count;
    }
    const { named, others } = await this.census();
    return 1 + named.size + others;
  }

  /** Resolves when it is done here, and in the log for the others (or dropped from the outbox). It never rejects. */
  override addSockets(opts: BroadcastOptions, rooms: Room[]): Promise<void> {
    return this.changeRooms(EntryType.SocketsJoin, opts, rooms, () => super.addSockets(opts, rooms));
  }

  /** @see addSockets */
  override delSockets(opts: BroadcastOptions, rooms: Room[]): Promise<void> {
    return this.changeRooms(EntryType.SocketsLeave, opts, rooms, () => super.delSockets(opts, rooms));
  }

  /** @see addSockets */
  override disconnectSockets(opts: BroadcastOptions, close: boolean): Promise<void> {
    return this.change(
      opts,
      () => super.disconnectSockets(opts, close),
      (elsewhere) => ({
        type: EntryType.DisconnectSockets,
        data: { opts: elsewhere, close },
      }),
    );
  }

  /** @throws Error if a server does not answer in time */
  override async fetchSockets(opts: BroadcastOptions): Promise<unknown[]> {
    const elsewhere = this.elsewhere(opts);
    const [here, others] = await Promise.all([
      super.fetchSockets(opts) as Promise<unknown[]>,
      elsewhere ? this.requests.fetchSockets(elsewhere, opts.flags?.timeout) : [],
    ]);
    return here.concat(others);
  }

  /** @throws TypeError at once, if the event cannot be sent to another process */
  override serverSideEmit(event: unknown[]): void {
    const ack = event.at(-1);
    if (typeof ack === 'function') {
      const question = carry(event.slice(0, -1)) as unknown[];
      this.requests.serverSideEmit(question, ack as (error: Error | null, responses: unknown[]) => void);
    } else {
      const request = { type: RequestType.ServerSideEmit, data: { packet: carry(event) as unknown[] } } as const;
      this.send(request).catch(() => undefined); // it is lost while Redis is away, which is counted
    }
  }

  // ── what the log brings ─────────────────────────────────────────────────────────────────────────────────────────

  deliver(entry: LogEntry, fromThisNode: boolean): void {
    if (fromThisNode && entry.uid === this.uid && this.ordering === 'local-first') {
      return; // was done at once
    }
    if (entry.rooms && !this.hasRecipient(entry.rooms)) {
      return; // told without decoding
    }
    try {
      const message = decodeEntry(entry);
      if (message) {
        this.carryOut(message, entry);
      } else {
        this.log.reject(entry.id, `the type ${entry.type} is not known to this version`);
      }
    } catch (error) {
      // Besides what cannot be understood: what the server's parser cannot encode.
      this.log.reject(entry.id, (error as Error).message);
    }
  }

  private carryOut(message: LogMessage | ForeignMessage, entry: LogEntry): void {
    if (message.type === EntryType.ServerSideEmit) {
      callApp(() => this.namespace._onServerSideEmit(message.data.packet));
      return;
    }
    const opts = toBroadcastOptions(message.data.opts);
    switch (message.type) {
      case EntryType.Broadcast: {
        const { packet } = message.data;
        this.sparing(() => super.broadcast(this.withOffset(packet, entry.id), opts));
        break;
      }
      case EntryType.SocketsJoin: {
        const { rooms } = message.data;
        this.sparing(() => super.addSockets(opts, rooms));
        break;
      }
      case EntryType.SocketsLeave: {
        const { rooms } = message.data;
        this.sparing(() => super.delSockets(opts, rooms));
        break;
      }
      case EntryType.DisconnectSockets: {
        const { close } = message.data;
        this.sparing(() => super.disconnectSockets(opts, close));
        break;
      }
    }
  }

  private hasRecipient(rooms: readonly Room[]): boolean {
    return rooms.length === 0 ? this.sids.size > 0 : rooms.some((room) => this.rooms.has(room));
  }

  // ── what the bus brings ─────────────────────────────────────────────────────────────────────────────────────────

  /** @throws Error if the message, which anybody may have published, is not one */
  onMessage(message: BusMessage): void {
    this.requests.receive(message);
  }

  onPeersChanged(): void {
    void this.requests.recheck();
  }

  // ── connection state recovery ───────────────────────────────────────────────────────────────────────────────────

  override persistSession(session: SocketIoSession): void {
    this.recovery?.persist(session);
  }

  override restoreSession(pid: PrivateSessionId, offset: string): Promise<SocketIoSession> {
    // Socket.IO takes undefined for "not found", though its type does not say so.
    return (this.recovery?.restore(pid, offset) ?? Promise.resolve(undefined)) as Promise<SocketIoSession>;
  }

  // ── ways out ────────────────────────────────────────────────────────────────────────────────────────────────────

  private append(body: Body): void {
    this.log.append({ uid: this.uid, nsp: this.name, ...body });
  }

  private async send(request: Request): Promise<void> {
    try {
      await this.node.bus.publish({ uid: this.uid, nsp: this.name, ...request });
    } catch (error) {
      this.node.counters.droppedRequests++;
      throw error;
    }
  }

  private async respond(uid: string, response: Response): Promise<void> {
    try {
      await this.node.bus.respond(uid, { uid: this.uid, nsp: this.name, ...response });
    } catch (error) {
      this.node.counters.droppedRequests++;
      throw error;
    }
  }

  /** Does something with the sockets of this server, and has the others do the same. */
  private change(opts: BroadcastOptions, here: () => unknown, elsewhere: (opts: WireOptions) => Body): Promise<void> {
    const target = this.elsewhere(opts);
    if (!target) {
      this.inOrder(here);
      return Promise.resolve();
    }
    this.append(elsewhere(target));
    if (this.ordering === 'local-first') {
      here();
    }
    return Promise.resolve();
  }

  private changeRooms(
    type: typeof EntryType.SocketsJoin | typeof EntryType.SocketsLeave,
    opts: BroadcastOptions,
    rooms: Room[],
    here: () => unknown,
  ): Promise<void> {
    const elsewhere = rooms.filter(isRoom);
    if (elsewhere.length === 0) {
      this.inOrder(here); // nobody elsewhere can be in such a room
      return Promise.resolve();
    }
    return this.change(opts, here, (opts) => ({ type, data: { opts, rooms: elsewhere } }));
  }

  /** What is meant of the other servers; undefined: nobody can be. */
  private elsewhere({ rooms, except, flags }: BroadcastOptions): WireOptions | undefined {
    const meant = [...rooms].filter(isRoom);
    if (flags?.local || (meant.length === 0 && rooms.size > 0)) {
      return undefined;
    }
    return { rooms: meant, except: [...(except ?? [])].filter(isRoom), flags: { ...flags } };
  }

  /** The packet as all clients are given it, wherever they are connected. @throws TypeError */
  private exact(packet: EventPacket): EventPacket {
    return this.hasOwnParser ? { ...packet, data: carry(packet.data) as unknown[] } : packet;
  }

  /** The packet as it is now, and as the other servers are given it. @throws TypeError */
  private onBus(packet: EventPacket): EventPacket {
    return this.hasOwnParser ? packet : { ...packet, data: toPlain(packet.data) as unknown[] };
  }

  /** Does something here after what this node has appended so far. */
  private inOrder(run: () => unknown): void {
    if (this.ordering === 'local-first') {
      run();
      return;
    }
    let atOnce = true;
    this.log.afterOwnEntries(() => {
      if (atOnce) {
        run();
      } else {
        callApp(run);
      }
    });
    atOnce = false;
  }

  /** The packet with the offset that its client will ask to be recovered from. */
  private withOffset(packet: EventPacket, offset: string): EventPacket {
    return this.recovery && packet.id === undefined ? { ...packet, data: [...packet.data, offset] } : packet;
  }

  /**
   * A packet that is not in the log. A client takes the last item of any packet for its offset if it is a string, and
   * could not be recovered from "hello"; so the position in the log is added then, up to which it has been given all.
   */
  private keepingOffset(packet: EventPacket): EventPacket {
    const { position } = this.log;
    return position !== undefined && typeof packet.data.at(-1) === 'string'
      ? this.withOffset(packet, position)
      : packet;
  }

  private async census(): Promise<Census> {
    try {
      return await this.node.census(this);
    } catch {
      return { named: new Set(), others: 0 };
    }
  }

  // ── listeners of the application ────────────────────────────────────────────────────────────────────────────────

  /** Whether what is done comes from another server, so that no call of the application waits for it. */
  private isSparing = false;

  /** Does what another server has asked for: a listener that throws on one socket does not keep it from the others. */
  private sparing(run: () => unknown): void {
    this.isSparing = true;
    try {
      run();
    } finally {
      this.isSparing = false;
    }
  }

  /** Wraps what calls a function for each socket; socket.io-adapter has no way in for that. */
  private spareOthers(): void {
    type Apply = (opts: BroadcastOptions, callback: (socket: unknown) => void) => void;
    const internals = this as unknown as { apply?: Apply };
    const { apply } = internals;
    const onItsOwn = (callback: () => void): void => {
      this.isSparing = false; // what the application calls in it, it calls by itself
      callApp(callback);
      this.isSparing = true;
    };
    internals.apply = (opts, callback) => {
      apply!.call(this, opts, this.isSparing ? (socket) => onItsOwn(() => callback(socket)) : callback);
    };
  }
}

/** The adapter that a namespace had before is closed, if it is one of this package: `io.adapter()` forgets it. */
function closeIfOurs(adapter: unknown): void {
  const ours = adapter as Partial<Pick<RedisStreamsAdapter, typeof OURS | 'close'>> | null | undefined;
  if (ours?.[OURS]) {
    void ours.close?.();
  }
}
