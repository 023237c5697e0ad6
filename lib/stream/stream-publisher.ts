import { RedisTimeoutError, type Command, type RedisConnection } from '../redis/driver.js';
import { replyCode } from '../redis/reply-code.js';
import { Retry } from '../redis/retry.js';
import { within } from '../time/within.js';
import { encodeOrigin } from '../wire/entry.js';
import { STREAM_START, type StreamId } from '../wire/stream-id.js';
import type { OutboxDropped, StreamEvent } from './events.js';
import { Fifo } from '../queue/fifo.js';
import type { FlowControl } from './flow-control.js';
import type { Lane } from './lane.js';
import { isTooLarge, isWithoutTransactions, nameOf } from './message-size.js';
import { Outbox, type OutboxEntry, type OutboxLimits } from './outbox.js';
import { Pacer } from './pacer.js';
import type { TelemetryRecorder } from './telemetry.js';

const BATCH_ENTRIES = 512;
const BATCH_BYTES = 1024 * 1024;
/** However often batches are refused for their size, they are not made smaller than this. */
const MIN_BATCH_BYTES = 16 * 1024;
/** An entry at least this large, during which the connection was lost MAX_LOSSES times in a row, is dropped. */
const SUSPECT_BYTES = 256 * 1024;
const MAX_LOSSES = 4;
/** Entries come fast if there are more than this many milliseconds' worth of them in one, on average. */
const FAST_BELOW_MS = 2;
/** As many entries, or bytes, are sent without gathering more. */
const GATHERED_ENTRIES = 64;
const GATHERED_BYTES = 64 * 1024;

export interface StreamPublisherOptions {
  stream: string;
  /** About how many entries the stream keeps. */
  maxLen: number;
  outbox: OutboxLimits;
  /** Milliseconds for which an entry is held back at most so that others leave with it; 0: none is. */
  maxHoldMs: number;
  /** Milliseconds after which a command counts as unanswered. */
  commandTimeout: number;
  emit(event: StreamEvent): void;
  /** An entry will never be appended. */
  onDropped?(entry: OutboxEntry): void;
  telemetry?: TelemetryRecorder | undefined;
}

export type PublisherMode = 'idle' | 'gathering' | 'sending' | 'holding' | 'disconnected' | 'backing-off' | 'closed';

/** An entry as it is handed over: all that is known of it at the call. */
export type NewEntry = Pick<OutboxEntry, 'lane' | 'seq' | 'fields' | 'bytes'>;

/**
 * Appends this node's entries to one stream, in the order in which they were taken, each once.
 *
 * Modes, and what leads out of each:
 * - idle: nothing waits. An entry leads to `gathering`, `sending`, `holding` or `disconnected`.
 * - gathering: entries come fast, and the last batch was sent only just now: those that wait leave together, when the
 *   {@link Pacer} says so or there are many. That leads on as `idle` does.
 * - sending: one batch is under way; meanwhile the outbox fills. Its answer leads to the next batch, or to `idle`,
 *   `gathering` or `holding`; its failure to `backing-off`.
 * - holding: entries wait for readers: flow control does not let more be appended. Each sign of a reader
 *   ({@link onReaders}) leads to another look.
 * - disconnected: entries wait for the connection. Its return ({@link onReady}) leads on.
 * - backing-off: a batch failed. It is kept, with its numbers, and sent again after a pause (or a part of it, if it was
 *   refused for its size: what is too large is found so, and dropped), or when the connection is
 *   back; should its first try have been executed though the answer was lost, readers know the second by its numbers, and
 *   those that do not know this node's numbers are warned by the field `resent`.
 * - closed: nothing is taken or sent any more.
 *
 * True in all: the batch, then the outbox, hold what is pending, in order; there is a batch in `sending` and
 * `backing-off`, and may be one in `disconnected`. A batch is one transaction, so either all of it is in the stream or
 * nothing, and its order holds.
 */
export class StreamPublisher {
  /** Changed by {@link enter} only. */
  private currentMode: PublisherMode = 'idle';
  /** Entries that wait for a batch. */
  private readonly outbox: Outbox;
  /** Entries that are under way, or must be sent again. */
  private batch: readonly OutboxEntry[] = [];
  private batchBytes = 0;
  /** How many entries of the batch are sent at once. Less than all if it was refused: one may be what is refused. */
  private sendCount = 0;
  /** Whether the batch was sent before. */
  private isResent = false;
  /** How often in a row the connection was lost while the entry at the head was sent alone. */
  private losses = 0;
  /** Whether another command was answered right before it was sent. */
  private isConnectionProved = false;
  /** How large batches are: smaller if a server refuses larger ones, and single entries if it allows no transactions. */
  private batchLimit = { entries: BATCH_ENTRIES, bytes: BATCH_BYTES };
  /** How many entries were ever taken. */
  private taken = 0;
  private lastId: StreamId = STREAM_START;
  /** How long to wait for replies and after failures, and why appending does not work. */
  private readonly retry: Retry;
  private readonly pacer: Pacer;
  /** Ends `gathering` and `backing-off`. */
  private modeTimer: NodeJS.Timeout | undefined;
  /** Entries dropped since the last one that was appended. */
  private droppedLately = 0;
  /** Why that was. */
  private droppedReason: OutboxDropped['reason'] | undefined;
  private droppedTotal = 0;
  private appendedTotal = 0;
  /** Those who wait until all entries up to an order have left. */
  private readonly waiters = new Fifo<{ order: number; resolve: () => void }>();

  /** @param flow - absent for a publisher that knows nothing of the readers */
  constructor(
    private readonly connection: RedisConnection,
    private readonly options: StreamPublisherOptions,
    private readonly flow?: FlowControl,
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
    return this.outbox.bytes + this.batchBytes;
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
    if (this.pending > 0) {
      this.flush(true);
      await within(timeout, this.whenAppended());
    }
    this.enter('closed');
    const rest = [...this.batch, ...this.outbox.clear()];
    this.batch = [];
    this.batchBytes = 0;
    if (rest.length > 0) {
      this.drop(rest);
    }
    this.notifyWaiters();
  }

  /**
   * Sends what may be sent, unless something must come before, or more is being gathered.
   *
   * @param isLast - whether nothing more will come
   */
  private flush(isLast = false): void {
    const { mode } = this;
    const hasGathered = mode === 'gathering' && (isLast || this.hasGathered);
    if (hasGathered || mode === 'idle' || mode === 'holding' || mode === 'disconnected') {
      this.proceed();
    }
  }

  /** Goes on with the next batch, or with the one that must be sent again. */
  private proceed(): void {
    if (!this.connection.ready) {
      this.enter(this.pending > 0 ? 'disconnected' : 'idle');
      return;
    }
    if (this.batch.length === 0) {
      this.flow?.resume();
      if (this.mode !== 'gathering' && !this.outbox.isEmpty && !this.hasGathered) {
        const holdMs = this.pacer.wait(performance.now());
        if (holdMs > 0) {
          this.enter('gathering', holdMs);
          return;
        }
      }
      this.fillBatch();
    }
    if (this.batch.length > 0) {
      this.enter('sending');
      void this.send();
    } else {
      this.enter(this.outbox.isEmpty ? 'idle' : 'holding');
    }
  }

  /** Whether so much waits that it is not worth waiting for more. */
  private get hasGathered(): boolean {
    return this.outbox.length >= GATHERED_ENTRIES || this.outbox.bytes >= GATHERED_BYTES;
  }

  private fillBatch(): void {
    const batch: OutboxEntry[] = [];
    let bytes = 0;
    const { entries: most } = this.batchLimit;
    let room = this.outbox.isEmpty ? 0 : Math.min(most, this.flow?.window() ?? most);
    for (let entry = this.outbox.peek(); entry && room-- > 0; entry = this.outbox.peek()) {
      if (batch.length > 0 && bytes + entry.bytes > this.batchLimit.bytes) {
        break;
      }
      this.outbox.shift();
      batch.push(entry);
      bytes += entry.bytes;
    }
    this.batch = batch;
    this.batchBytes = bytes;
    this.sendCount = batch.length;
    this.losses = 0;
    this.isResent = false;
  }

  private async send(): Promise<void> {
    const { connection } = this;
    const commands = this.commands();
    const sentAt = performance.now();
    this.pacer.onCommand(sentAt);
    const timeout = this.retry.commandTimeout;
    const { telemetry, stream } = this.options;
    try {
      if (this.losses > 0) {
        await connection.call(['XLEN', this.options.stream], timeout); // if that fails already, it is not the entry
        this.isConnectionProved = true;
      }
      const ids =
        commands.length === 1
          ? await connection.call(commands[0]!, timeout)
          : await connection.transaction(commands, timeout);
      telemetry?.onSent(stream, (performance.now() - sentAt) / 1_000);
      this.onAppended(String(Array.isArray(ids) ? ids.at(-1) : ids));
    } catch (error) {
      telemetry?.onSent(stream, (performance.now() - sentAt) / 1_000, error as Error);
      this.onFailed(error as Error);
    }
  }

  /** What is to be sent of the batch, as commands; the last one trims the stream for all of them. */
  private commands(): Command[] {
    const { stream, maxLen } = this.options;
    const before = new Map<Lane, number>();
    return this.batch.slice(0, this.sendCount).map(({ lane, seq, fields }, i) => {
      const trim = i === this.sendCount - 1 ? ['MAXLEN', '~', String(maxLen)] : [];
      const prev = before.get(lane) ?? lane.appended;
      before.set(lane, seq);
      return ['XADD', stream, ...trim, '*', ...fields, ...encodeOrigin(lane.node, seq, prev, this.isResent)];
    });
  }

  private onAppended(id: StreamId): void {
    const count = this.sendCount;
    for (const { lane, seq } of this.batch.slice(0, count)) {
      lane.appended = seq;
      lane.pending--;
    }
    this.lastId = id;
    this.appendedTotal += count;
    this.shorten(count);
    this.flow?.resume();
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
    this.isResent = true;
    if (this.mode !== 'closed' && this.findRefused(error)) {
      return;
    }
    this.flow?.interrupt();
    this.retry.onFailure(error, this.connection.ready);
    this.enter('backing-off');
  }

  /**
   * If something in the batch may be what is refused, because of itself: looks for it, or drops it if it is found. Returns
   * whether the next try follows already.
   */
  private findRefused(error: Error): boolean {
    if (isWithoutTransactions(error) && this.sendCount > 1) {
      this.batchLimit.entries = this.sendCount = 1;
      return false; // what may have been appended all the same is appended again, and known by its number
    }
    const sent = this.batch.slice(0, this.sendCount);
    const wasLost = replyCode(error) === undefined && !(error instanceof RedisTimeoutError);
    const isSuspect = wasLost && sent.some(({ bytes }) => bytes >= SUSPECT_BYTES);
    if (!isTooLarge(error) && !isSuspect) {
      this.losses = 0;
      return false;
    }
    if (sent.length > 1) {
      const largest = sent.reduce((most, { bytes }, i) => (bytes > sent[most]!.bytes ? i : most), 0);
      this.sendCount = Math.max(1, largest); // first what comes before the largest, then that alone, then the rest
      if (!isSuspect) {
        this.batchLimit.bytes = Math.max(MIN_BATCH_BYTES, this.batchLimit.bytes / 2);
      }
    } else if (isTooLarge(error) || (this.isConnectionProved && ++this.losses >= MAX_LOSSES)) {
      this.batchLimit.bytes = BATCH_BYTES; // it was not the batch
      this.refuse(sent[0]!, error);
    } else {
      this.losses = Math.max(1, this.losses);
    }
    this.isConnectionProved = false;
    if (isTooLarge(error)) {
      this.proceed();
    } else {
      this.enter('backing-off');
    }
    return true;
  }

  /** The entry at the head cannot be appended, and is dropped, so that all others can. */
  private refuse(entry: OutboxEntry, error: Error): void {
    const { lane, seq, fields, bytes } = entry;
    lane.onDropped(seq, lane.appended);
    this.droppedTotal++;
    this.shorten(1);
    this.options.onDropped?.(entry);
    this.options.emit({
      ...{ type: 'message-refused', stream: this.options.stream, message: nameOf(fields) },
      ...{ namespace: fields[3]!, bytes, error },
    });
    this.notifyWaiters();
  }

  /** The first entries of the batch are done; the rest is sent next. */
  private shorten(count: number): void {
    const done = this.batch.slice(0, count);
    this.batch = this.batch.slice(count);
    this.batchBytes -= done.reduce((sum, { bytes }) => sum + bytes, 0);
    this.sendCount = this.batchLimit.entries === 1 ? Math.min(1, this.batch.length) : this.batch.length;
    this.losses = 0;
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
      const { lane, seq } = entry;
      const kept = this.batch.findLast((other) => other.lane === lane && other.seq < seq)?.seq ?? lane.appended;
      lane.onDropped(seq, kept);
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
    const oldest = this.batch[0] ?? this.outbox.peek();
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
