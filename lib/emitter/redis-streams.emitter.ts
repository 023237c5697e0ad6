import { randomBytes } from 'node:crypto';
import { callApp } from '../cluster/app-code.js';
import { logEvent } from '../cluster/describe-event.js';
import type { RedisLost, RedisReconnected } from '../cluster/events.js';
import { namesInRedis, type Names } from '../cluster/names.js';
import {
  InvalidOptionError,
  resolveOptions,
  type RedisStreamsAdapterOptions,
  type ResolvedOptions,
} from '../cluster/options.js';
import { driverFor } from '../redis/driver-for.js';
import type { RedisConnection, RedisDriver } from '../redis/driver.js';
import { PayloadTooLargeError } from '../redis/errors.js';
import { outsideContext } from '../redis/outside-context.js';
import { RefusedSize } from '../redis/refused-size.js';
import type { MessageRefused, StreamEvent } from '../stream/events.js';
import { checkBytes, checkSize, describeEvent } from '../stream/message-size.js';
import { Lane } from '../stream/lane.js';
import { ReportedKinds } from '../stream/reported-kinds.js';
import type { TelemetryRecorder } from '../stream/telemetry.js';
import { sizeOfFields, StreamPublisher } from '../stream/stream-publisher.js';
import { encodeMessage, type LogMessage } from '../wire/entry.js';
import { streamIndexOf } from '../wire/keys.js';
import { PendingPromises } from '../time/pending-promises.js';
import { within } from '../time/within.js';
import { encodeBusMessage, RequestType } from '../wire/requests.js';
import { EMITTER_UID } from '../wire/server-uid.js';
import { BroadcastOperator } from './broadcast-operator.js';
import type { DefaultEventsMap, EventArgs, EventNames } from './typed-events.js';

/** How many events for the servers wait for the first connection, at most. */
const MAX_EARLY = 10_000;

/** Options of the emitter: those of the cluster's nodes that say where broadcasts go, and how many may wait. */
export type RedisStreamsEmitterOptions = Pick<
  RedisStreamsAdapterOptions,
  | 'streamName'
  | 'streamCount'
  | 'channelPrefix'
  | 'useShardedPubSub'
  | 'referenceNames'
  | 'maxLen'
  | 'onlyPlaintext'
  | 'outboxMaxEntries'
  | 'outboxMaxBytes'
  | 'maxHoldMs'
  | 'maxMessageBytes'
  | 'commandTimeout'
  | 'closeTimeout'
  | 'telemetry'
>;

/**
 * What happens to an emitter: Redis is lost and back, refuses broadcasts or is too slow for them.
 *
 * @publicApi
 */
export type RedisStreamsEmitterEvent = StreamEvent | RedisLost | RedisReconnected;

/**
 * How the emitter does: whether its broadcasts reach Redis, and how many wait.
 *
 * @publicApi
 */
export interface RedisStreamsEmitterStatus {
  /**
   * `idle`: nothing was emitted yet, and no connection is open; `running`; `degraded`: Redis cannot be used now, and
   * broadcasts wait; `closed`.
   */
  state: 'idle' | 'running' | 'degraded' | 'closed';
  /** Why it is degraded. */
  reasons: string[];
  /** Each stream that it appends to. */
  streams: {
    /** The key of the stream in Redis. */
    name: string;
    /** How many broadcasts wait for Redis, and their bytes. */
    outbox: { entries: number; bytes: number };
    counters: {
      /** Broadcasts that Redis has. */
      appended: number;
      /** Broadcasts that were dropped because the outbox was full. */
      dropped: number;
    };
  }[];
}

/**
 * Broadcasts to the clients of a cluster from a process that serves no sockets, such as a worker or a cron job. Its
 * methods are those of `@socket.io/redis-emitter`.
 *
 * Broadcasts wait in an outbox while Redis is away, as a node's do. Nothing is answered: there is no `fetchSockets`, and
 * there are no acknowledgements. It does not see how far the nodes have read: more than `maxLen` broadcasts at once can
 * outrun them, which they report.
 *
 * Its connection is opened with the first broadcast, or by `open()`.
 *
 * @example
 * ```typescript
 * interface Events {
 *   'order-shipped': (id: number) => void;
 * }
 * const emitter = new RedisStreamsEmitter<Events>(client, { streamName: 'chat' });
 * emitter.to('user:42').emit('order-shipped', 7);
 * ```
 *
 * @publicApi
 */
export class RedisStreamsEmitter<
  EmitEvents extends object = DefaultEventsMap,
  ServerSideEvents extends object = DefaultEventsMap,
> {
  /** Random: its entries are numbered, and distinguished from those of other emitters. @internal */
  readonly uid = randomBytes(8).toString('hex');
  /** None if nothing is to be sent. */
  private readonly driver: RedisDriver | undefined;
  /** With defaults. */
  private readonly options: ResolvedOptions;
  /** Reports what becomes of broadcasts, and of the connection. */
  private readonly onEvent: (event: RedisStreamsEmitterEvent) => void;
  /** What streams and channels are called. */
  private readonly names: Names;
  /** The numbers of its entries in each stream. */
  private readonly lanes: Lane[];
  /** Broadcasts to the clients of `/`. */
  private readonly root: BroadcastOperator<EmitEvents, ServerSideEvents>;
  /** None before it is opened. */
  private connection: RedisConnection | undefined;
  /** By the number of the stream; none before it is opened. */
  private publishers: StreamPublisher[] = [];
  /** How many broadcasts of each stream were dropped without any. */
  private readonly droppedUnopened: number[];
  /** Undefined before something is emitted or it is opened, and without the option. */
  private recorder: TelemetryRecorder | undefined;
  /** Why the connection is lost, if it is. */
  private lost: Error | undefined = new Error('the connection is being opened');
  /** Since when it is, by the stopwatch of this process, if that was reported. */
  private lostAt: number | undefined;
  /** What `close` returns; undefined before it was called. */
  private closing: Promise<void> | undefined;
  /** Whether the connection has been there. Until then events for the servers wait: they would be lost otherwise. */
  private isOpened = false;
  /** Resolves {@link opened}. */
  private hasOpened!: () => void;
  /** Resolves when the connection is there for the first time. */
  private readonly opened = new Promise<void>((resolve) => {
    this.hasOpened = () => {
      this.isOpened = true;
      resolve();
    };
  });
  /** What is too large for Redis. */
  private readonly refusedSize = new RefusedSize();
  /** Messages that were reported to be. */
  private readonly refused = new ReportedKinds();
  /** How many events for the servers wait for the first connection, by the number of the stream. */
  private readonly early: number[];
  /** Events for the servers that wait, or are under way. */
  private readonly published = new PendingPromises();

  /**
   * @param client - a Redis client. It is duplicated, never used, changed or closed. `null`: nothing is sent anywhere
   * @param onEvent - called when Redis is lost and back, when it refuses broadcasts, and when some were dropped because the
   *   outbox was full. Without it, these are log lines: errors on the console, and all with the environment variable `DEBUG=redis-streams-adapter`
   * @throws InvalidOptionError, RedisClientError
   */
  constructor(
    client: unknown,
    options: RedisStreamsEmitterOptions = {},
    onEvent: (event: RedisStreamsEmitterEvent) => void = logEvent,
  ) {
    this.driver = client === null ? undefined : driverFor(client);
    this.options = resolveOptions(options);
    if (typeof onEvent !== 'function') {
      throw new InvalidOptionError('onEvent', onEvent, 'a function that is called with each event');
    }
    this.onEvent = (event) => callApp(() => onEvent(event));
    this.names = namesInRedis(this.driver ?? {}, this.options);
    this.lanes = this.names.streams.map(() => new Lane(this.uid));
    this.droppedUnopened = this.names.streams.map(() => 0);
    this.early = this.names.streams.map(() => 0);
    this.root = new BroadcastOperator(this, '/');
  }

  /** Opens the connection, if it is not open yet. */
  open(): void {
    if (!this.driver || this.connection || this.closing) {
      return;
    }
    const { maxLen, maxHoldMs, commandTimeout, useShardedPubSub, outboxMaxEntries, outboxMaxBytes } = this.options;
    const { driver } = this;
    const connection = outsideContext(() =>
      driver.open({
        role: 'commands',
        connectionName: `redis-streams:${this.uid}:emitter`,
        sharded: useShardedPubSub,
        listener: {
          onReady: () =>
            outsideContext(() => {
              this.onConnected();
              this.publishers.forEach((publisher) => publisher.onReady());
              this.hasOpened();
            }),
          onLost: (error) => this.onLost(error),
        },
      }),
    );
    this.connection = connection;
    this.publishers = this.names.streams.map(
      (stream) =>
        new StreamPublisher(connection, {
          ...{ stream, maxLen, maxHoldMs, commandTimeout, emit: this.onEvent, telemetry: this.telemetry },
          outbox: { maxEntries: outboxMaxEntries, maxBytes: outboxMaxBytes },
        }),
    );
  }

  private onConnected(): void {
    this.lost = undefined;
    if (this.lostAt !== undefined) {
      this.onEvent({ type: 'redis-reconnected', afterMs: Math.round(performance.now() - this.lostAt) });
      this.lostAt = undefined;
    }
  }

  /** An outage is one event, however often the connection is tried meanwhile. */
  private onLost(error: Error): void {
    this.lost = error;
    if (this.lostAt === undefined && !this.closing) {
      this.lostAt = performance.now();
      this.onEvent({ type: 'redis-lost', error });
    }
  }

  /** The same for another namespace than `/`. */
  of(nsp: string): BroadcastOperator<EmitEvents, ServerSideEvents> {
    const name = String(nsp); // `undefined` is a namespace without anybody, as with a server's `of`
    return new BroadcastOperator(this, name.startsWith('/') ? name : `/${name}`);
  }

  /** Only to sockets in one of these rooms. */
  to(rooms: string | string[]): BroadcastOperator<EmitEvents, ServerSideEvents> {
    return this.root.to(rooms);
  }

  /** The same as {@link to}. */
  in(rooms: string | string[]): BroadcastOperator<EmitEvents, ServerSideEvents> {
    return this.root.to(rooms);
  }

  /** Only to sockets in none of these rooms. */
  except(rooms: string | string[]): BroadcastOperator<EmitEvents, ServerSideEvents> {
    return this.root.except(rooms);
  }

  /**
   * Whether the servers compress what they send to clients, if they have compression (`perMessageDeflate`).
   *
   * @param compress - whether they do
   */
  compress(compress: boolean): BroadcastOperator<EmitEvents, ServerSideEvents> {
    return this.root.compress(compress);
  }

  /** May be lost, and never waits for Redis. */
  get volatile(): BroadcastOperator<EmitEvents, ServerSideEvents> {
    return this.root.volatile;
  }

  /** To all clients. @returns true @throws TypeError if an argument cannot be serialized */
  emit<Event extends EventNames<EmitEvents>>(event: Event, ...args: EventArgs<EmitEvents, Event>): true {
    return this.root.emit(event, ...args);
  }

  /** Makes the sockets join rooms. It waits in the outbox as broadcasts do, in their order. */
  socketsJoin(rooms: string | string[]): void {
    this.root.socketsJoin(rooms);
  }

  /** Makes the sockets leave rooms, likewise. */
  socketsLeave(rooms: string | string[]): void {
    this.root.socketsLeave(rooms);
  }

  /**
   * Disconnects the sockets from the namespace.
   *
   * @param close - whether to close their connections too, with which they are disconnected from all namespaces
   */
  disconnectSockets(close = false): void {
    this.root.disconnectSockets(close);
  }

  /** Emits an event to the servers. It waits for the first connection, and is lost if Redis is away later. */
  serverSideEmit<Event extends EventNames<ServerSideEvents>>(
    event: Event,
    ...args: EventArgs<ServerSideEvents, Event>
  ): void {
    this.root.serverSideEmit(event, ...args);
  }

  /** How it does now. */
  status(): RedisStreamsEmitterStatus {
    const reasons = this.connection && this.lost ? [`the connection is lost: ${this.lost.message}`] : [];
    for (const [i, { error }] of this.publishers.entries()) {
      if (error && !this.lost) {
        reasons.push(`the stream "${this.names.streams[i]}" cannot be appended to: ${error.message}`);
      }
    }
    const working = reasons.length > 0 ? 'degraded' : 'running';
    return {
      state: this.closing ? 'closed' : this.connection || !this.driver ? working : 'idle',
      reasons: this.closing ? [] : reasons,
      streams: this.names.streams.map((name, i) => {
        const {
          pending = 0,
          pendingBytes = 0,
          appended = 0,
          dropped = this.droppedUnopened[i]!,
        } = this.publishers[i] ?? {};
        return { name, outbox: { entries: pending, bytes: pendingBytes }, counters: { appended, dropped } };
      }),
    };
  }

  /** Sends what waits, for at most `closeTimeout` milliseconds, and closes its connection. May be called again. */
  close(): Promise<void> {
    this.closing ??= (async () => {
      const { closeTimeout } = this.options;
      await Promise.all([
        ...this.publishers.map((publisher) => publisher.close(closeTimeout)),
        within(closeTimeout, this.published.whenDone()),
      ]);
      this.reportEarly();
      await this.connection?.close();
      this.recorder?.close();
    })();
    return this.closing;
  }

  /** @internal */
  append(message: LogMessage): void {
    const { streamCount, onlyPlaintext, maxMessageBytes } = this.options;
    const index = streamIndexOf(message.nsp, streamCount);
    const fields = encodeMessage(message, { onlyPlaintext, trace: this.trace(index) });
    checkSize(fields, maxMessageBytes);
    this.open();
    const lane = this.lanes[index]!;
    const entry = { lane, seq: lane.next().seq, fields, bytes: sizeOfFields(fields) };
    if (this.publishers.length > 0) {
      this.publishers[index]!.append(entry);
    } else if (this.driver) {
      this.dropUnopened(index);
    }
  }

  /** It was closed before it was opened. */
  private dropUnopened(index: number): void {
    if (++this.droppedUnopened[index]! === 1) {
      this.onEvent({ type: 'outbox-dropped', stream: this.names.streams[index]!, reason: 'closed', dropped: 1 });
    }
  }

  private get telemetry(): TelemetryRecorder | undefined {
    if (this.driver && !this.closing) {
      this.recorder ??= this.options.telemetry?.observe({ streams: () => this.status().streams });
    }
    return this.recorder;
  }

  private trace(index: number): string | undefined {
    return this.telemetry?.inject?.(this.names.streams[index]!);
  }

  /**
   * @param event - its name
   * @internal
   */
  publish(nsp: string, event: unknown, type: number, data: unknown): void {
    // Nodes handle it after what was appended before.
    const index = streamIndexOf(nsp, this.options.streamCount);
    const { taken } = this.lanes[index]!;
    const order = taken > 0 ? { after: taken, from: this.uid } : {};
    const trace = this.trace(index);
    const message = encodeBusMessage({
      ...{ uid: EMITTER_UID, nsp, type, data, ...order },
      ...(trace !== undefined && { trace }),
    });
    checkBytes(event, message, this.options.maxMessageBytes);
    this.open();
    if (!this.driver) {
      return;
    }
    const isAwaited = type === RequestType.ServerSideEmit && !this.isOpened && this.published.size < MAX_EARLY;
    const channel = this.names.channels.requests(nsp);
    if (isAwaited) {
      this.early[index]!++;
    }
    const isReady = isAwaited ? this.opened.then(() => void this.early[index]!--) : Promise.resolve();
    const sent = isReady
      .then(() => this.send(channel, message))
      .catch((error: unknown) => {
        if (error instanceof PayloadTooLargeError) {
          this.onTooLarge(error, { stream: this.names.streams[index]!, namespace: nsp, message: describeEvent(event) });
        } // else it is lost, as it may be
      });
    this.published.add(sent);
  }

  /** What has waited in vain for the first connection. */
  private reportEarly(): void {
    this.early.forEach((dropped, i) => {
      if (dropped > 0) {
        this.onEvent({ type: 'outbox-dropped', stream: this.names.streams[i]!, reason: 'closed', dropped });
      }
    });
  }

  private send(channel: string, message: Buffer): Promise<void> {
    return this.refusedSize.guard(message.length, async () => this.connection?.publish(channel, message));
  }

  /** The first of each kind is an event. */
  private onTooLarge(
    error: PayloadTooLargeError,
    what: Pick<MessageRefused, 'stream' | 'namespace' | 'message'>,
  ): void {
    if (this.refused.isFirst(`${what.message} ${what.namespace}`)) {
      this.onEvent({ type: 'message-refused', ...what, bytes: error.bytes, error });
    }
  }
}
