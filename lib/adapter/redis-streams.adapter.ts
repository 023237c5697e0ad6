import { Adapter } from 'socket.io-adapter';
import type { BroadcastOptions, PrivateSessionId, Room, Session as SocketIoSession, SocketId } from 'socket.io-adapter';
import type { ClusterNode } from '../cluster/cluster-node.js';
import type { NamespaceMember } from '../cluster/local-namespaces.js';
import { resolveDisconnectionDuration } from '../cluster/options.js';
import type { BusMessage } from '../cluster/request-bus.js';
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
} from '../wire/entry.js';
import { copyOf } from '../wire/msgpack.js';
import type { Request } from '../wire/request-data.js';
import { RequestType } from '../wire/requests.js';
import { describeEvent } from '../stream/message-size.js';
import type { StreamLog } from '../stream/stream-log.js';
import { callApp } from '../cluster/app-code.js';
import { ApplyHook } from './apply-hook.js';
import { toMessage, type Change } from './change.js';
import { corkFlushes } from './cork-flushes.js';
import { NamespaceBus } from './namespace-bus.js';
import { Packets, reuseJson, withOffset } from './packets.js';
import { Requests, toBroadcastOptions } from './requests.js';
import { SessionRecovery } from './session-recovery.js';
import type { NamespaceLike, SocketDetails } from './socket-io.js';
import { Targets } from './targets.js';

/** How many events for the other servers wait for the node to start, at most. */
const MAX_EARLY = 10_000;
/** Marks adapters of this package, of whichever copy of it. */
const OURS = Symbol.for('nestjs-redis-streams-adapter');

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
  /** The other servers. */
  private readonly bus: NamespaceBus;
  /** What is asked of other servers, and answered to them. */
  private readonly requests: Requests;
  /** Undefined without the server's option `connectionStateRecovery`. */
  private readonly recovery: SessionRecovery | undefined;
  /** For which sockets something is done, and what becomes of the exceptions of their listeners. */
  private readonly applied = new ApplyHook(this);
  /** See the option of this name. */
  private readonly ordering: 'log' | 'local-first';
  /** For whom calls are meant. */
  private readonly targets: Targets;
  /** The forms of a packet. */
  private readonly packets: Packets;
  /** How many counts of clients the broadcast that is under way in this turn gives: see {@link broadcastWithAck}. */
  private countsToCome: number | undefined;
  /** How many events for the other servers wait for the node to start. */
  private early = 0;
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
    this.bus = new NamespaceBus(node, this, this.log.name);
    this.requests = new Requests({
      bus: this.bus,
      onLeftOut: (what) => node.counters.leaveOut(this.name, what),
      here: {
        broadcast: (packet, opts) => this.applied.isolate(() => this.send(packet, opts)),
        broadcastWithAck: (...args) => this.applied.isolate(() => super.broadcastWithAck(...args)),
        fetchSockets: (opts) => super.fetchSockets(opts) as Promise<SocketDetails[]>,
        serverSideEmit: (event) => this.namespace._onServerSideEmit(event),
      },
    });
    this.ordering = node.options.ordering ?? 'local-first';
    const { connectionStateRecovery, parser } = this.namespace.server.opts;
    if (connectionStateRecovery) {
      const duration = resolveDisconnectionDuration(connectionStateRecovery.maxDisconnectionDuration);
      this.log.remember();
      this.recovery = new SessionRecovery(node, this.log, this.namespace, duration);
    }
    const hasRecovery = this.recovery !== undefined;
    this.targets = new Targets(this, this.namespace.sockets, hasRecovery);
    this.packets = new Packets(this.log, { areExact: parser !== undefined, haveOffsets: hasRecovery });
    if (parser === undefined) {
      reuseJson(this);
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
      this.bus.close();
      this.closed = this.onClosed(this.node.detach(this));
    }
    return this.closed;
  }

  // ── what the server asks for ────────────────────────────────────────────────────────────────────────────────────

  /** @throws TypeError at once, if the packet cannot be serialized; MessageTooLargeError */
  override broadcast(packet: EventPacket, opts: BroadcastOptions): void {
    const exact = this.packets.exact(packet);
    if (opts.flags?.volatile) {
      const elsewhere = this.targets.elsewhere(opts);
      if (elsewhere) {
        const request = {
          type: RequestType.Broadcast,
          data: { packet: this.packets.onBus(exact), opts: elsewhere },
        } as const;
        this.bus.checkSize(exact.data, request.data);
        this.sendUnasked(request, exact.data); // it may be lost
      }
      this.send(exact, opts);
    } else if (packet.id !== undefined) {
      super.broadcast(exact, opts); // for one socket, and the acknowledgement can be called only here
    } else {
      // Its JSON is kept with it, and the caller's own may be used for something else.
      const logged: LoggedPacket = { type: exact.type, data: exact.data };
      this.change({ type: EntryType.Broadcast, data: { packet: logged } }, opts, this.targets.mayBeOne(opts));
    }
  }

  /**
   * Socket.IO adds up the counts of clients that it is given, and waits for as many counts as `serverCount()` says, which
   * it asks next. It is given two: of the clients here, and of all others when they have answered.
   *
   * @throws TypeError at once, if the packet cannot be serialized; MessageTooLargeError
   */
  override broadcastWithAck(
    packet: EventPacket,
    opts: BroadcastOptions,
    onClientCount: (clientCount: number) => void,
    onAck: (...args: unknown[]) => void,
  ): void {
    const exact = this.packets.exact(packet);
    const elsewhere = this.targets.elsewhere(opts);
    if (elsewhere) {
      const data = { packet: this.packets.onBus(exact), opts: elsewhere, timeout: opts.flags?.timeout };
      this.bus.checkSize(exact.data, data);
      this.requests.broadcastWithAck(data, onAck, onClientCount);
    }
    packet.data = exact.data;
    super.broadcastWithAck(packet, opts, onClientCount, onAck);
    this.countsToCome = elsewhere ? 2 : 1; // last: a listener of outgoing packets may have asked something meanwhile
    queueMicrotask(() => (this.countsToCome = undefined));
  }

  override async serverCount(): Promise<number> {
    if (this.countsToCome !== undefined) {
      const count = this.countsToCome;
      this.countsToCome = undefined;
      return count;
    }
    const { named, others } = await this.bus.census();
    return 1 + named.size + others;
  }

  /* eslint-disable @typescript-eslint/no-misused-promises -- whoever awaits what the in-memory adapter does at once, may */
  /**
   * Resolves when it is done with the sockets here and is in the log for the others, or was dropped from the outbox. It
   * never rejects. Socket.IO's `socketsJoin()` does not pass it on; `io.of(…).adapter.addSockets(…)` gives it.
   */
  override addSockets(opts: BroadcastOptions, rooms: Room[]): Promise<void> {
    return this.changeRooms(EntryType.SocketsJoin, opts, rooms);
  }

  /** @see addSockets */
  override delSockets(opts: BroadcastOptions, rooms: Room[]): Promise<void> {
    return this.changeRooms(EntryType.SocketsLeave, opts, rooms);
  }

  /** @see addSockets */
  override disconnectSockets(opts: BroadcastOptions, close: boolean): Promise<void> {
    return this.whenDone(this.change({ type: EntryType.DisconnectSockets, data: { close } }, opts));
  }

  /* eslint-enable @typescript-eslint/no-misused-promises */

  /** @throws Error if a server does not answer in time */
  override async fetchSockets(opts: BroadcastOptions): Promise<unknown[]> {
    const elsewhere = this.targets.elsewhere(opts);
    const [here, others] = await Promise.all([
      super.fetchSockets(opts) as Promise<unknown[]>,
      elsewhere ? this.requests.fetchSockets(elsewhere, opts.flags?.timeout) : [],
    ]);
    return here.concat(others);
  }

  /**
   * The ids of the sockets of all servers, for `allSockets()`.
   *
   * @throws Error if a server does not answer in time
   */
  override async sockets(rooms: Set<Room>): Promise<Set<SocketId>> {
    const sockets = (await this.fetchSockets({ rooms: new Set(rooms) })) as { id: SocketId }[];
    return new Set(sockets.map(({ id }) => id));
  }

  /** @throws TypeError at once, if the event cannot be sent to another process; MessageTooLargeError */
  override serverSideEmit(event: unknown[]): void {
    const ack = event.at(-1);
    if (typeof ack === 'function') {
      const question = carry(event.slice(0, -1)) as unknown[];
      this.bus.checkSize(question, question);
      this.requests.serverSideEmit(question, ack as (error: Error | null, responses: unknown[]) => void);
    } else {
      const request = { type: RequestType.ServerSideEmit, data: { packet: carry(event) as unknown[] } } as const;
      this.bus.checkSize(event, request.data);
      this.sendOnceStarted(request, event); // it is lost if Redis is away later, which is counted
    }
  }

  /** Sends an event that nobody answers; while the node starts it waits, as what is answered does. */
  private sendOnceStarted(request: Request, event: readonly unknown[]): void {
    const started = this.early < MAX_EARLY ? this.bus.whenStarted() : undefined;
    if (!started) {
      this.sendUnasked(request, event);
      return;
    }
    this.early++;
    const kept = copyOf(request); // as it is now
    void started.then(() => {
      this.early--;
      this.sendUnasked(kept, event);
    });
  }

  /** Sends an event that nobody answers. */
  private sendUnasked(request: Request, [name]: readonly unknown[]): void {
    this.bus.send(request).catch((error: unknown) => this.bus.onUnsent(error, describeEvent(name)));
  }

  // ── what the log brings ─────────────────────────────────────────────────────────────────────────────────────────

  deliver(entry: LogEntry, own: boolean): boolean {
    if (own && this.wasAtOnce(entry)) {
      return false;
    }
    if (entry.rooms && !this.targets.hasRecipient(entry.rooms)) {
      return false; // known without decoding
    }
    try {
      const message = decodeEntry(entry);
      if (message) {
        this.carryOut(message, entry);
        return true;
      }
      this.log.reject(entry.id, `the type ${entry.type} is not known to this version`);
    } catch (error) {
      // Besides what cannot be understood: what the server's parser cannot encode.
      this.log.reject(entry.id, (error as Error).message);
    }
    return false;
  }

  /** Does what another server has appended, with the trace that it carries. */
  private carryOut(message: LogMessage | ForeignMessage, entry: LogEntry): void {
    const { telemetry } = this.node;
    const offset = this.log.offsetAt(entry);
    const withheld = this.recovery?.withheldFrom(entry);
    if (telemetry?.process) {
      telemetry.process(this.log.name, entry.trace, () => this.performForeign(message, offset, withheld));
    } else {
      this.performForeign(message, offset, withheld);
    }
  }

  /** Another server of this node has appended something that is delivered at once. */
  deliverAtOnce(message: LogMessage): void {
    this.performForeign(message, this.log.offset());
  }

  private wasAtOnce({ origin }: LogEntry): boolean {
    return this.ordering === 'local-first' || origin?.node.endsWith(DIRECT_LANE) === true;
  }

  /** @param withheld - sockets that are given nothing */
  private performForeign(message: LogMessage | ForeignMessage, offset: string, withheld?: ReadonlySet<SocketId>): void {
    const work = (): void => {
      if (message.type === EntryType.ServerSideEmit) {
        callApp(() => this.namespace._onServerSideEmit(message.data.packet));
      } else {
        this.perform(message, toBroadcastOptions(message.data.opts), offset);
      }
    };
    this.applied.isolate(withheld ? () => this.applied.limit((sid) => !withheld.has(sid), work) : work);
  }

  /**
   * Does something with sockets of this server.
   *
   * @param offset - the offset of a broadcast; undefined if it is not in the log
   */
  private perform({ type, data }: Change, opts: BroadcastOptions, offset?: string): void {
    switch (type) {
      case EntryType.Broadcast:
        this.send(data.packet, opts, offset);
        break;
      case EntryType.SocketsJoin:
        super.addSockets(opts, data.rooms);
        break;
      case EntryType.SocketsLeave:
        super.delSockets(opts, data.rooms);
        break;
      case EntryType.DisconnectSockets:
        super.disconnectSockets(opts, data.close);
        break;
    }
  }

  /**
   * Gives a packet to sockets of this server. A client that has more than others that were given everything is given it with an
   * offset of its own, which says so: what is kept of it in Redis may be lost.
   *
   * @param given - the offset of the packet, if it is in the log
   */
  private send(packet: LoggedPacket, opts: BroadcastOptions, given?: string): void {
    const offset = this.packets.offsetFor(packet, given);
    if (offset === undefined) {
      super.broadcast(packet, opts);
      return;
    }
    const own = this.recovery?.hasClientsAhead ? this.recovery.ownOffsets(offset, this.isIn(opts.rooms)) : undefined;
    if (!own) {
      super.broadcast(withOffset(packet, offset), opts);
      return;
    }
    this.applied.limit(
      (sid) => !own.has(sid),
      () => super.broadcast(withOffset(packet, offset), opts),
    );
    for (const ownOffset of new Set(own.values())) {
      this.applied.limit(
        (sid) => own.get(sid) === ownOffset,
        () => super.broadcast(withOffset(packet, ownOffset), opts),
      );
    }
  }

  /** Whether a socket is in one of these rooms; any is, if there are none. */
  private isIn(rooms: ReadonlySet<Room>): (sid: SocketId) => boolean {
    return (sid) => rooms.size === 0 || [...rooms].some((room) => this.sids.get(sid)?.has(room));
  }

  // ── what the bus brings ─────────────────────────────────────────────────────────────────────────────────────────

  /** @throws Error if the message, which anybody may have published, is not one */
  onMessage(message: BusMessage): void {
    const { telemetry } = this.node;
    if (telemetry?.process) {
      telemetry.process(this.log.name, message.trace, () => this.requests.receive(message));
    } else {
      this.requests.receive(message);
    }
  }

  onPeersChanged(): void {
    void this.requests.recheck();
  }

  onSubscribed(): void {
    this.requests.askAgain();
  }

  // ── connection state recovery ───────────────────────────────────────────────────────────────────────────────────

  override persistSession(session: SocketIoSession): void {
    this.recovery?.persist(session);
  }

  override restoreSession(pid: PrivateSessionId, offset: string): Promise<SocketIoSession> {
    // Socket.IO takes undefined for "not found", though its type does not say so.
    return (this.recovery?.restore(pid, offset) ?? Promise.resolve(undefined)) as Promise<SocketIoSession>;
  }

  // ── here and elsewhere ─────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Does something with the sockets of this server, and has the others do the same. Returns whether it was appended.
   *
   * @param isDirect - whether it is done here at once, whatever the ordering
   */
  private change(change: Change, opts: BroadcastOptions, isDirect = this.targets.isOne(opts)): boolean {
    const target = this.targets.elsewhere(opts);
    const isAtOnce = this.ordering === 'local-first' || isDirect;
    if (!target) {
      if (isAtOnce) {
        this.perform(change, opts);
      } else {
        const kept = this.asItIsNow(change);
        const meant = { ...opts, rooms: new Set(opts.rooms), except: new Set(opts.except) };
        this.afterOwnEntries(() => this.perform(kept, meant));
      }
      return false;
    }
    const { uid, name: nsp, packets } = this;
    const message = toMessage(change, target, { uid, nsp, areExact: packets.areExact });
    this.log.append(message, { ...(isDirect && { lane: 'direct' as const }), bus: () => this.bus.mark() });
    if (isAtOnce) {
      try {
        this.perform(change, opts, this.log.offset()); // a listener of the application may throw
      } finally {
        this.node.siblingsOf(this).forEach((sibling) => sibling.deliverAtOnce(message));
      }
    }
    return true;
  }

  /** What can be done later, whatever becomes of its objects meanwhile. */
  private asItIsNow(change: Change): Change {
    switch (change.type) {
      case EntryType.Broadcast:
        return { type: change.type, data: { packet: this.packets.asItIsNow(change.data.packet) } };
      case EntryType.DisconnectSockets:
        return change;
      default:
        return { type: change.type, data: { rooms: [...change.data.rooms] } };
    }
  }

  private changeRooms(
    type: typeof EntryType.SocketsJoin | typeof EntryType.SocketsLeave,
    opts: BroadcastOptions,
    rooms: Room[],
  ): Promise<void> {
    const isOnlyHere = !rooms.some(isRoom); // nobody elsewhere can be in such a room
    const meant = isOnlyHere ? { ...opts, flags: { ...opts.flags, local: true } } : opts;
    return this.whenDone(this.change({ type, data: { rooms } }, meant));
  }

  /** Resolves when the change that was made last is done here, and in the log if it was appended. */
  private whenDone(isAppended: boolean): Promise<void> {
    if (this.ordering === 'log') {
      return this.log.whenOwnDelivered();
    }
    return isAppended ? this.log.whenAppended() : Promise.resolve();
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
}

/** The adapter that a namespace had before is closed, if it is one of this package: `io.adapter()` forgets it. */
function closeIfOurs(adapter: unknown): void {
  const ours = adapter as Partial<Pick<RedisStreamsAdapter, typeof OURS | 'close'>> | null | undefined;
  if (ours?.[OURS]) {
    void ours.close?.();
  }
}
