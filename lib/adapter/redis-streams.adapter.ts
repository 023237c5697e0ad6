import { randomBytes } from 'node:crypto';
import { Adapter, ClusterAdapter, MessageType } from 'socket.io-adapter';
import type {
  BroadcastFlags,
  BroadcastOptions,
  ClusterMessage,
  ClusterResponse,
  PrivateSessionId,
  Room,
  Session as SocketIoSession,
  SocketId,
} from 'socket.io-adapter';
import type { ClusterNode, NamespaceMember } from '../cluster/cluster-node.js';
import { InvalidOptionError, resolveDisconnectionDuration } from '../cluster/options.js';
import type { BusMessage } from '../cluster/request-bus.js';
import { toPlain } from '../wire/binary.js';
import {
  decodeEntry,
  EntryType,
  toPacket,
  toWireOptions,
  type EventPacket,
  type LogEntry,
  type LogMessage,
  type WireOptions,
} from '../wire/entry.js';
import type { StreamLog } from '../stream/stream-log.js';
import { corkFlushes } from './cork-flushes.js';
import { PendingRequests } from './pending-requests.js';
import { SessionRecovery } from './session-recovery.js';
import type { NamespaceLike } from './socket-io.js';

const DEFAULT_REQUEST_TIMEOUT = 5_000;

/**
 * The adapter of one namespace of one Socket.IO server.
 *
 * What it is told to broadcast it appends to the log, and what the log brings it delivers to its sockets. Requests and
 * their answers, and volatile broadcasts, go over the bus.
 */
export class RedisStreamsAdapter extends ClusterAdapter implements NamespaceMember {
  declare readonly uid: string;
  readonly name: string;
  private readonly namespace: NamespaceLike;
  private readonly log: StreamLog;
  private readonly pendingRequests: PendingRequests;
  /** Broadcasts that wait for the acknowledgements of other servers' clients. */
  private readonly ackListeners = new Map<
    string,
    { onClientCount: (clientCount: number) => void; onAck: (...args: unknown[]) => void }
  >();
  private readonly recovery: SessionRecovery | undefined;
  private readonly ordering: 'log' | 'local-first';
  private censusUnderWay: ReturnType<ClusterNode['census']> | undefined;
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
    this.pendingRequests = new PendingRequests(() => this.census());
    const recovery = this.namespace.server.opts.connectionStateRecovery;
    this.ordering = node.options.ordering ?? (recovery ? 'log' : 'local-first');
    if (recovery) {
      if (this.ordering !== 'log') {
        throw new InvalidOptionError(
          'ordering',
          this.ordering,
          '"log" (or nothing) when connectionStateRecovery is on: a client that was given broadcasts before the log ' +
            'has them cannot tell what it has missed',
        );
      }
      const duration = resolveDisconnectionDuration(recovery.maxDisconnectionDuration);
      this.log.remember();
      this.recovery = new SessionRecovery(node, this.log, this.namespace, duration);
    }
    node.attach(this);
  }

  get socketCount(): number {
    return this.sids.size;
  }

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
      this.pendingRequests.close();
      this.closed = this.onClosed(this.node.detach(this));
    }
    return this.closed;
  }

  // ── what the server asks for ────────────────────────────────────────────────────────────────────────────────────

  /** @throws TypeError at once, if the packet cannot be serialized */
  override broadcast(packet: EventPacket, opts: BroadcastOptions): Promise<void> {
    const flags: BroadcastFlags = opts.flags ?? {};
    if (flags.volatile) {
      if (!flags.local) {
        this.publish({ type: MessageType.BROADCAST, data: { packet, opts: toWire(opts) } });
      }
      this.broadcastHere(this.keepingOffset(packet), opts);
    } else if (flags.local || packet.id !== undefined) {
      // An acknowledgement can be called only here, so nobody else needs the packet; but it keeps its place in the order.
      // Its turn may come later, so it is sent as it is now.
      const kept = this.ordering === 'log' ? { ...packet, data: toPlain(packet.data) as unknown[] } : packet;
      this.inOrder(() => this.broadcastHere(this.keepingOffset(kept), opts));
    } else {
      this.append({ type: EntryType.Broadcast, data: { packet, opts: toWire(opts) } });
      if (this.ordering === 'local-first') {
        this.broadcastHere(packet, opts);
      }
    }
    return Promise.resolve();
  }

  override broadcastWithAck(
    packet: EventPacket,
    opts: BroadcastOptions,
    onClientCount: (clientCount: number) => void,
    onAck: (...args: unknown[]) => void,
  ): void {
    if (!opts.flags?.local) {
      const requestId = newRequestId();
      this.ackListeners.set(requestId, { onClientCount, onAck });
      // Nobody here knows whether all clients have answered; after this time, nobody listens any more.
      setTimeout(() => this.ackListeners.delete(requestId), opts.flags?.timeout).unref();
      this.publish({ type: MessageType.BROADCAST, data: { packet, requestId, opts: toWire(opts) } });
    }
    Adapter.prototype.broadcastWithAck.call(this, packet, opts, onClientCount, onAck);
  }

  override addSockets(opts: BroadcastOptions, rooms: Room[]): Promise<void> {
    this.change(opts, () => Adapter.prototype.addSockets.call(this, opts, rooms), {
      type: EntryType.SocketsJoin,
      data: { opts: toWire(opts), rooms },
    });
    return Promise.resolve();
  }

  override delSockets(opts: BroadcastOptions, rooms: Room[]): Promise<void> {
    this.change(opts, () => Adapter.prototype.delSockets.call(this, opts, rooms), {
      type: EntryType.SocketsLeave,
      data: { opts: toWire(opts), rooms },
    });
    return Promise.resolve();
  }

  override disconnectSockets(opts: BroadcastOptions, close: boolean): Promise<void> {
    this.change(opts, () => Adapter.prototype.disconnectSockets.call(this, opts, close), {
      type: EntryType.DisconnectSockets,
      data: { opts: toWire(opts), close },
    });
    return Promise.resolve();
  }

  override async fetchSockets(opts: BroadcastOptions): Promise<unknown[]> {
    const sockets = (await Adapter.prototype.fetchSockets.call(this, opts)) as unknown[];
    if (opts.flags?.local) {
      return sockets;
    }
    const servers = await this.census();
    return new Promise((resolve, reject) => {
      const requestId = newRequestId();
      const timeout = opts.flags?.timeout ?? DEFAULT_REQUEST_TIMEOUT;
      this.pendingRequests.open(requestId, servers, timeout, sockets, (error, responses) =>
        error ? reject(error) : resolve(responses),
      );
      this.publish({ type: MessageType.FETCH_SOCKETS, data: { opts: toWire(opts), requestId } });
    });
  }

  /** @throws TypeError at once, if the packet cannot be serialized */
  override serverSideEmit(packet: unknown[]): Promise<void> {
    const ack = packet.at(-1);
    if (typeof ack === 'function') {
      const question = toPlain(packet.slice(0, -1)) as unknown[];
      return this.askServers(question, ack as (error: Error | null, responses: unknown[]) => void);
    }
    this.publish({ type: MessageType.SERVER_SIDE_EMIT, data: { packet: toPlain(packet) as unknown[] } });
    return Promise.resolve();
  }

  private async askServers(
    packet: unknown[],
    done: (error: Error | null, responses: unknown[]) => void,
  ): Promise<void> {
    let servers;
    try {
      servers = await this.census();
    } catch (error) {
      done(error as Error, []);
      return;
    }
    const requestId = newRequestId();
    this.pendingRequests.open(requestId, servers, DEFAULT_REQUEST_TIMEOUT, [], (error, responses) =>
      done(error ?? null, responses),
    );
    this.publish({ type: MessageType.SERVER_SIDE_EMIT, data: { requestId, packet } });
  }

  override async serverCount(): Promise<number> {
    const { named, others } = await this.census();
    return 1 + named.size + others;
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
      // Besides what cannot be understood: what cannot be encoded for a client, and what a listener of the app throws.
      this.log.reject(entry.id, (error as Error).message);
    }
  }

  private carryOut(message: LogMessage, entry: LogEntry): void {
    const opts = fromWire(message.data.opts);
    switch (message.type) {
      case EntryType.Broadcast: {
        const { packet } = message.data;
        if (this.recovery && packet.id === undefined) {
          packet.data.push(entry.id); // it was decoded for this delivery only
        }
        this.broadcastHere(packet, opts);
        break;
      }
      case EntryType.SocketsJoin:
        Adapter.prototype.addSockets.call(this, opts, message.data.rooms);
        break;
      case EntryType.SocketsLeave:
        Adapter.prototype.delSockets.call(this, opts, message.data.rooms);
        break;
      case EntryType.DisconnectSockets:
        Adapter.prototype.disconnectSockets.call(this, opts, message.data.close);
        break;
    }
  }

  private hasRecipient(rooms: readonly Room[]): boolean {
    return rooms.length === 0 ? this.sids.size > 0 : rooms.some((room) => this.rooms.has(room));
  }

  // ── what the bus brings ─────────────────────────────────────────────────────────────────────────────────────────

  /** @throws Error if the message, which anybody may have published, is not one */
  override onMessage(message: BusMessage): void {
    const data = message.data as Record<string, unknown> | null | undefined;
    if (typeof data !== 'object' || data === null) {
      throw new Error(`a message of type ${message.type} without data`);
    }
    switch (message.type as MessageType) {
      case MessageType.BROADCAST: {
        const packet = toPacket(data.packet);
        const opts = toWireOptions(data.opts);
        if (typeof data.requestId !== 'string') {
          this.broadcastHere(this.keepingOffset(packet), fromWire(opts));
          return;
        }
        this.answer(message, { packet, opts, requestId: data.requestId });
        return;
      }
      case MessageType.FETCH_SOCKETS:
        this.answer(message, { opts: toWireOptions(data.opts), requestId: toRequestId(data.requestId) });
        return;
      case MessageType.SERVER_SIDE_EMIT: {
        if (!Array.isArray(data.packet) || typeof data.packet[0] !== 'string') {
          throw new Error('a serverSideEmit without the name of an event');
        }
        this.answer(message, { packet: data.packet as unknown[], requestId: data.requestId });
        return;
      }
      case MessageType.FETCH_SOCKETS_RESPONSE:
        if (!Array.isArray(data.sockets)) {
          throw new Error('an answer to fetchSockets without sockets');
        }
        this.pendingRequests.answer(toRequestId(data.requestId), message.uid, data.sockets);
        return;
      case MessageType.SERVER_SIDE_EMIT_RESPONSE:
        this.pendingRequests.answer(toRequestId(data.requestId), message.uid, [data.packet]);
        return;
      case MessageType.BROADCAST_CLIENT_COUNT:
        this.ackListeners.get(toRequestId(data.requestId))?.onClientCount(Number(data.clientCount));
        return;
      case MessageType.BROADCAST_ACK:
        this.ackListeners.get(toRequestId(data.requestId))?.onAck(data.packet);
        return;
      default:
        throw new Error(`the type ${message.type} is not known to this version`);
    }
  }

  private answer(message: BusMessage, data: unknown): void {
    super.onMessage({ uid: message.uid, nsp: message.nsp, type: message.type, data } as ClusterMessage);
  }

  onPeersChanged(): void {
    void this.pendingRequests.recheck();
  }

  // ── connection state recovery ───────────────────────────────────────────────────────────────────────────────────

  override persistSession(session: SocketIoSession): void {
    this.recovery?.persist(session);
  }

  override restoreSession(pid: PrivateSessionId, offset: string): Promise<SocketIoSession> {
    // Socket.IO takes undefined for "not found", though its type does not say so.
    return (this.recovery?.restore(pid, offset) ?? Promise.resolve(undefined)) as Promise<SocketIoSession>;
  }

  // ── ClusterAdapter's ways out ───────────────────────────────────────────────────────────────────────────────────

  override async doPublish(message: ClusterMessage): Promise<string> {
    try {
      await this.node.bus.publish(message);
    } catch (error) {
      this.node.counters.droppedRequests++;
      throw error;
    }
    return '';
  }

  override async doPublishResponse(requesterUid: string, response: ClusterResponse): Promise<void> {
    try {
      await this.node.bus.respond(requesterUid, response);
    } catch (error) {
      if (error instanceof TypeError) {
        this.node.reject(this.name, `an answer to another node cannot be sent: ${error.message}`);
      } else {
        this.node.counters.droppedRequests++;
      }
      throw error;
    }
  }

  // ── the rest ────────────────────────────────────────────────────────────────────────────────────────────────────

  private append(message: Pick<LogMessage, 'type' | 'data'>): void {
    this.log.append({ uid: this.uid, nsp: this.name, ...message } as LogMessage, { bus: this.node.bus.mark(this) });
  }

  private change(opts: BroadcastOptions, applyHere: () => unknown, message: Pick<LogMessage, 'type' | 'data'>): void {
    if (opts.flags?.local) {
      this.inOrder(applyHere);
      return;
    }
    this.append(message);
    if (this.ordering === 'local-first') {
      applyHere();
    }
  }

  /** Does something here after what this node has appended so far. */
  private inOrder(run: () => unknown): void {
    if (this.ordering === 'local-first') {
      run();
      return;
    }
    let atOnce = true;
    this.log.afterOwnEntries(() => {
      try {
        run();
      } catch (error) {
        if (atOnce) {
          throw error;
        }
        this.node.reject(this.name, (error as Error).message); // what a listener of the app throws
      }
    });
    atOnce = false;
  }

  /** Writes a packet to the sockets of this server. */
  private broadcastHere(packet: EventPacket, opts: BroadcastOptions): void {
    Adapter.prototype.broadcast.call(this, packet, opts);
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

  private census(): ReturnType<ClusterNode['census']> {
    // A broadcast with acknowledgements asks twice in one turn, and both must be told the same.
    this.censusUnderWay ??= this.node.census(this).finally(() => (this.censusUnderWay = undefined));
    return this.censusUnderWay;
  }
}

function toWire(opts: BroadcastOptions): WireOptions {
  return { rooms: [...opts.rooms], except: [...(opts.except ?? [])], flags: { ...opts.flags } };
}

function fromWire({ rooms, except, flags }: WireOptions): BroadcastOptions {
  return { rooms: new Set(rooms), except: new Set(except), flags };
}

function newRequestId(): string {
  return randomBytes(8).toString('hex');
}

function toRequestId(value: unknown): string {
  if (typeof value !== 'string') {
    throw new Error('a message without "requestId"');
  }
  return value;
}
