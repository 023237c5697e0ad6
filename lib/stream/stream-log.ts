import type { ConnectionListener, RedisConnection } from '../redis/driver.js';
import { toEntries, type RawEntry } from '../redis/stream-reply.js';
import { InvalidEntryError, parseEntry, type LogEntry } from '../wire/entry.js';
import type { StreamEvent } from './events.js';
import type { OutboxLimits } from './outbox.js';
import { ReplayLog, type ReplayLogOptions } from './replay-log.js';
import { StreamPublisher, type Readers } from './stream-publisher.js';
import type { StreamId } from '../wire/stream-id.js';
import { StreamReader } from './stream-reader.js';

export interface StreamLogOptions {
  stream: string;
  nodeId: string;
  maxLen: number;
  readCount: number;
  blockTime: number;
  commandTimeout: number;
  /** Milliseconds of silence after which a node counts as down. */
  heartbeatTimeout: number;
  outbox: OutboxLimits;
  replay: ReplayLogOptions;
  readers: Readers;
  emit(event: StreamEvent): void;
  deliver(entry: LogEntry): void;
  /** Runs commands, again when a connection that failed them is back. */
  retry<T>(run: () => Promise<T>): Promise<T>;
  /** Called when the reader begins to read, at first or again. */
  onReading(): void;
}

/** Milliseconds for which a node is behind another without being late. */
const USUAL_DELAY = 200;

/** One stream, as this node uses it: it appends to it, reads it, and remembers its recent part. */
export class StreamLog {
  readonly reader: StreamReader;
  readonly publisher: StreamPublisher;
  readonly replay: ReplayLog;
  private readonly connection: RedisConnection;
  private replaying = false;
  private wasReading = false;
  private opened: (() => void)[] = [];

  /**
   * @param commands - the connection on which entries are appended
   * @param open - opens the connection on which they are read
   */
  constructor(
    private readonly commands: RedisConnection,
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
      ...{ stream, nodeId, maxLen, commandTimeout, emit },
      ...{ heartbeatTimeout: options.heartbeatTimeout, outbox: options.outbox, readers: options.readers },
    });
    this.replay = new ReplayLog(options.replay, {
      upTo: async (id, count) => {
        const read = async (): Promise<RawEntry[]> => {
          return toEntries(await commands.read(['XREVRANGE', stream, id, '-', 'COUNT', String(count)], commandTimeout));
        };
        const raw = await options.retry(read);
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

  /**
   * Resolves to true once the entry with this id, and all before it, have been delivered; to false if that does not
   * happen: the stream does not go so far, or it takes longer than `timeout` milliseconds.
   */
  async whenDelivered(id: StreamId, timeout: number): Promise<boolean> {
    // Mostly it is a reply on its way. Only after a while is it worth a question.
    if (await this.reader.whenDelivered(id, USUAL_DELAY)) {
      return true;
    }
    const command = ['XREVRANGE', this.name, '+', id, 'COUNT', '1'];
    const after = await this.commands.read(command, this.options.commandTimeout).catch(() => undefined);
    const mayCome = after === undefined || toEntries(after).length > 0;
    return mayCome && this.reader.whenDelivered(id, timeout);
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
    if (this.reader.isReading !== this.wasReading) {
      this.wasReading = this.reader.isReading;
      if (this.wasReading) {
        this.options.onReading();
      }
    }
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
