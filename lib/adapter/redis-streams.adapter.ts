import { Adapter } from 'socket.io-adapter';
import type { BroadcastOptions, PrivateSessionId, Room, Session as SocketIoSession, SocketId } from 'socket.io-adapter';
import type { ClusterNode } from '../cluster/cluster-node.js';
import type { NamespaceMember } from '../cluster/local-namespaces.js';
import { resolveDisconnectionDuration } from '../cluster/options.js';
import type { BusMessage, Census } from '../cluster/request-bus.js';
import { toPlain } from '../wire/binary.js';
import { carry } from '../wire/carried.js';
import {
  decodeEntry,
  DIRECT_LANE,
  EntryType,
  isRoom,
  type EventPacket,
  type ForeignMessage,
  type LogEntry,
  type LoggedPacket,
  type LogMessage,
  type WireOptions,
} from '../wire/entry.js';
import type { Request, Response } from '../wire/request-data.js';
import { RequestType } from '../wire/requests.js';
import type { StreamLog } from '../stream/stream-log.js';
import { callApp } from './app-code.js';
import { corkFlushes } from './cork-flushes.js';
import { ForeignWork } from './foreign-work.js';
import { Requests, toBroadcastOptions } from './requests.js';
import { SessionRecovery } from './session-recovery.js';
import { isSocketId, type NamespaceLike, type SocketDetails } from './socket-io.js';

/** Marks adapters of this package, of whichever copy of it. */
const OURS = Symbol.for('nestjs-redis-streams-adapter');

/** What is appended, but for who appends it. */
type Body<M = LogMessage> = M extends LogMessage ? Omit<M, 'uid' | 'nsp'> : never;

/**
 * The adapter of one namespace of one Socket.IO server.
 *
 * What it is asked to do with sockets it does with those of this server, and appends it to the log for the others;
 * what they append it does when the log brings it. Requests and their answers, and volatile broadcasts, go over the bus.
 *
 * @hidden Socket.IO alone calls it
 */
export class RedisStreamsAdapter extends Adapter implements NamespaceMember {
  /** See {@link closeIfOurs}. */
  readonly [OURS] = true;
  /** Of this server in this namespace. */
  readonly uid: string;
  /** Of the namespace. */
  readonly name: string;
  /** The sockets, and what the server's options say. */
  private readonly namespace: NamespaceLike;
  /** The log that carries the namespace. */
  private readonly log: StreamLog;
  /** What is asked of other servers, and answered to them. */
  private readonly requests: Requests;
  /** Undefined without the server's option `connectionStateRecovery`. */
  private readonly recovery: SessionRecovery | undefined;
  /** What is done because another server has asked for it. */
  private readonly foreignWork = new ForeignWork(this);
  /** See the option of this name. */
  private readonly ordering: 'log' | 'local-first';
  /** Whether the server's parser may carry more than Socket.IO's default parser does. */
  private readonly hasOwnParser: boolean;
  /** How many counts of clients the broadcast that is under way in this turn gives: see {@link broadcastWithAck}. */
  private countsToCome: number | undefined;
  /** What `close` returns; undefined before it was called. */
  private closed: Promise<void> | undefined;

  constructor(
    nsp: unknown,
    private readonly node: ClusterNode,
    /** Called by `close`, with whether the node has no other namespace left; `close` waits for it. */
    private readonly onClosed: (last: boolean) => Promise<void>,
  ) {
    super(nsp);
    this.namespace = nsp as NamespaceLike;
    this.name = this.namespace.name;
    this.uid = node.nextUid(this.name);
    this.log = node.logOf(this.name);
    this.requests = new Requests({
      whenStarted: () => this.whenStarted(),
      census: () => this.census(),
      send: (request) => this.send(request),
      respond: (uid, response) => this.respond(uid, response),
      onLeftOut: (what) => node.counters.leaveOut(this.name, what),
      here: {
        broadcast: (packet, opts) => this.foreignWork.run(() => super.broadcast(this.keepingOffset(packet), opts)),
        broadcastWithAck: (...args) => this.foreignWork.run(() => super.broadcastWithAck(...args)),
        fetchSockets: (opts) => super.fetchSockets(opts) as Promise<SocketDetails[]>,
        serverSideEmit: (event) => this.namespace._onServerSideEmit(event),
      },
    });
    const { connectionStateRecovery, parser } = this.namespace.server.opts;
    this.hasOwnParser = parser !== undefined;
    this.ordering = node.options.ordering ?? 'local-first';
    if (connectionStateRecovery) {
      const duration = resolveDisconnectionDuration(connectionStateRecovery.maxDisconnectionDuration);
      this.log.remember();
      this.recovery = new SessionRecovery(node, this.log, this.namespace, duration);
    }
    if (!this.hasOwnParser) {
      this.reuseJson();
    }
    node.attach(this);
    closeIfOurs(this.namespace.adapter);
  }

  get socketCount(): number {
    return this.sids.size;
  }

  // ── rooms of sockets ────────────────────────────────────────────────────────────────────────────────────────────

  override addAll(id: SocketId, rooms: Set<Room>): void {
    const before = this.recovery && this.sids.get(id);
    const joined = this.recovery ? [...rooms].filter((room) => !before?.has(room)) : [];
    void super.addAll(id, rooms);
    const connection = this.namespace.sockets.get(id)?.conn;
    if (connection) {
      corkFlushes(connection);
    }
    this.recovery?.onJoin(id, joined);
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
      this.recovery?.close();
      this.closed = this.onClosed(this.node.detach(this));
    }
    return this.closed;
  }

  // ── what the server asks for ────────────────────────────────────────────────────────────────────────────────────

  /** @throws TypeError at once, if the packet cannot be serialized */
  override broadcast(packet: EventPacket, opts: BroadcastOptions): void {
    const exact = this.exact(packet);
    if (opts.flags?.volatile) {
      const elsewhere = this.elsewhere(opts);
      if (elsewhere) {
        const request = { type: RequestType.Broadcast, data: { packet: this.onBus(exact), opts: elsewhere } } as const;
        this.send(request).catch(() => undefined); // it may be lost
      }
      super.broadcast(this.keepingOffset(exact), opts);
    } else if (packet.id !== undefined) {
      super.broadcast(exact, opts); // for one socket, and the acknowledgement can be called only here
    } else {
      const logged: LoggedPacket = { type: exact.type, data: exact.data }; // its JSON is kept with it, and the caller's own may be used for something else
      const change: Change = {
        here: (sent) =>
          super.broadcast(sent ? this.withOffset(logged, this.log.offset()) : this.keepingOffset(logged), opts),
        // Its turn may come later, so it is sent as it is now.
        later: () => {
          const kept = this.onBus(exact);
          return () => super.broadcast(this.keepingOffset(kept), opts);
        },
        elsewhere: (target) => ({
          ...{ type: EntryType.Broadcast, data: { packet: logged, opts: target } },
          ...(this.hasOwnParser && { exact: true }),
        }),
      };
      this.change(opts, change, this.isForOne(opts) || this.isForOneElsewhere(opts));
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

  /* eslint-disable @typescript-eslint/no-misused-promises -- whoever awaits what the in-memory adapter does at once, may */
  /**
   * Resolves when it is done with the sockets here and is in the log for the others, or was dropped from the outbox. It
   * never rejects. Socket.IO's `socketsJoin()` does not pass it on; `io.of(…).adapter.addSockets(…)` gives it.
   */
  override addSockets(opts: BroadcastOptions, rooms: Room[]): Promise<void> {
    return this.changeRooms(EntryType.SocketsJoin, opts, rooms, () => super.addSockets(opts, rooms));
  }

  /** @see addSockets */
  override delSockets(opts: BroadcastOptions, rooms: Room[]): Promise<void> {
    return this.changeRooms(EntryType.SocketsLeave, opts, rooms, () => super.delSockets(opts, rooms));
  }

  /** @see addSockets */
  override disconnectSockets(opts: BroadcastOptions, close: boolean): Promise<void> {
    const isAppended = this.change(opts, {
      here: () => super.disconnectSockets(opts, close),
      elsewhere: (target) => ({ type: EntryType.DisconnectSockets, data: { opts: target, close } }),
    });
    return isAppended ? this.log.whenAppended() : Promise.resolve();
  }

  /* eslint-enable @typescript-eslint/no-misused-promises */

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

  deliver(entry: LogEntry, own: boolean): boolean {
    if (own && this.wasAtOnce(entry)) {
      return false;
    }
    if (entry.rooms && !this.hasRecipient(entry.rooms)) {
      return false; // known without decoding
    }
    try {
      const message = decodeEntry(entry);
      if (message) {
        const carryOut = (): void => this.carryOut(message, this.log.offsetAt(entry));
        const withheld = this.recovery?.withheldFrom(entry);
        this.traced(entry.trace, () => this.foreignWork.run(carryOut, withheld));
        return true;
      } else {
        this.log.reject(entry.id, `the type ${entry.type} is not known to this version`);
      }
    } catch (error) {
      // Besides what cannot be understood: what the server's parser cannot encode.
      this.log.reject(entry.id, (error as Error).message);
    }
    return false;
  }

  /** Delivers something with the trace that it carries. */
  private traced(trace: string | undefined, run: () => void): void {
    const { telemetry } = this.node;
    if (telemetry?.process) {
      telemetry.process(this.log.name, trace, run);
    } else {
      run();
    }
  }

  /** Another server of this node has appended something that is delivered at once. */
  deliverAtOnce(message: LogMessage): void {
    this.foreignWork.run(() => this.carryOut(message, this.log.offset()));
  }

  private wasAtOnce({ origin }: LogEntry): boolean {
    return this.ordering === 'local-first' || origin?.node.endsWith(DIRECT_LANE) === true;
  }

  private carryOut(message: LogMessage | ForeignMessage, offset: string): void {
    if (message.type === EntryType.ServerSideEmit) {
      callApp(() => this.namespace._onServerSideEmit(message.data.packet));
      return;
    }
    const opts = toBroadcastOptions(message.data.opts);
    switch (message.type) {
      case EntryType.Broadcast:
        super.broadcast(this.withOffset(message.data.packet, offset), opts);
        break;
      case EntryType.SocketsJoin:
        super.addSockets(opts, message.data.rooms);
        break;
      case EntryType.SocketsLeave:
        super.delSockets(opts, message.data.rooms);
        break;
      case EntryType.DisconnectSockets:
        super.disconnectSockets(opts, message.data.close);
        break;
    }
  }

  private hasRecipient(rooms: readonly Room[]): boolean {
    return rooms.length === 0 ? this.sids.size > 0 : rooms.some((room) => this.rooms.has(room));
  }

  // ── what the bus brings ─────────────────────────────────────────────────────────────────────────────────────────

  /** @throws Error if the message, which anybody may have published, is not one */
  onMessage(message: BusMessage): void {
    this.traced(message.trace, () => this.requests.receive(message));
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

  private async send(request: Request): Promise<void> {
    try {
      const trace = this.node.telemetry?.inject?.(this.log.name);
      await this.node.bus.publish({ uid: this.uid, nsp: this.name, ...request, ...(trace !== undefined && { trace }) });
    } catch (error) {
      this.node.counters.count('droppedRequests');
      throw error;
    }
  }

  private async respond(uid: string, response: Response): Promise<void> {
    try {
      await this.node.bus.respond(uid, { uid: this.uid, nsp: this.name, ...response });
    } catch (error) {
      this.node.counters.count('droppedRequests');
      throw error;
    }
  }

  /** Does something with the sockets of this server, and has the others do the same. Returns whether it was appended. */
  private change(opts: BroadcastOptions, change: Change, isDirect = this.isForOne(opts)): boolean {
    const target = this.elsewhere(opts);
    const isAtOnce = this.ordering === 'local-first' || isDirect;
    if (!target) {
      if (isAtOnce) {
        change.here(false);
      } else {
        this.afterOwnEntries(change.later?.() ?? (() => change.here(false)));
      }
      return false;
    }
    const message = { uid: this.uid, nsp: this.name, ...change.elsewhere(target) };
    const options = { ...(isDirect && { lane: 'direct' as const }), bus: () => this.node.bus.mark(this) };
    this.log.append(message, options);
    if (isAtOnce) {
      change.here(true);
      this.node.siblingsOf(this).forEach((sibling) => sibling.deliverAtOnce(message));
    }
    return true;
  }

  private changeRooms(
    type: typeof EntryType.SocketsJoin | typeof EntryType.SocketsLeave,
    opts: BroadcastOptions,
    rooms: Room[],
    here: () => unknown,
  ): Promise<void> {
    const shared = rooms.filter(isRoom);
    const isOnlyHere = shared.length === 0; // nobody elsewhere can be in such a room
    const isAppended = this.change(isOnlyHere ? { ...opts, flags: { ...opts.flags, local: true } } : opts, {
      here,
      elsewhere: (target) => ({ type, data: { opts: target, rooms: shared } }),
    });
    return isAppended ? this.log.whenAppended() : Promise.resolve();
  }

  /** Whether all that is meant is one socket of this server. */
  private isForOne({ rooms }: BroadcastOptions): boolean {
    const [room] = rooms;
    return rooms.size === 1 && this.namespace.sockets.has(room!);
  }

  /**
   * Whether all that is meant may be one socket that is not here, or not yet. Its client may arrive before this node has
   * read back what it sends now; what it sends then must not overtake it, so both go one way.
   */
  private isForOneElsewhere({ rooms }: BroadcastOptions): boolean {
    const [room] = rooms;
    if (!this.recovery || rooms.size !== 1 || !isSocketId(room)) {
      return false;
    }
    const members = this.rooms.get(room);
    return !members || (members.size === 1 && members.has(room)); // it is in its middlewares
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

  /** With the ordering `log`: does something here after what this node has appended so far. */
  private afterOwnEntries(run: () => unknown): void {
    let isNow = true;
    this.log.afterOwnEntries(() => {
      if (isNow) {
        run();
      } else {
        callApp(run);
      }
    });
    isNow = false;
  }

  /** The packet with the offset that its client will ask to be recovered from. */
  private withOffset(packet: LoggedPacket, offset: string): LoggedPacket {
    if (!this.recovery || packet.id !== undefined) {
      return packet;
    }
    const { type, data, json } = packet;
    const withOffset: LoggedPacket = { type, data: [...data, offset] };
    if (json !== undefined) {
      withOffset.json = `${json.slice(0, -1)},${JSON.stringify(offset)}]`;
    }
    return withOffset;
  }

  /**
   * A packet that is not in the log. A client takes the last item of any packet for its offset if it is a string, and
   * could not be recovered from "hello"; so its offset is added then, which is that of all that it has been given.
   */
  private keepingOffset(packet: EventPacket): EventPacket {
    return typeof packet.data.at(-1) === 'string' ? this.withOffset(packet, this.log.offset()) : packet;
  }

  /** What is asked while the node starts waits: it is not known yet who else is there. */
  private whenStarted(): Promise<void> | undefined {
    const isStarting = (): boolean => !this.closed && this.node.status().state === 'starting';
    if (!isStarting()) {
      return undefined;
    }
    return new Promise((resolve) => {
      const unsubscribe = this.node.subscribe({
        onStatus: () => {
          if (!isStarting()) {
            unsubscribe();
            resolve();
          }
        },
      });
    });
  }

  private census(): Promise<Census> {
    return this.closed ? Promise.resolve({ named: new Set<string>(), others: 0 }) : this.node.census(this);
  }

  /** Wraps the server's encoder: of a packet that is in the log, the JSON is known. */
  private reuseJson(): void {
    type Encoder = { encode(packet: LoggedPacket & { nsp: string }): (string | Buffer)[] };
    const internals = this as unknown as { encoder: Encoder };
    const { encoder } = internals;
    internals.encoder = {
      encode: (packet) => {
        const { type, nsp, json } = packet;
        return json === undefined ? encoder.encode(packet) : [`${type}${nsp === '/' ? '' : `${nsp},`}${json}`];
      },
    };
  }
}

/** Something to be done with sockets, here and elsewhere. */
interface Change {
  /** @param isSent - whether it is in the log, or on its way there */
  here(isSent: boolean): unknown;
  /** What is to be done here if its turn has not come yet; `here` if that is the same. */
  later?(): () => unknown;
  elsewhere(target: WireOptions): Body;
}

/** The adapter that a namespace had before is closed, if it is one of this package: `io.adapter()` forgets it. */
function closeIfOurs(adapter: unknown): void {
  const ours = adapter as Partial<Pick<RedisStreamsAdapter, typeof OURS | 'close'>> | null | undefined;
  if (ours?.[OURS]) {
    void ours.close?.();
  }
}
