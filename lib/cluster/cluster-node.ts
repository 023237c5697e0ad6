import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { driverFor } from '../redis/driver-for.js';
import { Readiness } from '../redis/readiness.js';
import {
  RedisClientError,
  type ConnectionListener,
  type ConnectionRole,
  type RedisConnection,
  type RedisDriver,
} from '../redis/driver.js';
import { SessionStore } from '../session/session-store.js';
import { EMITTER_UID, nodeOf, type LogEntry } from '../stream/entry.js';
import { StreamLog } from '../stream/stream-log.js';
import { isStreamId } from '../stream/stream-id.js';
import { describeEvent } from './describe-event.js';
import type { ClusterEvent, ClusterNodeStatus, NodeStatus } from './events.js';
import type { ClusterMember } from './cluster-member.js';
import type { RedisStreamsLogger } from './logger.js';
import { NodeRegistry, type Announcement } from './node-registry.js';
import {
  resolveOptions,
  streamIndexOf,
  streamNames,
  type RedisStreamsAdapterOptions,
  type ResolvedOptions,
} from './options.js';
import { RequestBus, type BusMember, type Census } from './request-bus.js';

/** Milliseconds before channels that Redis refused are tried again, at the start. */
const SUBSCRIBE_RETRY = 500;
/** Milliseconds from one answer to the hellos of others to the next. */
const ANSWER_INTERVAL = 20;
/** Milliseconds from one look to the next whether a node is back. */
const BACK_CHECK_INTERVAL = 20;

/** A namespace of a Socket.IO server of this process: what the node delivers to. */
export interface NamespaceMember extends BusMember {
  /** Given each entry of its namespace, in the order of the log. */
  deliver(entry: LogEntry, fromThisNode: boolean): void;
  /** A node is gone, or the nodes that have the namespace may have changed. */
  onPeersChanged(): void;
  readonly socketCount: number;
}

/** What a listener may be told of. */
export interface ClusterNodeListener {
  onEvent?(event: ClusterEvent): void;
  /** The list of nodes, or the state of one, has changed. */
  onNodes?(nodes: NodeStatus[]): void;
  /** The node's own status may have changed. */
  onStatus?(): void;
}

type HeartbeatMessage =
  | {
      kind: 'hello' | 'beat';
      node: Announcement;
      reading: boolean;
      streams: Record<string, [seq: number, id: string]>;
      /** Whether the sender only asks who is there, and is no node itself. */
      observer: boolean;
    }
  | { kind: 'bye'; node: Announcement }
  | { kind: 'release'; node: Announcement; pid: string; at: string; epoch: number }
  | { kind: 'released'; node: Announcement; pid: string; to: string; session: string | null };

/**
 * This process as a member of the cluster: owner of the connections to Redis and of all that works on them.
 *
 * Modes:
 * - starting: connections are being opened. Broadcasts wait in the outbox.
 * - running: the ends of the streams are known and the channels are subscribed. Nothing sent from now on is missed.
 *   Redis may be away for a while; everything resumes by itself.
 * - closing: what waits is appended, sessions are written, goodbye is said, all that is ours is closed.
 * - closed.
 */
export class ClusterNode implements ClusterMember {
  /** Random, new with each start; also the uid of its servers on the wire. */
  readonly id = randomBytes(8).toString('hex');
  readonly options: ResolvedOptions;
  readonly bus: RequestBus;
  readonly registry: NodeRegistry;
  readonly sessions: SessionStore;
  readonly counters = { rejectedMessages: 0, droppedRequests: 0, recoveries: 0, refusedRecoveries: 0 };

  private readonly driver: RedisDriver;
  private readonly commands: RedisConnection;
  private readonly subscriber: RedisConnection;
  private readonly logs: StreamLog[];
  private readonly members = new Map<string, NamespaceMember[]>();
  private readonly listeners = new Set<ClusterNodeListener>();
  private readonly readiness: Readiness;
  private readonly startedAt = Date.now();
  private readonly lost = new Map<string, Error>();
  private readonly told = new Set<string>();
  private lostSince: number | undefined;
  private heardOwnAt = performance.now();
  private checkedAt = performance.now();
  private mode: 'starting' | 'running' | 'closing' | 'closed' = 'starting';
  private heartbeatTimer: NodeJS.Timeout | undefined;
  private checkTimer: NodeJS.Timeout | undefined;
  private answerTimer: NodeJS.Timeout | undefined;
  private isAnswerDue = false;
  /** Whether it has said hello to the others, and not goodbye. */
  private isPresent = false;
  private hello: NodeJS.Immediate | undefined;
  /** The nodes whose way back to Redis is waited for. */
  private readonly onTheWay = new Map<string, Promise<void>>();
  private starting: Promise<void> | undefined;
  private closing: Promise<void> | undefined;
  private readonly subscribedOnce: Promise<void>;
  private readonly commandsReadyOnce: Promise<void>;
  private readonly closingOnce: Promise<void>;
  private markSubscribed!: () => void;
  private markClosing!: () => void;
  private subscribeError: Error | undefined;
  private announceError: Error | undefined;

  /**
   * @param client - a Redis client; it is never used, only duplicated
   * @param role - an observer sees the nodes, counts as none, and reads no log
   * @throws InvalidOptionError, RedisClientError
   */
  constructor(
    client: unknown,
    options: RedisStreamsAdapterOptions = {},
    private readonly logger: RedisStreamsLogger = console,
    private readonly role: 'node' | 'observer' = 'node',
  ) {
    this.options = resolveOptions(options);
    this.driver = driverFor(client);
    const { heartbeatInterval, heartbeatTimeout, commandTimeout } = this.options;

    let commandsReady!: () => void;
    this.commandsReadyOnce = new Promise((resolve) => (commandsReady = resolve));
    this.subscribedOnce = new Promise((resolve) => (this.markSubscribed = resolve));
    this.closingOnce = new Promise((resolve) => (this.markClosing = resolve));

    this.readiness = new Readiness(() => this.commands, commandTimeout);
    this.commands = this.open('commands', 'commands', {
      onReady: () => {
        commandsReady();
        this.readiness.onReady();
        this.onCommandsReady();
      },
      onLost: () => this.onCommandsLost(),
    });
    this.subscriber = this.open('subscriber', 'subscriber', {
      onReady: () => void this.subscribeAll(),
      onLost: () => this.bus.onLost(),
      onMessage: (channel, payload) => this.bus.receive(channel, payload),
    });
    this.bus = new RequestBus(this.commands, () => this.subscriber, {
      channelPrefix: this.options.channelPrefix,
      streamName: this.options.streamName,
      commandTimeout,
      onAnnouncement: (message) => this.onHeartbeat(message),
      onRejected: (channel, reason) => this.reject(channel, reason),
      onHeard: (uid, nsp) => this.onHeard(uid, nsp),
    });
    this.registry = new NodeRegistry({
      ...{ heartbeatInterval, heartbeatTimeout },
      emit: (event) => this.emit(event),
      onChange: () => this.onNodesChanged(),
    });
    this.sessions = new SessionStore(this.commands, {
      keyPrefix: this.options.sessionKeyPrefix,
      nodeId: this.id,
      checkpoints: this.options.sessionCheckpoints,
      grace: 2 * heartbeatTimeout,
      commandTimeout,
      retry: (run) => this.readiness.retry(run),
      peers: {
        whenBack: (node) => this.whenBack(node),
        canHear: (nsp, node) => this.bus.isSubscribedTo(nsp, serverUid(node, 0)),
        askRelease: (pid, at, epoch) =>
          this.bus.announce({ kind: 'release', node: this.announcement(), pid, at, epoch }),
      },
      onError: (operation, error) => {
        if (this.once(`session ${operation} ${error.message}`)) {
          this.emit({ type: 'session-refused', operation, error });
        }
      },
    });
    this.logs = role === 'node' ? streamNames(this.options).map((stream) => this.openLog(stream)) : [];
  }

  /**
   * Opens the connections. Resolves when nothing that is sent from then on is missed, or when the node is closed before.
   *
   * @throws RedisClientError if that is not so within `startTimeout` and `onStartTimeout` is `fail`; the node is
   *   closed then
   */
  start(): Promise<void> {
    this.starting ??= this.doStart();
    return this.starting;
  }

  private async doStart(): Promise<void> {
    for (const log of this.logs) {
      log.start();
    }
    const open = Promise.all([
      this.commandsReadyOnce,
      this.subscribedOnce,
      ...this.logs.map((log) => log.whenOpen()),
    ]).then(() => this.run());
    const { startTimeout, onStartTimeout } = this.options;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => (timer = setTimeout(resolve, startTimeout, 'late')));
    const outcome = await Promise.race([open, late, this.closingOnce]);
    clearTimeout(timer);
    if (outcome === 'late') {
      const why = this.reasons().join('; ') || 'it does not answer';
      if (onStartTimeout === 'fail') {
        await this.close();
        throw new RedisClientError(
          `Redis cannot be used after ${startTimeout} ms (startTimeout): ${why}. Check the connection and the rights ` +
            'of its user, or set onStartTimeout to "degrade" to start without Redis.',
        );
      }
      this.logger.warn(`starting without Redis: ${why}`);
      open.catch(() => undefined);
    }
  }

  get isClosing(): boolean {
    return this.mode === 'closing' || this.mode === 'closed';
  }

  /** Flushes the outbox (for at most `closeTimeout` milliseconds), writes sessions, says goodbye, closes all. */
  close(): Promise<void> {
    this.closing ??= this.doClose();
    return this.closing;
  }

  private async doClose(): Promise<void> {
    const { closeTimeout } = this.options;
    const wasRunning = this.mode === 'running';
    this.mode = 'closing';
    this.markClosing();
    clearInterval(this.heartbeatTimer);
    clearInterval(this.checkTimer);
    this.readiness.close();
    this.sessions.saveAll();
    await Promise.all(this.logs.map(({ publisher }) => publisher.close(closeTimeout)));
    await this.sessions.close();
    this.isPresent = false;
    if (wasRunning) {
      await this.bus.announce({ kind: 'bye', node: this.announcement() }).catch(() => undefined);
    }
    await Promise.all([...this.logs.map((log) => log.close()), this.subscriber.close(), this.commands.close()]);
    this.mode = 'closed';
    this.tellStatus();
  }

  /** Calls the listener's methods until the function that is returned is called. */
  subscribe(listener: ClusterNodeListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** The log that carries a namespace. */
  logOf(nsp: string): StreamLog {
    return this.logs[streamIndexOf(nsp, this.options.streamCount)]!;
  }

  /** The uid of one more server of this node that has the namespace. */
  nextUid(nsp: string): string {
    const taken = new Set(this.members.get(nsp)?.map(({ uid }) => uid));
    let index = 0;
    while (taken.has(serverUid(this.id, index))) {
      index++;
    }
    return serverUid(this.id, index);
  }

  attach(member: NamespaceMember): void {
    this.members.set(member.name, [...(this.members.get(member.name) ?? []), member]);
    this.bus.join(member).catch(() => undefined); // all is subscribed when the connection is back
  }

  /** Returns whether it was the last member. */
  detach(member: NamespaceMember): boolean {
    const rest = (this.members.get(member.name) ?? []).filter((other) => other !== member);
    if (rest.length > 0) {
      this.members.set(member.name, rest);
    } else {
      this.members.delete(member.name);
    }
    this.bus.leave(member).catch(() => undefined); // a lost connection has no subscriptions
    return this.members.size === 0;
  }

  /** Who else has a namespace, those that are known to be gone left out. */
  async census(member: BusMember): Promise<Census> {
    const servers = new Map(this.registry.present().map((peer) => [peer.id, peer.servers]));
    const uids = this.registry.announced().map((id) => serverUids(id, servers.get(id) ?? 1));
    const { named, others } = await this.bus.census(member, uids);
    for (const uid of named) {
      if (this.registry.isGone(nodeOf(uid))) {
        named.delete(uid);
      }
    }
    return { named, others };
  }

  /** All nodes, this one first if it is one. */
  nodes(): NodeStatus[] {
    if (this.role === 'observer') {
      return this.registry.list();
    }
    const { id, host, pid, startedAt, sockets, backlog } = this.announcement();
    const state = this.mode === 'closed' ? 'left' : 'up';
    const self: NodeStatus = {
      ...{ id, host, pid, startedAt, sockets, backlog, state },
      lastSeen: Date.now(),
      self: true,
    };
    return [self, ...this.registry.list()];
  }

  status(): ClusterNodeStatus {
    const reasons = this.reasons();
    const running = reasons.length === 0 ? 'running' : 'degraded';
    return {
      id: this.id,
      state: this.mode === 'starting' ? 'starting' : this.mode === 'running' ? running : 'closed',
      reasons,
      streams: this.logs.map(({ name, reader, publisher, replay }) => ({
        name,
        mode: reader.mode,
        position: reader.position,
        backlog: reader.backlog,
        lagMs: reader.lagMs,
        outbox: { entries: publisher.pending, bytes: publisher.pendingBytes },
        replay: { entries: replay.size, bytes: replay.bytes },
        counters: { ...reader.counters, appended: publisher.appended, dropped: publisher.dropped },
      })),
      liveSessions: this.sessions.liveCount,
      counters: { ...this.counters },
    };
  }

  /** Why this node cannot do its work, if it cannot. */
  reasons(): string[] {
    const reasons = [...this.lost].map(([name, error]) => `the ${name} connection is lost: ${error.message}`);
    for (const { name, reader, publisher } of this.logs) {
      if (reader.error && !this.lost.has(`reader of "${name}"`)) {
        reasons.push(`the stream "${name}" cannot be read: ${reader.error.message}`);
      }
      if (publisher.error && !this.lost.has('commands')) {
        reasons.push(`the stream "${name}" cannot be appended to: ${publisher.error.message}`);
      }
    }
    if (this.subscribeError) {
      reasons.push(`the channels cannot be subscribed to: ${this.subscribeError.message}`);
    }
    if (this.announceError && !this.lost.has('commands')) {
      reasons.push(`heartbeats cannot be published: ${this.announceError.message}`);
    }
    return reasons;
  }

  /** Counts a message that was passed over; its reason is told the first time. */
  reject(channel: string, reason: string): void {
    this.counters.rejectedMessages++;
    if (this.once(`message ${reason}`)) {
      this.emit({ type: 'message-rejected', channel, reason });
    }
  }

  private run(): void {
    if (this.mode !== 'starting') {
      return;
    }
    this.mode = 'running';
    this.isPresent = true;
    this.heardOwnAt = performance.now();
    const { heartbeatInterval } = this.options;
    this.heartbeatTimer = setInterval(() => this.beat('beat'), heartbeatInterval);
    this.checkTimer = setInterval(() => this.check(), Math.max(5, Math.min(1_000, heartbeatInterval / 5)));
    this.beat('hello');
    this.tellStatus();
    this.onNodesChanged();
  }

  private beat(kind: 'hello' | 'beat'): void {
    const streams: Record<string, [number, string]> = {};
    for (const { name, publisher, reader } of this.logs) {
      const { seq, id } = publisher.lastAppended;
      streams[name] = [seq, id];
      reader.announce(this.id, seq, id); // what is lost unread is lost for this node too
    }
    const reading = this.isReading && this.bus.isSubscribed; // it has found back to Redis, and hears what it is asked
    const observer = this.role === 'observer';
    this.bus.announce({ kind, node: this.announcement(), reading, streams, ...(observer && { observer }) }).then(
      () => (this.announceError = undefined),
      (error: Error) => (this.announceError = error),
    );
    if (kind === 'beat') {
      this.sessions.keepAlive().catch(() => undefined);
    }
    if (this.subscriber.ready && !this.bus.isSubscribed) {
      void this.subscribeAll();
    }
    this.tellStatus();
  }

  private check(): void {
    const deaf = !this.bus.isSubscribed;
    this.registry.check(deaf);
    this.resume();
    // Who does not even hear itself, though its heartbeats are sent, is subscribed on a connection that is dead.
    const { heartbeatInterval, heartbeatTimeout } = this.options;
    const now = performance.now();
    // What was sent to a process that was stopped, or busy, may still wait in its socket.
    const asleep = now - this.checkedAt > heartbeatInterval / 2;
    this.checkedAt = now;
    if (deaf || this.announceError || asleep) {
      this.heardOwnAt = now;
    } else if (now - this.heardOwnAt > heartbeatTimeout) {
      this.heardOwnAt = now;
      this.subscriber.reset();
    }
  }

  /** Lets out what the publishers hold, if they may. */
  private resume(): void {
    for (const { publisher } of this.logs) {
      publisher.onReadBack();
    }
  }

  private announcement(): Announcement {
    const members = this.allMembers();
    return {
      id: this.id,
      host: hostname(),
      pid: process.pid,
      startedAt: this.startedAt,
      sockets: members.reduce((sum, member) => sum + member.socketCount, 0),
      backlog: this.logs.reduce((sum, { reader }) => sum + reader.backlog, 0),
      servers: members.reduce((most, { uid }) => Math.max(most, indexOf(uid) + 1), 1),
    };
  }

  private onHeartbeat(value: unknown): void {
    const message = toHeartbeat(value);
    if (message.node.id === this.id) {
      this.heardOwnAt = performance.now();
      return;
    }
    switch (message.kind) {
      case 'bye':
        this.registry.left(message.node.id);
        this.logs.forEach(({ publisher }) => publisher.onLeft(message.node.id));
        break;
      case 'release':
        this.releaseSession(message);
        break;
      case 'released':
        if (message.to === this.id) {
          this.sessions.onReleased(message.pid, message.session);
        }
        break;
      default:
        if (!message.observer) {
          this.registry.heard(message.node);
        }
        if (message.reading) {
          this.logs.forEach(({ publisher }) => publisher.onReading(message.node.id));
        }
        for (const log of this.logs) {
          const last = message.streams[log.name];
          if (last) {
            log.reader.announce(message.node.id, ...last);
          }
        }
        if (message.kind === 'hello' && this.isPresent) {
          this.answer();
        }
    }
  }

  /** A client has come to another node, which is told its session as it is now if it is this node that was asked. */
  private releaseSession({ pid, epoch, at, node }: Extract<HeartbeatMessage, { kind: 'release' }>): void {
    const session = this.sessions.letGo(pid, epoch);
    if (session || at === this.id) {
      const answer = { kind: 'released', node: this.announcement(), pid, to: node.id, session };
      this.bus.announce(answer).catch(() => undefined);
    }
  }

  private openLog(stream: string): StreamLog {
    const { options } = this;
    const open = (listener: ConnectionListener): RedisConnection =>
      this.open('reader', `reader of "${stream}"`, listener, stream);
    return new StreamLog(this.commands, open, {
      stream,
      nodeId: this.id,
      maxLen: options.maxLen,
      readCount: options.readCount,
      blockTime: options.blockTimeInMs,
      commandTimeout: options.commandTimeout,
      outbox: { maxEntries: options.outboxMaxEntries, maxBytes: options.outboxMaxBytes },
      replay: { maxEntries: options.replayMaxEntries, maxBytes: options.replayMaxBytes },
      emit: (event) => this.emit(event),
      deliver: (entry) => this.deliver(entry),
      heartbeatTimeout: options.heartbeatTimeout,
      readers: {
        count: () => this.nodeCount,
        present: () => [this.id, ...this.registry.present().map(({ id }) => id)],
        ask: () => this.sayHello(),
      },
      onReading: () => this.onReading(),
      retry: (run) => this.readiness.retry(run),
    });
  }

  private deliver(entry: LogEntry): void {
    if (!entry.origin) {
      this.onHeard(entry.uid, entry.nsp);
    }
    const members = this.members.get(entry.nsp);
    if (members) {
      const own = entry.origin?.node === this.id;
      for (const member of members) {
        member.deliver(entry, own);
      }
    }
  }

  /** A server of another node has sent something; of nodes that have a heartbeat, this tells nothing new. */
  private onHeard(uid: string, nsp: string): void {
    if (uid !== EMITTER_UID && nodeOf(uid) !== this.id) {
      this.registry.heardFrom(uid, nsp);
    }
  }

  private open(role: ConnectionRole, name: string, listener: ConnectionListener, key?: string): RedisConnection {
    return this.driver.open({
      role,
      connectionName: `redis-streams:${this.id}:${role}`,
      sharded: this.options.useShardedPubSub,
      ...(key !== undefined && { key }),
      listener: {
        ...listener,
        onReady: () => {
          this.onConnection(name, undefined);
          listener.onReady();
        },
        onLost: (error) => {
          this.onConnection(name, error);
          listener.onLost(error);
        },
      },
    });
  }

  private onConnection(name: string, error: Error | undefined): void {
    const before = this.lost.size;
    if (error) {
      this.lost.set(name, error);
    } else {
      this.lost.delete(name);
    }
    if (this.mode !== 'running') {
      return;
    }
    if (error && this.lostSince === undefined) {
      this.lostSince = performance.now();
      this.emit({ type: 'redis-lost', error });
    } else if (!error && this.lost.size === 0 && before > 0 && this.lostSince !== undefined) {
      const afterMs = Math.round(performance.now() - this.lostSince);
      this.lostSince = undefined;
      this.emit({ type: 'redis-regained', afterMs });
    }
    this.tellStatus();
  }

  /** How many nodes there are, those that are known to be gone left out. */
  get nodeCount(): number {
    return 1 + this.registry.present().length;
  }

  /** Resolves when a node is not on its way back to Redis any more, or Redis is away again. */
  private whenBack(node: string): Promise<void> {
    const waiting = this.onTheWay.get(node) ?? this.untilBack(node).finally(() => this.onTheWay.delete(node));
    this.onTheWay.set(node, waiting);
    return waiting;
  }

  private async untilBack(node: string): Promise<void> {
    while (this.mode === 'running' && this.logs.some(({ publisher }) => publisher.awaits(node))) {
      await sleep(BACK_CHECK_INTERVAL);
    }
  }

  private get isReading(): boolean {
    return this.logs.every(({ reader }) => reader.isReading);
  }

  private onReading(): void {
    if (this.mode === 'running' && this.isReading) {
      this.beat('beat'); // whoever waits for this node need not wait longer
    }
  }

  private onCommandsLost(): void {
    if (!this.commands.ready) {
      this.logs.forEach(({ publisher }) => publisher.onLost());
    } // else a master of a cluster is away, and perhaps not that of any stream
  }

  private onCommandsReady(): void {
    this.logs.forEach(({ publisher }) => publisher.onReady());
    this.sessions.onReady();
    this.sessions.verify().catch(() => undefined);
    this.sayHello();
  }

  /** Who hears it answers, and says whether it reads. Several in one turn are one. */
  private sayHello(): void {
    this.hello ??= setImmediate(() => {
      this.hello = undefined;
      if (this.isPresent) {
        this.beat('hello');
      }
    });
  }

  /** When many nodes say hello at once, the first is answered at once, and then all together. */
  private answer(): void {
    if (this.answerTimer) {
      this.isAnswerDue = true;
      return;
    }
    this.beat('beat');
    this.answerTimer = setTimeout(() => {
      this.answerTimer = undefined;
      if (this.isAnswerDue && this.isPresent) {
        this.isAnswerDue = false;
        this.answer();
      }
    }, ANSWER_INTERVAL).unref();
  }

  private async subscribeAll(): Promise<void> {
    try {
      await this.bus.onReady();
      this.subscribeError = undefined;
      this.markSubscribed();
      this.sessions.verify().catch(() => undefined);
      this.sayHello(); // whoever was not heard meanwhile answers
    } catch (error) {
      this.subscribeError = error as Error;
      if (this.subscriber.ready && this.mode === 'starting') {
        setTimeout(() => void this.subscribeAll(), SUBSCRIBE_RETRY).unref();
      } // else the next connection or heartbeat tries again
    }
  }

  private onNodesChanged(): void {
    for (const member of this.allMembers()) {
      member.onPeersChanged();
    }
    const nodes = this.nodes();
    for (const listener of this.listeners) {
      listener.onNodes?.(nodes);
    }
  }

  private emit(event: ClusterEvent): void {
    const { level, text } = describeEvent(event);
    if (level) {
      this.logger[level](text);
    }
    for (const listener of this.listeners) {
      listener.onEvent?.(event);
    }
    this.tellStatus();
  }

  private tellStatus(): void {
    for (const listener of this.listeners) {
      listener.onStatus?.();
    }
  }

  private once(what: string): boolean {
    if (this.told.has(what) || this.told.size >= 200) {
      return false;
    }
    this.told.add(what);
    return true;
  }

  private allMembers(): NamespaceMember[] {
    return [...this.members.values()].flat();
  }
}

/** A node's servers that have the same namespace have uids of their own; the first has the node's id. */
function serverUid(node: string, index: number): string {
  return index === 0 ? node : `${node}.${index}`;
}

function serverUids(node: string, servers: number): string[] {
  return Array.from({ length: servers }, (_, index) => serverUid(node, index));
}

function indexOf(uid: string): number {
  return Number(uid.split('.', 2)[1] ?? 0);
}

/** @throws Error if the value, which anybody may have published, is no heartbeat */
function toHeartbeat(value: unknown): HeartbeatMessage {
  const message = value as Record<string, unknown> | null;
  const node = message?.node as Partial<Record<keyof Announcement, unknown>> | null | undefined;
  if (typeof node?.id !== 'string' || !/^[\w-]{1,64}$/.test(node.id)) {
    throw new Error('a heartbeat without the id of its node');
  }
  const announcement: Announcement = {
    id: node.id,
    host: typeof node.host === 'string' ? node.host.slice(0, 256) : 'unknown',
    pid: toCount(node.pid),
    startedAt: toCount(node.startedAt),
    sockets: toCount(node.sockets),
    backlog: toCount(node.backlog),
    servers: Math.min(64, Math.max(1, toCount(node.servers))),
  };
  switch (message!.kind) {
    case 'hello':
    case 'beat':
      return {
        ...{ kind: message!.kind, node: announcement, streams: toPositions(message!.streams) },
        reading: message!.reading !== false,
        observer: message!.observer === true,
      };
    case 'bye':
      return { kind: 'bye', node: announcement };
    case 'release': {
      const { pid, at, epoch } = message!;
      if (typeof pid === 'string' && typeof at === 'string' && typeof epoch === 'number') {
        return { kind: 'release', node: announcement, pid, at, epoch };
      }
      break;
    }
    case 'released': {
      const { pid, to, session } = message!;
      if (typeof pid === 'string' && typeof to === 'string') {
        return { kind: 'released', node: announcement, pid, to, session: typeof session === 'string' ? session : null };
      }
    }
  }
  throw new Error(`a heartbeat of the unknown kind ${JSON.stringify(message!.kind)}`);
}

function toPositions(value: unknown): Record<string, [number, string]> {
  const positions: Record<string, [number, string]> = Object.create(null) as Record<string, [number, string]>;
  for (const [stream, position] of Object.entries(typeof value === 'object' && value !== null ? value : {})) {
    const [seq, id] = Array.isArray(position) ? (position as unknown[]) : [];
    if (Number.isSafeInteger(seq) && isStreamId(id)) {
      positions[stream] = [seq as number, id];
    }
  }
  return positions;
}

function toCount(value: unknown): number {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : 0;
}
