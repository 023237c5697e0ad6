import type { RedisConnection } from '../redis/driver.js';
import { Retry } from '../redis/retry.js';
import { within } from '../time/within.js';
import { STREAM_START, type StreamId } from '../wire/stream-id.js';
import { Batch } from './batch.js';
import type { OutboxDropped, StreamEvent } from './events.js';
import { Fifo } from '../queue/fifo.js';
import type { FlowControl } from './flow-control.js';
import { nameOf } from './message-size.js';
import { Outbox, type OutboxEntry, type OutboxLimits } from './outbox.js';
import { Pacer } from './pacer.js';
import type { Piggyback } from './piggyback.js';
import type { TelemetryRecorder } from './telemetry.js';

/** Entries come fast if there are more than this many milliseconds' worth of them in one, on average. */
const FAST_BELOW_MS = 2;
/** A node of whose entries one comes in more milliseconds than this, on average, does not have them wait for a read. */
const PIGGYBACK_BELOW_MS = 10;
/** As many entries, or bytes, are sent without gathering more. */
const GATHERED_ENTRIES = 64;
const GATHERED_BYTES = 64 * 1024;

export interface StreamPublisherOptions {
  stream: string;
  /** About how many entries the stream keeps. */
  maxLen: number;
  outbox: OutboxLimits;
  /** Milliseconds for which an entry is delayed at most so that others leave with it; 0: none is. */
  maxHoldMs: number;
  /** Milliseconds after which a command counts as unanswered. */
  commandTimeout: number;
  emit(event: StreamEvent): void;
  /** An entry will never be appended. */
  onDropped?(entry: OutboxEntry): void;
  telemetry?: TelemetryRecorder | undefined;
}

export type PublisherMode = 'idle' | 'gathering' | 'sending' | 'throttled' | 'disconnected' | 'backing-off' | 'closed';

/** An entry as it is handed over: all that is known of it at the call. */
export type NewEntry = Pick<OutboxEntry, 'lane' | 'seq' | 'fields' | 'bytes'>;

/**
 * Appends this node's entries to one stream, in the order in which they were taken, each once.
 *
 * Modes, and what leads out of each:
 * - idle: nothing waits. An entry leads to `gathering`, `sending`, `throttled` or `disconnected`.
 * - gathering: entries come fast, and the last batch was sent only just now, or this node's next read is coming. Those that wait
 *   leave together: when the {@link Pacer} says so, or there are many, or with that read ({@link Piggyback}). That leads on as
 *   `idle` does.
 * - sending: one batch is under way; meanwhile the outbox fills. Its answer leads to the next batch, or to `idle`,
 *   `gathering` or `throttled`; its failure to `backing-off`.
 * - throttled: entries wait for readers: flow control does not let more be appended. Each sign of a reader
 *   ({@link onReaders}) leads to another look.
 * - disconnected: entries wait for the connection. Its return ({@link onReady}) leads on.
 * - backing-off: a batch failed on the publisher's own connection (one that failed on that of the reader is sent on its own at
 *   once). It is kept, with its numbers, and sent again after a pause (or a part of it, if it was refused for its size: what is
 *   too large is found so, and dropped), or when the connection is back. Should its first try have been executed though the
 *   answer was lost, readers know the second by its numbers, and those that do not know this node's numbers are warned by the
 *   field `resent`.
 * - closed: nothing is taken or sent any more.
 *
 * True in all: the batch, then the outbox, contain what is pending, in order; there is a batch in `sending` and
 * `backing-off`, and may be one in `disconnected`. A batch is one transaction, so either all of it is in the stream or
 * nothing, and in its order.
 */
export class StreamPublisher {
  /** Changed by {@link enter} only. */
  private currentMode: PublisherMode = 'idle';
  /** Entries that wait for a batch. */
  private readonly outbox: Outbox;
  /** Entries that are under way, or must be sent again. */
  private readonly batch = new Batch();
  /** How many entries were ever taken. */
  private taken = 0;
  /** The id of the last entry that Redis has acknowledged. */
  private lastId: StreamId = STREAM_START;
  /** How long to wait for replies and after failures, and why appending does not work. */
  private readonly retry: Retry;
  /** Delays batches while entries come fast. */
  private readonly pacer: Pacer;
  /** Set by `close`: nothing is gathered any more. */
  private isClosing = false;
  /** Ends `gathering` and `backing-off`. */
  private modeTimer: NodeJS.Timeout | undefined;
  /** Entries dropped since the last one that was appended. */
  private droppedLately = 0;
  /** Why that was. */
  private droppedReason: OutboxDropped['reason'] | undefined;
  /** How many entries were ever dropped. */
  private droppedTotal = 0;
  /** How many entries Redis has ever acknowledged. */
  private appendedTotal = 0;
  /** Those who wait until all entries up to an order have left. */
  private readonly waiters = new Fifo<{ order: number; resolve: () => void }>();

  /**
   * @param flow - absent for a publisher that knows nothing of the readers
   * @param piggyback - absent if nothing can leave with a read
   */
  constructor(
    private readonly connection: RedisConnection,
    private readonly options: StreamPublisherOptions,
    private readonly flow?: FlowControl,
    private readonly piggyback?: Pick<Piggyback, 'holdMs' | 'isPossible'>,
  ) {
    this.outbox = new Outbox(options.outbox);
    const { stream } = options;
    this.retry = new Retry(options.commandTimeout, {
      onRefused: (error) => options.emit({ type: 'stream-refused', stream, operation: 'append', error }),
      onUsable: (afterMs) => options.emit({ type: 'stream-recovered', stream, operation: 'append', afterMs }),
    });
    this.pacer = new Pacer({ maxHoldMs: options.maxHoldMs, fastBelowMs: FAST_BELOW_MS });
  }

  get mode(): PublisherMode {
    return this.currentMode;
  }

  /** Why appending does not work, if it does not. */
  get error(): Error | undefined {
    return this.retry.error;
  }

  /** Entries that wait or are under way. */
  get pending(): number {
    return this.outbox.length + this.batch.length;
  }

  get pendingBytes(): number {
    return this.outbox.bytes + this.batch.bytes;
  }

  get dropped(): number {
    return this.droppedTotal;
  }

  get appended(): number {
    return this.appendedTotal;
  }

  /** The id of the last entry that Redis has acknowledged. */
  get lastAppendedId(): StreamId {
    return this.lastId;
  }

  /** Takes an entry. It is appended as soon as all before it are. */
  append({ lane, seq, fields, bytes }: NewEntry): void {
    const entry: OutboxEntry = { order: ++this.taken, lane, seq, fields, bytes };
    if (this.mode === 'closed') {
      this.drop([entry]);
      return;
    }
    const dropped = this.outbox.push(entry);
    if (dropped.length > 0) {
      this.drop(dropped);
    }
    this.pacer.onEntries(1, performance.now());
    this.flush();
  }

  /** Resolves when all that was taken so far is in Redis or was dropped, or nothing more will be: never rejects. */
  whenAppended(): Promise<void> {
    return this.pending === 0 || this.mode === 'closed'
      ? Promise.resolve()
      : new Promise((resolve) => this.waiters.push({ order: this.taken, resolve }));
  }

  /** To be called when flow control may let more be appended. */
  onReaders(): void {
    this.flush();
  }

  /**
   * To be called when a read is about to be sent on a connection: what is being gathered leaves with it, if it may. Returns
   * whether it does.
   */
  onBeforeRead(connection: RedisConnection): boolean {
    if (this.mode !== 'gathering' || !this.piggyback?.isPossible) {
      return false;
    }
    this.proceed(connection);
    return this.currentMode === 'sending';
  }

  /** To be called when the connection can be used again. */
  onReady(): void {
    this.retry.onReady();
    if (this.mode === 'backing-off' || this.mode === 'disconnected') {
      this.proceed();
    } else {
      this.flush();
    }
  }

  /** To be called when the connection cannot be used any more. */
  onLost(): void {
    this.flow?.interrupt();
  }

  /** Resolves when nothing is pending, at the latest after `timeout` milliseconds. Then nothing is taken any more. */
  async close(timeout: number): Promise<void> {
    if (this.mode === 'closed') {
      return;
    }
    this.isClosing = true;
    if (this.pending > 0) {
      this.flush();
      await within(timeout, this.whenAppended());
    }
    this.enter('closed');
    const rest = [...this.batch.clear(), ...this.outbox.clear()];
    if (rest.length > 0) {
      this.drop(rest);
    }
    this.notifyWaiters();
  }

  /** Sends what may be sent, unless something must come before, or more is being gathered. */
  private flush(): void {
    const { mode } = this;
    const hasGathered = mode === 'gathering' && this.hasGathered;
    if (hasGathered || mode === 'idle' || mode === 'throttled' || mode === 'disconnected') {
      this.proceed();
    }
  }

  /**
   * Goes on with the next batch, or with the one that must be sent again.
   *
   * @param connection - on which it is sent
   */
  private proceed(connection = this.connection): void {
    if (!this.connection.ready) {
      this.enter(this.pending > 0 ? 'disconnected' : 'idle');
      return;
    }
    if (this.batch.length === 0) {
      this.flow?.resume();
      if (this.mode !== 'gathering' && !this.outbox.isEmpty && !this.hasGathered) {
        const { holdMs } = this;
        if (holdMs > 0) {
          this.enter('gathering', holdMs);
          return;
        }
      }
      this.batch.fill(this.outbox, this.outbox.isEmpty ? 0 : this.flow?.window());
    }
    if (this.batch.length > 0) {
      this.enter('sending');
      void this.send(connection);
    } else {
      this.enter(this.outbox.isEmpty ? 'idle' : 'throttled');
    }
  }

  /** For how many milliseconds it is worth waiting for more, or for the next read. */
  private get holdMs(): number {
    const forRead = this.pacer.isFasterThan(PIGGYBACK_BELOW_MS) ? this.piggyback?.holdMs : undefined;
    return forRead ?? this.pacer.wait(performance.now());
  }

  /** Whether so much waits that it is not worth waiting for more, or no more will come. */
  private get hasGathered(): boolean {
    return this.isClosing || this.outbox.length >= GATHERED_ENTRIES || this.outbox.bytes >= GATHERED_BYTES;
  }

  private async send(connection: RedisConnection): Promise<void> {
    const { batch } = this;
    const { telemetry, stream, maxLen } = this.options;
    const commands = batch.commands(stream, maxLen);
    const sentAt = performance.now();
    this.pacer.onCommand(sentAt);
    const timeout = this.retry.commandTimeout;
    try {
      if (batch.needsProof) {
        await connection.call(['XLEN', stream], timeout); // if that fails already, it is not the entry
        batch.onConnectionProved();
      }
      const ids =
        commands.length === 1
          ? await connection.call(commands[0]!, timeout)
          : await connection.transaction(commands, timeout);
      telemetry?.onSent(stream, (performance.now() - sentAt) / 1_000);
      this.onAppended(String(Array.isArray(ids) ? ids.at(-1) : ids));
    } catch (error) {
      telemetry?.onSent(stream, (performance.now() - sentAt) / 1_000, error as Error);
      if (connection === this.connection) {
        this.onFailed(error as Error);
      } else if (this.mode !== 'closed') {
        this.batch.onUnanswered();
        this.proceed(); // on its own: if more is wrong than that connection, it shows there
      }
    }
  }

  private onAppended(id: StreamId): void {
    const count = this.batch.onAppended();
    this.lastId = id;
    this.appendedTotal += count;
    if (this.connection.ready) {
      this.flow?.resume(); // else it was interrupted while they were under way on the connection of the reader
    }
    this.flow?.onAppended(id, count);
    this.retry.onSuccess();
    const { options } = this;
    const { stream } = options;
    if (this.droppedLately > 0) {
      options.emit({ type: 'outbox-accepting', stream, dropped: this.droppedLately });
      this.droppedLately = 0;
    }
    if (this.mode !== 'closed') {
      this.notifyWaiters();
      this.proceed();
    }
  }

  private onFailed(error: Error): void {
    const search = this.batch.onFailed(error);
    if (search && this.mode !== 'closed') {
      if (search.refused) {
        this.onRefused(search.refused, error);
      }
      if (search.isSaid) {
        this.proceed();
      } else {
        this.enter('backing-off');
      }
    } else {
      this.flow?.interrupt();
      this.retry.onFailure(error, this.connection.ready);
      this.enter('backing-off');
    }
  }

  /** An entry cannot be appended, and is dropped, so that all others can. */
  private onRefused(entry: OutboxEntry, error: Error): void {
    const { lane, seq, fields, bytes } = entry;
    lane.onDropped(seq, lane.appended);
    this.droppedTotal++;
    this.options.onDropped?.(entry);
    this.options.emit({
      ...{ type: 'message-refused', stream: this.options.stream, message: nameOf(fields) },
      ...{ namespace: fields[3]!, bytes, error },
    });
    this.notifyWaiters();
  }

  private readonly onModeTimer = (): void => this.proceed();

  /**
   * The only place where the mode changes, and where what belongs to a mode begins and ends.
   *
   * @param holdMs - how many milliseconds `gathering` takes
   */
  private enter(mode: PublisherMode, holdMs = 0): void {
    if (this.mode === 'closed' || (this.mode === mode && mode !== 'backing-off')) {
      return;
    }
    clearTimeout(this.modeTimer);
    this.currentMode = mode;
    switch (mode) {
      case 'gathering':
        this.modeTimer = setTimeout(this.onModeTimer, holdMs);
        break;
      case 'disconnected':
        this.flow?.interrupt();
        break;
      case 'backing-off':
        this.modeTimer = setTimeout(this.onModeTimer, this.retry.pause());
        break;
      default:
    }
  }

  /** @param entries - the oldest that wait, or all */
  private drop(entries: readonly OutboxEntry[]): void {
    for (const entry of entries) {
      entry.lane.onDropped(entry.seq, this.batch.lastBefore(entry));
      this.options.onDropped?.(entry);
    }
    this.droppedTotal += entries.length;
    const reason = this.mode === 'closed' ? 'closed' : 'full';
    if (this.droppedLately === 0 || reason !== this.droppedReason) {
      this.options.emit({ type: 'outbox-dropped', stream: this.options.stream, reason, dropped: entries.length });
    }
    this.droppedReason = reason;
    this.droppedLately += entries.length;
    this.notifyWaiters();
  }

  private notifyWaiters(): void {
    const oldest = this.batch.oldest ?? this.outbox.peek();
    for (let next = this.waiters.peek(); next; next = this.waiters.peek()) {
      if (this.mode !== 'closed' && oldest && oldest.order <= next.order) {
        break;
      }
      this.waiters.shift();
      next.resolve();
    }
  }
}

/** About how many bytes the fields of an entry take. */
export function sizeOfFields(fields: readonly string[]): number {
  let bytes = 64;
  for (const field of fields) {
    bytes += field.length; // UTF-16 units: near enough for a bound
  }
  return bytes;
}
