import { randomBytes } from 'node:crypto';
import { namesInRedis } from '../cluster/names.js';
import { resolveOptions, type RedisStreamsAdapterOptions } from '../cluster/options.js';
import { outsideContext } from '../cluster/outside-context.js';
import { driverFor } from '../redis/driver-for.js';
import type { RedisConnection } from '../redis/driver.js';
import { encodeMessage, EntryType, type LogMessage, type WireOptions } from '../wire/entry.js';
import type { StreamEvent } from '../stream/events.js';
import type { ChannelNames } from '../wire/channels.js';
import { streamIndexOf } from '../wire/keys.js';
import { encodeBusMessage, EVENT, RequestType } from '../wire/requests.js';
import { EMITTER_UID } from '../wire/server-uid.js';
import { checkSize } from '../stream/message-size.js';
import { Lane } from '../stream/lane.js';
import { sizeOf, StreamPublisher } from '../stream/stream-publisher.js';

/** Options of the emitter: those of the cluster's nodes that say where broadcasts go, and how many may wait. */
export type RedisStreamsEmitterOptions = Pick<
  RedisStreamsAdapterOptions,
  | 'streamName'
  | 'streamCount'
  | 'channelPrefix'
  | 'useShardedPubSub'
  | 'maxLen'
  | 'onlyPlaintext'
  | 'outboxMaxEntries'
  | 'outboxMaxBytes'
  | 'maxMessageBytes'
  | 'commandTimeout'
  | 'closeTimeout'
  | 'referenceNames'
>;

/**
 * Broadcasts to the clients of a cluster from a process that serves no sockets, such as a worker or a cron job.
 *
 * Broadcasts wait in an outbox while Redis is away, as a node's do. Nothing is answered: there is no `fetchSockets`, and
 * there are no acknowledgements. It does not see how far the nodes have read: more than `maxLen` broadcasts at once can
 * outrun them, which they tell.
 *
 * @publicApi
 */
export class RedisStreamsEmitter {
  /** Random: its entries are numbered, and told from those of other emitters. @internal */
  readonly uid = randomBytes(8).toString('hex');
  private readonly connection: RedisConnection;
  private readonly publishers: StreamPublisher[];
  /** The numbers of its entries in each stream. */
  private readonly lanes: Lane[];
  private readonly options;
  private readonly channels: ChannelNames;
  private readonly target: BroadcastTarget;

  /**
   * @param client - a Redis client. It is duplicated, never used, changed or closed.
   * @param onEvent - told when Redis refuses broadcasts, and when some were dropped because the outbox was full
   * @throws InvalidOptionError, RedisClientError
   */
  constructor(
    client: unknown,
    options: RedisStreamsEmitterOptions = {},
    onEvent: (event: StreamEvent) => void = () => undefined,
  ) {
    const driver = driverFor(client);
    this.options = resolveOptions(options);
    const { maxLen, commandTimeout, useShardedPubSub, outboxMaxEntries, outboxMaxBytes } = this.options;
    const { streams, channels } = namesInRedis(driver, this.options);
    this.channels = channels;
    this.connection = outsideContext(() =>
      driver.open({
        role: 'commands',
        connectionName: `redis-streams:${this.uid}:emitter`,
        sharded: useShardedPubSub,
        listener: {
          onReady: () => outsideContext(() => this.publishers.forEach((publisher) => publisher.onReady())),
          onLost: () => undefined,
        },
      }),
    );
    this.publishers = streams.map(
      (stream) =>
        new StreamPublisher(this.connection, {
          ...{ stream, maxLen, commandTimeout, emit: onEvent },
          outbox: { maxEntries: outboxMaxEntries, maxBytes: outboxMaxBytes },
        }),
    );
    this.lanes = this.publishers.map(() => new Lane(this.uid));
    this.target = new BroadcastTarget(this, '/');
  }

  /** The same for another namespace than `/`. */
  of(nsp: string): BroadcastTarget {
    return new BroadcastTarget(this, nsp.startsWith('/') ? nsp : `/${nsp}`);
  }

  /** Only to sockets in one of these rooms. */
  to(rooms: string | string[]): BroadcastTarget {
    return this.target.to(rooms);
  }

  /** @see to */
  in(rooms: string | string[]): BroadcastTarget {
    return this.target.to(rooms);
  }

  /** Only to sockets in none of these rooms. */
  except(rooms: string | string[]): BroadcastTarget {
    return this.target.except(rooms);
  }

  /** May be lost, and never waits for Redis. */
  get volatile(): BroadcastTarget {
    return this.target.volatile;
  }

  /** To all clients. @throws TypeError if an argument cannot be serialized */
  emit(event: string, ...args: unknown[]): void {
    this.target.emit(event, ...args);
  }

  socketsJoin(rooms: string | string[]): void {
    this.target.socketsJoin(rooms);
  }

  socketsLeave(rooms: string | string[]): void {
    this.target.socketsLeave(rooms);
  }

  /** @param close - whether to close the underlying connections */
  disconnectSockets(close = false): void {
    this.target.disconnectSockets(close);
  }

  /** Emits an event to the servers. It is lost if Redis is away. */
  serverSideEmit(event: string, ...args: unknown[]): void {
    this.target.serverSideEmit(event, ...args);
  }

  /** Appends what waits, for at most `closeTimeout` milliseconds, and closes its connection. */
  async close(): Promise<void> {
    await Promise.all(this.publishers.map((publisher) => publisher.close(this.options.closeTimeout)));
    await this.connection.close();
  }

  /** @internal */
  append(message: LogMessage): void {
    const { streamCount, onlyPlaintext, maxMessageBytes } = this.options;
    const index = streamIndexOf(message.nsp, streamCount);
    const fields = encodeMessage(message, { onlyPlaintext });
    checkSize(fields, maxMessageBytes);
    const lane = this.lanes[index]!;
    this.publishers[index]!.append({ lane, seq: lane.next().seq, fields, bytes: sizeOf(fields) });
  }

  /** @internal */
  publish(nsp: string, type: number, data: unknown): void {
    // Nodes handle it after what was appended before.
    const { taken } = this.lanes[streamIndexOf(nsp, this.options.streamCount)]!;
    const order = taken > 0 ? { after: taken, from: this.uid } : {};
    const message = encodeBusMessage({ uid: EMITTER_UID, nsp, type, data, ...order });
    this.connection.publish(this.channels.requests(nsp), message).catch(() => undefined);
  }
}

/** Which sockets of a namespace are meant. */
export class BroadcastTarget {
  constructor(
    private readonly emitter: RedisStreamsEmitter,
    private readonly nsp: string,
    private readonly opts: WireOptions = { rooms: [], except: [], flags: {} },
  ) {}

  to(rooms: string | string[]): BroadcastTarget {
    return this.with({ rooms: [...new Set([...this.opts.rooms, ...[rooms].flat()])] });
  }

  in(rooms: string | string[]): BroadcastTarget {
    return this.to(rooms);
  }

  except(rooms: string | string[]): BroadcastTarget {
    return this.with({ except: [...new Set([...this.opts.except, ...[rooms].flat()])] });
  }

  compress(compress: boolean): BroadcastTarget {
    return this.with({ flags: { ...this.opts.flags, compress } });
  }

  get volatile(): BroadcastTarget {
    return this.with({ flags: { ...this.opts.flags, volatile: true } });
  }

  emit(event: string, ...args: unknown[]): void {
    const data = { packet: { type: EVENT, data: [event, ...args] }, opts: this.opts };
    if (this.opts.flags.volatile) {
      this.emitter.publish(this.nsp, RequestType.Broadcast, data);
    } else {
      this.append({ type: EntryType.Broadcast, data });
    }
  }

  socketsJoin(rooms: string | string[]): void {
    this.append({ type: EntryType.SocketsJoin, data: { opts: this.opts, rooms: [rooms].flat() } });
  }

  socketsLeave(rooms: string | string[]): void {
    this.append({ type: EntryType.SocketsLeave, data: { opts: this.opts, rooms: [rooms].flat() } });
  }

  disconnectSockets(close = false): void {
    this.append({ type: EntryType.DisconnectSockets, data: { opts: this.opts, close } });
  }

  serverSideEmit(event: string, ...args: unknown[]): void {
    this.emitter.publish(this.nsp, RequestType.ServerSideEmit, { packet: [event, ...args] });
  }

  private with(opts: Partial<WireOptions>): BroadcastTarget {
    return new BroadcastTarget(this.emitter, this.nsp, { ...this.opts, ...opts });
  }

  private append(message: Pick<LogMessage, 'type' | 'data'>): void {
    this.emitter.append({ uid: this.emitter.uid, nsp: this.nsp, ...message } as LogMessage);
  }
}
