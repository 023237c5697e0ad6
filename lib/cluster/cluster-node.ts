import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { driverFor } from '../redis/driver-for.js';
import type { RedisDriver } from '../redis/driver.js';
import { RedisClientError } from '../redis/errors.js';
import type { SessionStore } from '../session/session-store.js';
import type { StreamLog } from '../stream/stream-log.js';
import { within } from '../time/within.js';
import type { StreamId } from '../wire/stream-id.js';
import type { ClusterMember } from './cluster-member.js';
import { EventPublisher, type ClusterNodeListener } from './event-publisher.js';
import type { ClusterNodeStatus, NodeStatus } from './events.js';
import { HearingClock } from './hearing-clock.js';
import { debugLogger, guardLogger, type RedisStreamsLogger } from './logger.js';
import { LocalNamespaces, type NamespaceMember } from './local-namespaces.js';
import { NamespaceCensus } from './namespace-census.js';
import { NodeCounters } from './node-counters.js';
import { NodeParts } from './node-parts.js';
import { NodeReport, type NodeMode } from './node-report.js';
import { NodeRegistry } from './node-registry.js';
import { resolveOptions, type RedisStreamsAdapterOptions, type ResolvedOptions } from './options.js';
import { outsideContext } from '../redis/outside-context.js';
import type { BusMember, Census, RequestBus } from './request-bus.js';
import type { TelemetryRecorder } from './telemetry.js';

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
  private parts: NodeParts | undefined;
  /** Undefined in mode `new`, and without the option. */
  private recorder: TelemetryRecorder | undefined;
  /** The time in which this node could hear others: a suspended process ages nobody. */
  private readonly clock: HearingClock;
  /** The other nodes. */
  private readonly registry: NodeRegistry;
  /** To whom entries are delivered. */
  private readonly namespaces = new LocalNamespaces(this.id);
  /** Where lines go that are no events. */
  private readonly logger: RedisStreamsLogger;
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
   * @param logger - gets a line for each change of state
   * @param role - an observer sees the nodes, counts as none, and reads no log
   * @throws InvalidOptionError, RedisClientError
   */
  constructor(
    client: unknown,
    options: RedisStreamsAdapterOptions = {},
    logger: RedisStreamsLogger = debugLogger,
    /** Whether it takes part, or only looks on. */
    private readonly role: 'node' | 'observer' = 'node',
  ) {
    this.options = resolveOptions(options);
    this.driver = driverFor(client);
    this.logger = guardLogger(logger);
    this.events = new EventPublisher(this.logger, () => this.nodes());
    this.closingOnce = new Promise((resolve) => (this.markClosing = resolve));
    this.counters = new NodeCounters(this.events);
    const { heartbeatInterval, heartbeatTimeout, commandTimeout } = this.options;
    this.clock = new HearingClock(heartbeatInterval / 2);
    this.registry = new NodeRegistry({
      ...{ heartbeatInterval, heartbeatTimeout, clock: this.clock, events: this.events },
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

  private open(): NodeParts {
    const { id, role, options, driver, clock, registry, namespaces, events, counters, report } = this;
    return new NodeParts({
      ...{ id, role, options, driver, clock, registry, namespaces, events, counters, report },
      telemetry: this.recorder,
      isRunning: () => this.mode === 'running',
    });
  }

  private async untilRunning(parts: NodeParts): Promise<void> {
    const running = parts.open().then(() => this.run());
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
    await parts?.close(wasRunning);
    this.mode = 'closed';
    this.events.notifyStatus();
    this.recorder?.close();
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
    return this.started.logOf(nsp);
  }

  /** The uid of one more server of this node that has the namespace. */
  nextUid(nsp: string): string {
    return this.namespaces.nextUid(nsp);
  }

  attach(member: NamespaceMember): void {
    this.namespaces.add(member);
    this.parts?.join(member);
  }

  /** The position of a log up to which nobody else can have had a client of this node without asking for it. */
  soleUpTo(log: StreamLog): StreamId | undefined {
    return this.started.soleUpTo(log);
  }

  /** The other servers of this node that have the same namespace. */
  siblingsOf(member: NamespaceMember): NamespaceMember[] {
    return this.namespaces.siblingsOf(member);
  }

  /** Returns whether it was the last member. */
  detach(member: NamespaceMember): boolean {
    this.namespaces.remove(member);
    this.parts?.leave(member);
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

  private get started(): NodeParts {
    if (!this.parts) {
      throw new RedisClientError('the node has not been started: call start() before a server uses its adapter');
    }
    return this.parts;
  }
}
