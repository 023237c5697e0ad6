import type { ConnectionListener, RedisConnection, RedisDriver } from '../redis/driver.js';
import { SessionStore } from '../session/session-store.js';
import type { LogTarget } from '../stream/log-delivery.js';
import { StreamLog } from '../stream/stream-log.js';
import type { NodeInfo } from '../wire/control.js';
import { streamIndexOf } from '../wire/keys.js';
import { earlier, type StreamId } from '../wire/stream-id.js';
import { COMMANDS, Connections } from './connections.js';
import { ControlMessages } from './control-messages.js';
import { Deafness } from './deafness.js';
import { EntryRouter } from './entry-router.js';
import type { EventPublisher } from './event-publisher.js';
import type { HearingClock } from './hearing-clock.js';
import { Heartbeats } from './heartbeats.js';
import type { LocalNamespaces } from './local-namespaces.js';
import { namesInRedis, type Names } from './names.js';
import type { NodeCounters } from './node-counters.js';
import type { NodeRegistry } from './node-registry.js';
import { readerOf, type NodeReport } from './node-report.js';
import type { ResolvedOptions } from './options.js';
import { RequestBus, type BusMember } from './request-bus.js';
import { RequestOrder } from './request-order.js';
import { ReturningPeers } from './returning-peers.js';
import { SessionHandover } from './session-handover.js';
import { Subscriptions } from './subscriptions.js';
import type { TelemetryRecorder } from './telemetry.js';

/** What a node has already before it is started. */
export interface NodePartsOptions {
  readonly id: string;
  /** An observer reads no log. */
  readonly role: 'node' | 'observer';
  readonly options: ResolvedOptions;
  readonly driver: RedisDriver;
  readonly telemetry: TelemetryRecorder | undefined;
  readonly clock: HearingClock;
  readonly registry: NodeRegistry;
  readonly namespaces: LocalNamespaces;
  readonly events: EventPublisher;
  readonly counters: NodeCounters;
  readonly report: NodeReport;
  /** Whether the node has started and is not closing. */
  isRunning(): boolean;
}

/**
 * What a node has from its start on: its connections to Redis, and all that works on them. It opens them, has each part
 * hear what concerns it, and closes them in the right order.
 */
export class NodeParts {
  /** All connections. */
  readonly connections: Connections;
  /** The one that publishes, writes sessions, and appends what does not leave with a read. */
  readonly commands: RedisConnection;
  /** The one that hears the channels. */
  readonly subscriber: RedisConnection;
  /** Which channels it hears. */
  readonly subscriptions: Subscriptions;
  /** Requests and control messages. */
  readonly bus: RequestBus;
  /** By the number of the stream; none of an observer. */
  readonly logs: readonly StreamLog[];
  /** What says that this node is alive. */
  readonly heartbeats: Heartbeats;
  /** How sessions move between nodes. */
  readonly handover: SessionHandover;
  /** The sessions of the clients here. */
  readonly sessions: SessionStore;
  /** Which other nodes are on their way back to Redis. */
  private readonly returning: ReturningPeers;
  /** Since when this node does not hear others, if it does not. */
  private readonly deafness = new Deafness();
  /** What nodes say to each other. */
  private readonly control: ControlMessages;
  /** Keeps requests and entries of one server in order. */
  private readonly order: RequestOrder;
  /** Who entries are for. */
  private readonly router: EntryRouter;
  /** What streams, channels and keys are called. */
  private readonly names: Names;

  constructor(private readonly node: NodePartsOptions) {
    this.names = namesInRedis(node.driver, node.options);
    this.connections = this.makeConnections();
    this.returning = this.makeReturningPeers();
    this.subscriptions = this.makeSubscriptions();
    this.commands = this.connections.open('commands', COMMANDS, {
      onReady: () => this.onCommandsReady(),
      onLost: () => this.onCommandsLost(),
    });
    this.subscriber = this.connections.open('subscriber', 'subscriber', {
      onReady: () => this.subscriptions.onReady(),
      onLost: () => {
        this.deafness.begin(this.logs);
        this.subscriptions.onLost();
      },
      onMessage: (channel, payload) => this.bus.receive(channel, payload),
    });
    this.order = new RequestOrder((nsp) => this.logOf(nsp));
    this.router = this.makeRouter();
    this.bus = this.makeBus();
    this.logs = node.role === 'node' ? this.names.streams.map((stream) => this.makeLog(stream, this.router)) : [];
    this.heartbeats = this.makeHeartbeats();
    this.handover = this.makeHandover();
    this.sessions = this.makeSessions();
    this.control = this.makeControl();
    node.namespaces.all().forEach((member) => this.bus.join(member));
  }

  /** The log that carries a namespace. */
  logOf(nsp: string): StreamLog {
    return this.logs[streamIndexOf(nsp, this.node.options.streamCount)]!;
  }

  /** The position of a log up to which nobody else can have had a client of this node without asking for it. */
  soleUpTo(log: StreamLog): StreamId | undefined {
    const { position } = log;
    return position && earlier(this.deafness.positionOf(log) ?? position, position);
  }

  /** Begins to read the streams. Resolves when nothing that is sent from then on is missed. */
  async open(): Promise<void> {
    this.logs.forEach((log) => log.start());
    await Promise.all([
      this.connections.whenReady(COMMANDS),
      this.subscriptions.whenComplete(),
      ...this.logs.map((log) => log.whenOpen()),
    ]);
  }

  /** A server of this node has a namespace. */
  join(member: BusMember): void {
    this.bus.join(member);
    if (this.subscriptions.isBroken) {
      this.announce(); // what is asked in that is not heard either
    }
  }

  /** A server of this node has a namespace no more. */
  leave(member: BusMember): void {
    const { root } = this.bus.hearing;
    this.bus.leave(member);
    if (this.bus.hearing.root !== root) {
      this.announce(); // or its missing subscriptions would look like lost ones
    }
  }

  /** Ends all. @param saysGoodbye - whether others know of this node */
  async close(saysGoodbye: boolean): Promise<void> {
    const { connections, subscriptions, bus, logs, heartbeats, sessions } = this;
    const { options, report } = this.node;
    heartbeats.pause();
    connections.stop();
    sessions.saveAll(); // their clients may come to another node at once
    await Promise.all(logs.map((log) => log.closeOutbox(options.closeTimeout)));
    await sessions.close();
    heartbeats.stop();
    if (saysGoodbye) {
      await bus.control({ kind: 'goodbye', node: report.info(this) }).catch(() => undefined);
    }
    subscriptions.close();
    await Promise.all(logs.map((log) => log.close(0)));
    await connections.close();
  }

  // ── what happens ────────────────────────────────────────────────────────────────────────────────────────────────

  private onCommandsReady(): void {
    const { logs, sessions, returning, heartbeats } = this;
    logs.forEach((log) => log.onCommandsReady());
    returning.onReady();
    sessions.onReady();
    this.verifySessions();
    heartbeats.ping();
  }

  private onCommandsLost(): void {
    this.returning.onLost();
    if (!this.commands.ready) {
      this.logs.forEach((log) => log.onCommandsLost());
    } // else a master of a cluster is away, and perhaps not that of any stream
  }

  /** Not all channels are heard that should be. */
  private onUnheard(): void {
    const { registry } = this.node;
    if (this.subscriptions.canHear) {
      registry.onHearing(); // of others, if not of what is asked
    } else {
      registry.onDeaf();
    }
    this.heartbeats.onBroken();
  }

  private onSubscribed(): void {
    this.node.registry.onHearing();
    this.verifySessions(); // what was asked of this node meanwhile was not heard
    this.heartbeats.ping(); // who was not heard meanwhile answers
    this.node.namespaces.all().forEach((member) => member.onSubscribed());
    this.node.events.notifyStatus();
  }

  /** Namespaces are new here: what was asked in them already may have been answered before that was heard. */
  private onAdded(channels: readonly string[]): void {
    const { namespaces } = this.node;
    const names = this.bus.namespacesOf(channels);
    names.forEach((name) => namespaces.named(name)?.forEach((member) => member.onSubscribed()));
  }

  private verifySessions(): void {
    void this.sessions
      .verify()
      .then(
        (isDone) => isDone && this.subscriptions.isComplete && this.deafness.end(),
        () => undefined, // tried again when Redis is back
      )
      .then(() => this.announce());
  }

  /** The reader of a stream begins to read, at first or again. */
  private onReading(): void {
    if (this.logs.every((log) => log.isReading)) {
      this.announce();
    }
  }

  /** What others should know of this node at once: whether it reads and hears. */
  private announce(): void {
    if (this.node.isRunning()) {
      this.heartbeats.beat();
    }
  }

  /** With each regular heartbeat. */
  private onBeat(): void {
    this.sessions.keepAlive().catch(() => undefined);
    this.node.events.notifyStatus();
  }

  /** Several times in a heartbeat interval. */
  private onCheck(): void {
    this.node.registry.check();
    this.logs.forEach((log) => log.recheck());
  }

  // ── how they are made ───────────────────────────────────────────────────────────────────────────────────────────

  private makeConnections(): Connections {
    const { id, driver, events, options } = this.node;
    const { heartbeatInterval, heartbeatTimeout, commandTimeout, skipServerCheck, useShardedPubSub } = options;
    return new Connections(driver, {
      ...{ nodeId: id, sharded: useShardedPubSub, commandTimeout, skipServerCheck, events },
      // Of sharded channels, only those of one shard hear this node's heartbeat; so each connection is asked by itself.
      probe: { interval: heartbeatInterval, timeout: Math.max(heartbeatTimeout, commandTimeout) },
    });
  }

  private makeReturningPeers(): ReturningPeers {
    const { options, registry } = this.node;
    const { heartbeatTimeout } = options;
    return new ReturningPeers({ heartbeatTimeout, present: () => registry.present().map(({ id }) => id) });
  }

  private makeSubscriptions(): Subscriptions {
    return new Subscriptions(() => this.subscriber, {
      first: this.names.channels.control,
      commandTimeout: this.node.options.commandTimeout,
      onComplete: () => this.onSubscribed(),
      onAdded: (channels) => this.onAdded(channels),
      onBroken: () => this.onUnheard(),
    });
  }

  private makeRouter(): EntryRouter {
    const { id, namespaces, registry } = this.node;
    const { order, subscriptions } = this;
    return new EntryRouter({ nodeId: id, namespaces, registry, order, subscriptions });
  }

  private makeBus(): RequestBus {
    const { counters, options } = this.node;
    return new RequestBus(this.commands, this.subscriptions, {
      ...{ channels: this.names.channels, commandTimeout: options.commandTimeout },
      ...{ order: this.order, router: this.router, counters },
      retry: (run) => this.connections.retry(run),
      onControl: (payload) => this.control.receive(payload),
    });
  }

  private makeLog(stream: string, target: LogTarget): StreamLog {
    const { id, driver, events, options, registry, telemetry } = this.node;
    const { maxLen, readCount, maxHoldMs, commandTimeout, heartbeatTimeout, onlyPlaintext, maxMessageBytes } = options;
    const open = (listener: ConnectionListener): RedisConnection =>
      this.connections.open('reader', readerOf(stream), listener, stream);
    return new StreamLog(this.commands, open, {
      ...{ stream, nodeId: id, maxLen, readCount, maxHoldMs, commandTimeout, heartbeatTimeout },
      ...{ onlyPlaintext, maxMessageBytes, target, telemetry, isCluster: driver.isCluster },
      blockTime: options.blockTimeInMs,
      ordering: options.ordering ?? 'local-first',
      outbox: { maxEntries: options.outboxMaxEntries, maxBytes: options.outboxMaxBytes },
      replay: { maxEntries: options.replayMaxEntries, maxBytes: options.replayMaxBytes },
      readers: {
        count: () => 1 + registry.presentCount, // but those that are known to be gone
        present: () => [id, ...registry.present().map((peer) => peer.id)],
        ask: () => this.heartbeats.ping(),
      },
      emit: (event) => events.emit(event),
      onReading: () => this.onReading(),
      retry: (run) => this.connections.retry(run),
    });
  }

  private makeHeartbeats(): Heartbeats {
    const { clock, counters, options } = this.node;
    const { heartbeatInterval, heartbeatTimeout } = options;
    return new Heartbeats({
      ...{ heartbeatInterval, heartbeatTimeout, clock, subscriptions: this.subscriptions },
      describe: () => this.control.heartbeat(),
      publish: async (message) => {
        await this.bus.control(message);
        counters.count('sentHeartbeats');
      },
      onBeat: () => this.onBeat(),
      onCheck: () => this.onCheck(),
      onDeaf: () => this.subscriber.reset(),
    });
  }

  private makeHandover(): SessionHandover {
    return new SessionHandover({
      ...{ nodeId: this.node.id, bus: this.bus, info: () => this.info() },
      returning: this.returning,
      retry: (run) => this.connections.retry(run),
      release: (pid, epoch) => this.sessions.release(pid, epoch),
      onResponse: (pid, session, node) => this.sessions.onReleased(pid, session, node),
    });
  }

  private makeControl(): ControlMessages {
    const { id, role, registry, counters } = this.node;
    const { logs, bus, subscriptions, heartbeats, returning, sessions, handover } = this;
    return new ControlMessages({
      ...{ nodeId: id, observer: role === 'observer', registry, counters, bus },
      ...{ logs, subscriptions, heartbeats, returning, sessions, handover, info: () => this.info() },
    });
  }

  private makeSessions(): SessionStore {
    const { id, counters, events, options } = this.node;
    const { commandTimeout, heartbeatTimeout, sessionCheckpoints } = options;
    return new SessionStore(this.commands, {
      ...{ nodeId: id, commandTimeout, keyPrefix: this.names.sessionKeys, peers: this.handover },
      checkpoints: sessionCheckpoints,
      grace: 2 * heartbeatTimeout,
      retry: (run) => this.connections.retry(run),
      isWhole: () => !this.connections.isLost(COMMANDS),
      onLeftOut: (namespace, what) => counters.leaveOut(namespace, what),
      onError: (operation, error) => events.emitOnce({ type: 'session-refused', operation, error }, error.message),
    });
  }

  private info(): NodeInfo {
    return this.node.report.info(this);
  }
}
