import { Backoff } from '../redis/backoff.js';
import type { Command, RedisConnection } from '../redis/driver.js';
import { Patience } from '../redis/patience.js';
import { encodeSeq } from '../wire/entry.js';
import type { StreamEvent } from './events.js';
import { Outbox, type OutboxLimits } from './outbox.js';
import { Resumption } from './resumption.js';
import { STREAM_START, type StreamId } from '../wire/stream-id.js';

const BATCH_ENTRIES = 512;
const BATCH_BYTES = 1024 * 1024;

export interface StreamPublisherOptions {
  stream: string;
  nodeId: string;
  /** About how many entries the stream keeps. */
  maxLen: number;
  outbox: OutboxLimits;
  /** Milliseconds after which a command counts as unanswered. */
  commandTimeout: number;
  /** Milliseconds of silence after which a node counts as down. */
  heartbeatTimeout: number;
  readers: Readers;
  emit(event: StreamEvent): void;
}

/** The nodes that read the stream, this one among them. */
export interface Readers {
  /** How many are not known to be gone. */
  count(): number;
  /** Their ids. */
  present(): readonly string[];
  /** Has all say whether they read. */
  ask(): void;
}

/** What the publisher must know of the reader of the same stream. */
export interface ReadBack {
  /** Whether it is known where reading began: what is appended from then on is read. */
  readonly isOpen: boolean;
  /** Whether entries are being read now. */
  readonly isReading: boolean;
  /** The sequence number of the last entry of this node that was fetched. */
  readonly lastOwnFetched: number;
  /** The sequence number of the last entry of this node that was delivered. */
  readonly lastOwnDelivered: number;
}

/**
 * Appends this node's entries to one stream, in the order in which they were given, each once.
 *
 * Modes:
 * - idle: the outbox is empty.
 * - sending: one batch is on its way, and its answer is awaited; meanwhile the outbox fills.
 * - holding: this node's own reader is not open yet or far behind, or some node has not come back since Redis was away.
 *   Were more appended now, the stream might be trimmed before everybody has read it; so the outbox waits for the readers.
 * - waiting: Redis is away or refuses. The batch is kept, with its sequence numbers, and tried again after a pause;
 *   should its first try have been executed though its answer was lost, readers know the second by those numbers.
 * - closed: nothing is taken or sent any more.
 *
 * A batch is one transaction, so either all of it is in the stream or nothing, and its order holds.
 */
export class StreamPublisher {
  private readonly outbox: Outbox;
  private readonly backoff = new Backoff();
  private readonly patience: Patience;
  private readonly resumption: Resumption;
  private readonly fences: { seq: number; run: () => unknown }[] = [];
  /** The batch that is on its way, or must be sent again. */
  private batch: Command[] = [];
  private batchBytes = 0;
  private seq = 0;
  /** Up to this one, this node's entries were read or will never be: the stream was replaced since. */
  private settledSeq = 0;
  /** Whether nothing could be appended lately. */
  private isInterrupted = false;
  /** Up to which of its entries this node's reader was when that began. */
  private readWhenInterrupted = 0;
  private wasReading = false;
  private lastId: StreamId = STREAM_START;
  private sending = false;
  private closed = false;
  private retryTimer: NodeJS.Timeout | undefined;
  private refusedSince: number | undefined;
  private droppedSince = 0;
  private droppedTotal = 0;
  private appendedTotal = 0;
  private readonly idle = new Set<() => void>();

  constructor(
    private readonly connection: RedisConnection,
    private readonly reader: ReadBack,
    private readonly options: StreamPublisherOptions,
  ) {
    this.outbox = new Outbox(options.outbox);
    this.patience = new Patience(options.commandTimeout);
    this.resumption = new Resumption(options.heartbeatTimeout);
  }

  /** Entries that wait or are on their way. */
  get pending(): number {
    return this.outbox.length + this.batch.length;
  }

  get pendingBytes(): number {
    return this.outbox.bytes + this.batchBytes;
  }

  get dropped(): number {
    return this.droppedTotal;
  }

  get appended(): number {
    return this.appendedTotal;
  }

  /** The last entry that Redis has acknowledged: its sequence number (0 if there was none) and its id. */
  get lastAppended(): { seq: number; id: StreamId } {
    return { seq: this.seq - this.batch.length, id: this.lastId };
  }

  /** Why appending does not work, if it does not. */
  error: Error | undefined;

  /** Takes an entry (its fields but for the sequence number). It is appended as soon as all before it are. */
  append(fields: readonly string[]): void {
    let bytes = 64;
    for (const field of fields) {
      bytes += field.length; // UTF-16 units: near enough for a bound
    }
    this.push({ kind: 'entry', fields, bytes });
  }

  /** Runs something once this node has delivered all entries that it has taken so far; at once if it has. */
  afterDelivery(run: () => unknown): void {
    if (this.pending === 0 && this.reader.lastOwnDelivered >= this.seq) {
      run();
    } else {
      this.push({ kind: 'fence', run, bytes: 512 });
    }
  }

  /** To be called before an entry of this node is delivered: what was to be done before it is done now. */
  onDelivering(seq: number): void {
    this.releaseFences(seq - 1);
  }

  /** To be called when the reader has fetched or delivered entries, or lost some of this node, or begins or ceases to read. */
  onReadBack(): void {
    const { isReading } = this.reader;
    if (isReading) {
      this.settle(this.options.nodeId);
    } else if (this.wasReading) {
      this.await([this.options.nodeId]);
    }
    this.wasReading = isReading;
    this.releaseFences(this.reader.lastOwnDelivered);
    this.flush();
  }

  /** To be called when a node is known to read. */
  onReading(node: string): void {
    this.settle(node);
    this.flush();
  }

  /** To be called when a node has left. */
  onLeft(node: string): void {
    this.resumption.settle(node);
    this.flush();
  }

  /** Whether a node may be on its way back to the stream, after that was away. */
  awaits(node: string): boolean {
    return !this.isInterrupted && this.resumption.awaits(node, performance.now());
  }

  /** To be called when entries that were appended will never be read: the stream was deleted or replaced. */
  onStreamReplaced(): void {
    this.settledSeq = this.seq - this.batch.length;
    this.releaseFences(this.settledSeq);
    this.flush();
  }

  /** To be called when the connection can be used again. */
  onReady(): void {
    this.backoff.reset();
    clearTimeout(this.retryTimer);
    this.retryTimer = undefined;
    this.flush();
  }

  /** To be called when the connection cannot be used any more. */
  onLost(): void {
    this.interrupt();
  }

  /** Resolves when the outbox is empty, at the latest after `timeout` milliseconds. Then nothing is taken any more. */
  async close(timeout: number): Promise<void> {
    if (!this.closed && this.pending > 0) {
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.idle.add(resolve);
        timer = setTimeout(resolve, timeout);
        this.flush();
      });
      clearTimeout(timer);
    }
    const rest = this.closed ? 0 : this.batch.length + this.outbox.clear();
    this.closed = true;
    clearTimeout(this.retryTimer);
    if (rest > 0) {
      this.tellDropped(rest);
    }
  }

  private push(item: Parameters<Outbox['push']>[0]): void {
    if (this.closed) {
      this.tellDropped(1);
      return;
    }
    const dropped = this.outbox.push(item);
    if (dropped > 0) {
      this.tellDropped(dropped);
    }
    this.flush();
  }

  private flush(): void {
    if (this.sending || this.retryTimer || this.closed) {
      return;
    }
    if (!this.connection.ready) {
      if (this.pending > 0) {
        this.interrupt();
      }
      return;
    }
    if (this.batch.length === 0) {
      this.resume();
      if (!this.outbox.isEmpty) {
        this.fillBatch();
      }
    }
    if (this.batch.length > 0) {
      this.sending = true;
      void this.send();
    } else if (this.outbox.isEmpty) {
      this.becomeIdle();
    }
  }

  private fillBatch(): void {
    const taken: (readonly string[])[] = [];
    let room = Math.min(BATCH_ENTRIES, this.window());
    for (let item = this.outbox.peek(); item; item = this.outbox.peek()) {
      if (item.kind === 'fence') {
        this.outbox.shift();
        this.fences.push({ seq: this.seq + taken.length, run: item.run });
        continue;
      }
      if (room-- <= 0 || (taken.length > 0 && this.batchBytes + item.bytes > BATCH_BYTES)) {
        break;
      }
      this.outbox.shift();
      taken.push(item.fields);
      this.batchBytes += item.bytes;
    }
    this.batch = taken.map((fields, i) => this.command(fields, i === taken.length - 1));
    this.releaseFences(this.reader.lastOwnDelivered);
  }

  /** How many entries may be appended now, so that no reader is outrun. The nodes share a quarter of the stream. */
  private window(): number {
    const { isOpen, isReading, lastOwnFetched } = this.reader;
    const { maxLen, readers } = this.options;
    if (!isOpen) {
      return 0;
    }
    const allRead = this.resumption.isOver(performance.now());
    if (allRead && !isReading) {
      return BATCH_ENTRIES; // it may never read again, and others do
    }
    const share = Math.max(1, Math.floor(maxLen / (4 * readers.count())));
    return share - (this.seq - Math.max(allRead ? lastOwnFetched : this.readWhenInterrupted, this.settledSeq));
  }

  /** A node reads. */
  private settle(node: string): void {
    if (!this.isInterrupted) {
      this.resumption.settle(node); // else it may not know yet that the stream was lost
    }
  }

  /** Nothing can be appended, to others perhaps neither. */
  private interrupt(): void {
    if (!this.isInterrupted) {
      this.await(this.options.readers.present());
      this.isInterrupted = true;
    }
  }

  private await(nodes: readonly string[]): void {
    const now = performance.now();
    if (!this.isInterrupted && this.resumption.isOver(now)) {
      this.readWhenInterrupted = this.reader.lastOwnFetched;
    }
    this.resumption.await(nodes, now);
  }

  /** Entries can be appended again, or for the first time. */
  private resume(): void {
    if (this.isInterrupted) {
      this.isInterrupted = false;
      this.resumption.restart(performance.now());
      if (this.reader.isReading) {
        this.resumption.settle(this.options.nodeId);
      }
      this.options.readers.ask();
    }
  }

  /** @param isLast - of its batch: it trims the stream for all of them */
  private command(fields: readonly string[], isLast: boolean): Command {
    const { stream, maxLen } = this.options;
    const trim = isLast ? ['MAXLEN', '~', String(maxLen)] : [];
    return ['XADD', stream, ...trim, '*', ...fields, ...encodeSeq(++this.seq)];
  }

  private async send(): Promise<void> {
    const { batch, connection } = this;
    const timeout = this.patience.milliseconds;
    try {
      const ids =
        batch.length === 1 ? await connection.call(batch[0]!, timeout) : await connection.transaction(batch, timeout);
      this.onAppended(String(Array.isArray(ids) ? ids.at(-1) : ids));
    } catch (error) {
      this.onRefused(error as Error);
    }
  }

  private onAppended(id: StreamId): void {
    this.lastId = id;
    this.appendedTotal += this.batch.length;
    this.batch = [];
    this.batchBytes = 0;
    this.sending = false;
    this.error = undefined;
    this.resume();
    this.backoff.reset();
    this.patience.reset();
    const { stream } = this.options;
    if (this.refusedSince !== undefined) {
      this.options.emit({
        type: 'stream-usable',
        stream,
        operation: 'append',
        afterMs: Math.round(performance.now() - this.refusedSince),
      });
      this.refusedSince = undefined;
    }
    if (this.droppedSince > 0) {
      this.options.emit({ type: 'outbox-drained', stream, dropped: this.droppedSince });
      this.droppedSince = 0;
    }
    this.flush();
  }

  private onRefused(error: Error): void {
    this.sending = false;
    this.error = error;
    this.patience.onFailure(error);
    this.interrupt();
    // A connection that was lost is told by its owner; here only what Redis itself refuses is.
    if (this.connection.ready && this.refusedSince === undefined) {
      this.refusedSince = performance.now();
      this.options.emit({ type: 'stream-refused', stream: this.options.stream, operation: 'append', error });
    }
    if (!this.closed) {
      this.retryTimer = setTimeout(() => {
        this.retryTimer = undefined;
        this.flush();
      }, this.backoff.next());
    }
  }

  private releaseFences(delivered: number): void {
    while (this.fences.length > 0 && this.fences[0]!.seq <= delivered) {
      this.fences.shift()!.run();
    }
  }

  private becomeIdle(): void {
    for (const resolve of this.idle) {
      resolve();
    }
    this.idle.clear();
  }

  private tellDropped(dropped: number): void {
    this.droppedTotal += dropped;
    if (this.droppedSince === 0) {
      this.options.emit({ type: 'outbox-overflow', stream: this.options.stream, dropped });
    }
    this.droppedSince += dropped;
  }
}
