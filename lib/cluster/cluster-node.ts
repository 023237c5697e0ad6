import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { driverFor } from '../redis/driver-for.js';
import { RedisClientError, type ConnectionListener, type RedisConnection, type RedisDriver } from '../redis/driver.js';
import { SessionStore } from '../session/session-store.js';
import { StreamLog } from '../stream/stream-log.js';
import { within } from '../time/within.js';
import type { LogEntry } from '../wire/entry.js';
import type { NodeInfo } from '../wire/control.js';
import { streamIndexOf } from '../wire/keys.js';
import { EMITTER_UID, nodeOf } from '../wire/server-uid.js';
import type { ClusterMember } from './cluster-member.js';
import { COMMANDS, Connections } from './connections.js';
import { ControlMessages } from './control-messages.js';
import { EventPublisher, type ClusterNodeListener } from './event-publisher.js';
import type { ClusterNodeStatus, NodeStatus } from './events.js';
import { HearingClock } from './hearing-clock.js';
import { Heartbeats } from './heartbeats.js';
import { debugLogger, type RedisStreamsLogger } from './logger.js';
import { LocalNamespaces, type NamespaceMember } from './local-namespaces.js';
import { namesInRedis } from './names.js';
import { NamespaceCensus } from './namespace-census.js';
import { NodeCounters } from './node-counters.js';
import { NodeReport, readerOf, type NodeMode } from './node-report.js';
import { NodeRegistry } from './node-registry.js';
import { resolveOptions, type RedisStreamsAdapterOptions, type ResolvedOptions } from './options.js';
import { outsideContext } from '../redis/outside-context.js';
import { RequestBus, type BusMember, type Census } from './request-bus.js';
import { RequestOrder } from './request-order.js';
import { SessionHandover } from './session-handover.js';
import { Subscriptions } from './subscriptions.js';
import type { TelemetryRecorder } from './telemetry.js';

/** What a node has from `start` on. */
interface Parts {
  readonly connections: Connections;
  readonly commands: RedisConnection;
  readonly subscriber: RedisConnection;
  readonly subscriptions: Subscriptions;
  readonly bus: RequestBus;
  readonly logs: StreamLog[];
  readonly heartbeats: Heartbeats;
  readonly handover: SessionHandover;
  readonly sessions: SessionStore;
}

/**
 * This process as a member of the cluster: owner of the connections to Redis and of all that works on them.
 *
 * Modes:
 * - new: nothing is open. `start` leads to
 * - starting: connections are being opened. Broadcasts wait in the outbox. When the ends of the streams are known and the
 *   channels are subscribed, it is
 * - running: nothing that is sent from now on is missed. Redis may be away for a while; everything resumes by itself.
 * - closing, by `close` in any mode: what waits is appended, sessions are written, goodbye is said, all that is ours is
 *   closed. Then it is
 * - closed, for ever.
 */
export class ClusterNode implements ClusterMember {
  /** Random, new with each start; also the uid of its servers on the wire. */
  readonly id = randomBytes(8).toString('hex');
  /** With defaults. */
  readonly options: ResolvedOptions;
  /** What is counted since the start. */
  readonly counters: NodeCounters;

  /** See above. Changed by `start`, `run` and `doClose`. */
  private mode: NodeMode = 'new';
  /** How the client that was handed over is spoken with. */
  private readonly driver: RedisDriver;
  /** Undefined in mode `new`. */
  private parts: Parts | undefined;
  /** Undefined in mode `new`, and without the option. */
  private recorder: TelemetryRecorder | undefined;
  /** The time in which this node could hear others: a suspended process ages nobody. */
  private readonly clock: HearingClock;
  /** The other nodes. */
  private readonly registry: NodeRegistry;
  /** To whom entries are delivered. */
  private readonly namespaces = new LocalNamespaces(this.id);
  /** The log and the subscribers. */
  private readonly events: EventPublisher;
  /** What this node says of itself. */
  private readonly report: NodeReport;
  /** Who has a namespace. */
  private readonly namespaceCensus: NamespaceCensus;
  /** What `start` returns; undefined in mode `new`. */
  private starting: Promise<void> | undefined;
  /** What `close` returns; undefined before it was called. */
  private closing: Promise<void> | undefined;
  /** Resolves when closing begins: the start ends then. */
  private readonly closingOnce: Promise<void>;
  /** Resolves {@link closingOnce}. */
  private markClosing!: () => void;

  /**
   * Opens nothing: `start` does.
   *
   * @param client - a Redis client; it is never used, only duplicated
   * @param role - an observer sees the nodes, counts as none, and reads no log
   * @throws InvalidOptionError, RedisClientError
   */
  constructor(
    client: unknown,
    options: RedisStreamsAdapterOptions = {},
    private readonly logger: RedisStreamsLogger = debugLogger,
    private readonly role: 'node' | 'observer' = 'node',
  ) {
    this.options = resolveOptions(options);
    this.driver = driverFor(client);
    this.events = new EventPublisher(logger, () => this.nodes());
    this.closingOnce = new Promise((resolve) => (this.markClosing = resolve));
    this.counters = new NodeCounters(this.events);
    const { heartbeatInterval, heartbeatTimeout, commandTimeout } = this.options;
    this.clock = new HearingClock(heartbeatInterval / 2);
    this.registry = new NodeRegistry({
      ...{ heartbeatInterval, heartbeatTimeout, clock: this.clock },
      emit: (event) => this.events.emit(event),
      onHeard: () => this.events.notifyNodes(),
      onMembership: () => this.namespaces.all().forEach((member) => member.onPeersChanged()),
    });
    const { id, registry, namespaces, counters } = this;
    this.report = new NodeReport({ id, role, registry, namespaces, counters });
    this.namespaceCensus = new NamespaceCensus(registry, namespaces, commandTimeout);
  }

  // ── start, run, close ───────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Opens the connections. Resolves when nothing that is sent from then on is missed, or when the node is closed before.
   *
   * @throws RedisClientError if that is not so within `startTimeout` and `onStartTimeout` is `fail`; the node is
   *   closed then
   */
  start(): Promise<void> {
    if (!this.starting && this.mode === 'new') {
      this.mode = 'starting';
      this.starting = outsideContext(() => {
        this.recorder = this.options.telemetry?.observe({
          streams: () => (this.parts?.logs ?? []).map((log) => log.status()),
          node: {
            status: () => this.status(),
            nodes: () => this.nodes(),
            onEvent: (listener) => void this.subscribe({ onEvent: listener }),
          },
        });
        this.parts = this.open();
        return this.untilRunning(this.parts);
      });
    }
    return this.starting ?? Promise.resolve();
  }

  /** Flushes the outbox (for at most `closeTimeout` milliseconds), writes sessions, says goodbye, closes all. */
  close(): Promise<void> {
    this.closing ??= outsideContext(() => this.doClose());
    return this.closing;
  }

  get isClosing(): boolean {
    return this.mode === 'closing' || this.mode === 'closed';
  }

  private open(): Parts {
    const { options, driver, id } = this;
    const { heartbeatInterval, heartbeatTimeout, commandTimeout } = options;
    const { streams, channels, sessionKeys } = namesInRedis(driver, options);
    const connections = new Connections(driver, {
      ...{ nodeId: id, sharded: options.useShardedPubSub, commandTimeout },
      skipServerCheck: options.skipServerCheck,
      // Of sharded channels, only those of one shard hear this node's heartbeat; so each connection is asked by itself.
      probe: { interval: heartbeatInterval, timeout: Math.max(heartbeatTimeout, commandTimeout) },
      emit: (event) => this.events.emit(event),
      warn: (text) => this.events.warnOnce(text),
      onChange: () => this.events.notifyStatus(),
    });
    const subscriptions = new Subscriptions(() => subscriber, {
      ...{ first: channels.control, commandTimeout },
      onComplete: () => this.onSubscribed(),
    });
    const commands = connections.open('commands', COMMANDS, {
      onReady: () => this.onCommandsReady(),
      onLost: () => this.onCommandsLost(),
    });
    const subscriber = connections.open('subscriber', 'subscriber', {
      onReady: () => subscriptions.onReady(),
      onLost: () => subscriptions.onLost(),
      onMessage: (channel, payload) => bus.receive(channel, payload),
    });
    const order = new RequestOrder((nsp) => this.logOf(nsp));
    const bus = new RequestBus(commands, subscriptions, {
      ...{ channels, commandTimeout, order },
      onControl: (payload) => control.receive(payload),
      onRejected: (channel, reason) => this.counters.reject(channel, reason),
      onTraffic: (uid, nsp) => this.onTraffic(uid, nsp),
    });
    const logs = (this.role === 'node' ? streams : []).map((stream) =>
      this.openLog(stream, connections, commands, order, subscriptions),
    );
    const heartbeats: Heartbeats = new Heartbeats({
      ...{ heartbeatInterval, heartbeatTimeout, clock: this.clock },
      describe: () => control.heartbeat(),
      publish: async (message) => {
        await bus.control(message);
        this.counters.count('sentHeartbeats');
      },
      canHear: () => subscriptions.canHear,
      onBeat: () => this.onBeat(),
      onCheck: () => this.onCheck(),
      onDeaf: () => subscriber.reset(),
    });
    const info = (): NodeInfo => this.report.info({ logs });
    const handover: SessionHandover = new SessionHandover({
      ...{ nodeId: id, bus },
      info,
      whenNodeBack: (node) => this.whenNodeBack(node),
      release: (pid, epoch) => sessions.release(pid, epoch),
      onResponse: (pid, session) => sessions.onReleased(pid, session),
    });
    const control: ControlMessages = new ControlMessages({
      ...{ nodeId: id, observer: this.role === 'observer', registry: this.registry, counters: this.counters },
      ...{ logs, subscriptions, heartbeats, handover, info },
    });
    const sessions: SessionStore = new SessionStore(commands, {
      ...{ nodeId: id, commandTimeout, keyPrefix: sessionKeys, peers: handover },
      checkpoints: options.sessionCheckpoints,
      grace: 2 * heartbeatTimeout,
      retry: (run) => connections.retry(run),
      onLeftOut: (namespace, what) => this.counters.leaveOut(namespace, what),
      onError: (operation, error) => this.events.emitOnce({ type: 'session-refused', operation, error }, error.message),
    });
    this.namespaces.all().forEach((member) => bus.join(member));
    return { connections, commands, subscriber, subscriptions, bus, logs, heartbeats, handover, sessions };
  }

  private openLog(
    stream: string,
    connections: Connections,
    commands: RedisConnection,
    order: RequestOrder,
    subscriptions: Subscriptions,
  ): StreamLog {
    const { options } = this;
    const open = (listener: ConnectionListener): RedisConnection =>
      connections.open('reader', readerOf(stream), listener, stream);
    return new StreamLog(commands, open, {
      ...{ stream, nodeId: this.id, maxLen: options.maxLen, readCount: options.readCount },
      blockTime: options.blockTimeInMs,
      maxHoldMs: options.maxHoldMs,
      commandTimeout: options.commandTimeout,
      heartbeatTimeout: options.heartbeatTimeout,
      outbox: { maxEntries: options.outboxMaxEntries, maxBytes: options.outboxMaxBytes },
      replay: { maxEntries: options.replayMaxEntries, maxBytes: options.replayMaxBytes },
      emit: (event) => this.events.emit(event),
      deliver: (entry, own) => this.deliver(entry, own),
      whenRequestHandled: (entry) => (this.awaitsRequests(entry, subscriptions) ? order.whenHandled(entry) : undefined),
      onlyPlaintext: options.onlyPlaintext,
      maxMessageBytes: options.maxMessageBytes,
      ordering: options.ordering ?? 'local-first',
      readers: {
        count: () => 1 + this.registry.presentCount, // but those that are known to be gone
        present: () => [this.id, ...this.registry.present().map(({ id }) => id)],
        ask: () => this.parts?.heartbeats.ping(),
      },
      onReading: () => this.onReading(),
      telemetry: this.recorder,
      retry: (run) => connections.retry(run),
    });
  }

  private async untilRunning({ connections, subscriptions, logs }: Parts): Promise<void> {
    logs.forEach((log) => log.start());
    const ready = [connections.whenReady(COMMANDS), subscriptions.whenComplete(), ...logs.map((log) => log.whenOpen())];
    const running = Promise.all(ready).then(() => this.run());
    const { startTimeout, onStartTimeout } = this.options;
    const outcome = Promise.race([running, this.closingOnce]).then(() => 'over' as const);
    if (await within(startTimeout, outcome)) {
      return;
    }
    const why = this.report.reasons(this.parts).join('; ') || 'it does not answer';
    if (onStartTimeout === 'degrade') {
      this.logger.warn(
        `node ${this.id} starts without Redis: ${why}. Broadcasts wait in the outbox; trying until it is there`,
      );
      return;
    }
    await this.close();
    throw new RedisClientError(
      `Redis cannot be used after ${startTimeout} ms (startTimeout): ${why}. Check the connection and the rights ` +
        'of its user, or set onStartTimeout to "degrade" to start without Redis.',
    );
  }

  private run(): void {
    if (this.mode === 'starting') {
      this.mode = 'running';
      this.parts!.connections.report();
      this.logger.log(this.introduction());
      this.parts!.heartbeats.start();
      this.events.notifyStatus();
      this.events.notifyNodes();
    }
  }

  private introduction(): string {
    const streams = this.parts!.logs.map(({ name }) => `"${name}"`).join(', ');
    const does = this.role === 'observer' ? 'observes the cluster, and reads no stream' : `reads the stream ${streams}`;
    return `this node is ${this.id} (pid ${process.pid} on ${hostname()}); it ${does}`;
  }

  private async doClose(): Promise<void> {
    const { parts } = this;
    const wasRunning = this.mode === 'running';
    this.mode = 'closing';
    this.markClosing();
    if (parts) {
      await this.closeParts(parts, wasRunning);
    }
    this.mode = 'closed';
    this.events.notifyStatus();
    this.recorder?.close();
  }

  private async closeParts(parts: Parts, wasRunning: boolean): Promise<void> {
    const { connections, subscriptions, bus, logs, heartbeats, sessions } = parts;
    heartbeats.pause();
    connections.stop();
    sessions.saveAll(); // their clients may come to another node at once
    await Promise.all(logs.map((log) => log.closeOutbox(this.options.closeTimeout)));
    await sessions.close();
    heartbeats.stop();
    if (wasRunning) {
      await bus.control({ kind: 'goodbye', node: this.report.info(parts) }).catch(() => undefined);
    }
    subscriptions.close();
    await Promise.all(logs.map((log) => log.close(0)));
    await connections.close();
  }

  // ── what other parts of the process use ─────────────────────────────────────────────────────────────────────────

  /** Calls the listener's methods until the function that is returned is called. */
  subscribe(listener: ClusterNodeListener): () => void {
    return this.events.subscribe(listener);
  }

  get bus(): RequestBus {
    return this.started.bus;
  }

  /** What traces messages; undefined if nothing does. */
  get telemetry(): TelemetryRecorder | undefined {
    return this.recorder;
  }

  get sessions(): SessionStore {
    return this.started.sessions;
  }

  /** The log that carries a namespace. */
  logOf(nsp: string): StreamLog {
    return this.started.logs[streamIndexOf(nsp, this.options.streamCount)]!;
  }

  /** The uid of one more server of this node that has the namespace. */
  nextUid(nsp: string): string {
    return this.namespaces.nextUid(nsp);
  }

  attach(member: NamespaceMember): void {
    this.namespaces.add(member);
    this.parts?.bus.join(member);
  }

  /** The other servers of this node that have the same namespace. */
  siblingsOf(member: NamespaceMember): NamespaceMember[] {
    return this.namespaces.siblingsOf(member);
  }

  /** Returns whether it was the last member. */
  detach(member: NamespaceMember): boolean {
    this.namespaces.remove(member);
    this.parts?.bus.leave(member);
    return this.namespaces.isEmpty;
  }

  /** Who else has a namespace; see {@link NamespaceCensus.take}. Never rejected. */
  census(member: BusMember): Promise<Census> {
    return this.namespaceCensus.take(member, this.parts?.bus);
  }

  // ── what it is like ─────────────────────────────────────────────────────────────────────────────────────────────

  /** All nodes, this one first if it is one. */
  nodes(): NodeStatus[] {
    return this.report.nodes(this.mode, this.parts);
  }

  status(): ClusterNodeStatus {
    return this.report.status(this.mode, this.parts);
  }

  // ── what happens ────────────────────────────────────────────────────────────────────────────────────────────────

  private onCommandsReady(): void {
    const { logs, sessions, heartbeats } = this.started;
    logs.forEach((log) => log.onCommandsReady());
    sessions.onReady();
    sessions.verify().catch(() => undefined);
    heartbeats.ping();
  }

  private onCommandsLost(): void {
    const { commands, logs } = this.started;
    if (!commands.ready) {
      logs.forEach((log) => log.onCommandsLost());
    } // else a master of a cluster is away, and perhaps not that of any stream
  }

  private onSubscribed(): void {
    const { sessions, heartbeats } = this.started;
    sessions.verify().catch(() => undefined); // what was asked of this node meanwhile was not heard
    heartbeats.ping(); // who was not heard meanwhile answers
    this.events.notifyStatus();
  }

  /** The reader of a stream begins to read, at first or again. */
  private onReading(): void {
    if (this.mode === 'running' && this.isReading) {
      this.started.heartbeats.beat(); // whoever waits for this node need not wait longer
    }
  }

  /** With each regular heartbeat. */
  private onBeat(): void {
    this.started.sessions.keepAlive().catch(() => undefined);
    this.events.notifyStatus();
  }

  /** Several times in a heartbeat interval. */
  private onCheck(): void {
    this.registry.check();
    this.started.logs.forEach((log) => log.recheck());
  }

  private deliver(entry: LogEntry, own: boolean): boolean {
    let isDelivered = false;
    if (!entry.origin) {
      this.onTraffic(entry.uid, entry.nsp);
    }
    const members = this.namespaces.named(entry.nsp);
    if (members) {
      for (const member of members) {
        isDelivered = member.deliver(entry, own) || isDelivered;
      }
    }
    return isDelivered;
  }

  /** Whether requests of an entry's server are handled here: another node's, of a namespace that is here and is subscribed. */
  private awaitsRequests({ uid, nsp }: LogEntry, subscriptions: Subscriptions): boolean {
    return subscriptions.isComplete && nodeOf(uid) !== this.id && this.namespaces.has(nsp);
  }

  /** A server of another node has sent something; of nodes that have a heartbeat, this says nothing new. */
  private onTraffic(uid: string, nsp: string): void {
    if (uid !== EMITTER_UID && nodeOf(uid) !== this.id) {
      this.registry.onTraffic(uid, nsp);
    }
  }

  /** Resolves when a node is not on its way back to Redis any more, or Redis is away again. */
  private async whenNodeBack(node: string): Promise<void> {
    await Promise.all(this.started.logs.map((log) => log.whenNodeBack(node)));
  }

  private get isReading(): boolean {
    return this.started.logs.every((log) => log.isReading);
  }

  private get started(): Parts {
    if (!this.parts) {
      throw new RedisClientError('the node has not been started: call start() before a server uses its adapter');
    }
    return this.parts;
  }
}
