import type { ConnectionListener, RedisConnection } from '../redis/driver.js';
import { withDeadline } from '../redis/deadline.js';
import { toEntries, type RawEntry } from '../redis/stream-reply.js';
import { InvalidEntryError, parseEntry, type LogEntry } from './entry.js';
import type { StreamEvent } from './events.js';
import type { OutboxLimits } from './outbox.js';
import { ReplayLog, type ReplayLogOptions } from './replay-log.js';
import { StreamPublisher } from './stream-publisher.js';
import { StreamReader } from './stream-reader.js';

export interface StreamLogOptions {
  stream: string;
  nodeId: string;
  maxLen: number;
  readCount: number;
  blockTime: number;
  commandTimeout: number;
  outbox: OutboxLimits;
  replay: ReplayLogOptions;
  emit(event: StreamEvent): void;
  deliver(entry: LogEntry): void;
  /** Called when a mode or a position changes. */
  onChange(): void;
}

/** One stream, as this node uses it: it appends to it, reads it, and remembers its recent part. */
export class StreamLog {
  readonly reader: StreamReader;
  readonly publisher: StreamPublisher;
  readonly replay: ReplayLog;
  private readonly connection: RedisConnection;
  private replaying = false;
  private opened: (() => void)[] = [];

  /**
   * @param commands - the connection on which entries are appended
   * @param open - opens the connection on which they are read
   */
  constructor(
    commands: RedisConnection,
    open: (listener: ConnectionListener) => RedisConnection,
    private readonly options: StreamLogOptions,
  ) {
    const { stream, nodeId, maxLen, commandTimeout } = options;
    const emit = (event: StreamEvent): void => {
      if (event.type === 'stream-replaced') {
        this.publisher.onStreamReplaced();
      }
      options.emit(event);
    };
    this.connection = open({
      onReady: () => this.reader.onReady(),
      onLost: (error) => this.reader.onLost(error),
    });
    this.reader = new StreamReader(this.connection, {
      ...{ stream, nodeId, commandTimeout, emit },
      readCount: options.readCount,
      blockTime: options.blockTime,
      deliver: (entry) => this.deliver(entry),
      onBroken: (position, lostUpTo) => this.replay.restart(position, lostUpTo),
      onProgress: () => this.onProgress(),
    });
    this.publisher = new StreamPublisher(commands, this.reader, {
      ...{ stream, maxLen, commandTimeout, emit },
      outbox: options.outbox,
    });
    this.replay = new ReplayLog(options.replay, {
      upTo: async (id, count) => {
        const reply = commands.call(['XREVRANGE', stream, id, '-', 'COUNT', String(count)]);
        const raw = toEntries(await withDeadline(commands, commandTimeout, 'XREVRANGE', reply));
        return { entries: raw.flatMap(parseLeniently), oldest: raw.at(-1)?.id, atStart: raw.length < count };
      },
    });
  }

  get name(): string {
    return this.options.stream;
  }

  start(): void {
    this.reader.start();
  }

  /** Resolves when the end of the stream is known: nothing that is appended from then on is missed. */
  whenOpen(): Promise<void> {
    return this.reader.position === undefined ? new Promise((resolve) => this.opened.push(resolve)) : Promise.resolve();
  }

  /** From now on, what is read is remembered. */
  remember(): void {
    if (!this.replaying) {
      this.replaying = true;
      if (this.reader.position !== undefined) {
        this.replay.restart(this.reader.position);
      }
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.reader.stop(), this.connection.close()]);
  }

  private deliver(entry: LogEntry): void {
    if (entry.origin?.node === this.options.nodeId) {
      this.publisher.onDelivering(entry.origin.seq);
    }
    if (this.replaying) {
      this.replay.push(entry);
    }
    this.options.deliver(entry);
  }

  private onProgress(): void {
    this.publisher.onReadBack();
    if (this.reader.position !== undefined) {
      for (const resolve of this.opened.splice(0)) {
        resolve();
      }
    }
    this.options.onChange();
  }
}

/** The entry, or nothing if it cannot be understood: that was, or will be, told when it is delivered. */
function parseLeniently({ id, fields }: RawEntry): LogEntry[] {
  try {
    return [parseEntry(id, fields)];
  } catch (error) {
    if (error instanceof InvalidEntryError) {
      return [];
    }
    throw error;
  }
}
