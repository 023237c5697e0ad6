import { setTimeout as sleep } from 'node:timers/promises';
import type { Command, RedisConnection } from '../redis/driver.js';
import { Retry } from '../redis/retry.js';
import { toEntries, toStreamEntries } from '../redis/stream-reply.js';
import { sizeOfData, type LogEntry } from '../wire/entry.js';
import { parseEntries } from '../wire/parse-entry.js';
import { ageOf, compareStreamIds, STREAM_START, type StreamId } from '../wire/stream-id.js';
import { Continuity, type ContinuityAnswer, type ContinuityQueries, type ReplacedReason } from './continuity.js';
import { DeliveryQueue, type DueWork } from './delivery-queue.js';
import type { EntryAdmission } from './entry-admission.js';
import type { StreamEvent } from './events.js';
import { FetchedNumbers } from './fetched-numbers.js';
import { LONGEST_RESEND_MS } from './former-numbers.js';
import { IdlePause } from './idle-pause.js';
import { lookBack } from './look-back.js';
import { Pacer } from './pacer.js';
import type { ReadProgress, StreamReaderMode } from './read-progress.js';
import { ReadSize } from './read-size.js';

/** Entries come fast if there are less than this many milliseconds between them. */
const FAST_BELOW_MS = 1;
/** Milliseconds after which somebody who waits for room in the delivery queue looks again, whatever happened. */
const LOOK_AGAIN_MS = 1_000;

export interface StreamReaderOptions {
  stream: string;
  /** How many entries a read asks for; more when the reader is behind. */
  readCount: number;
  /** Milliseconds for which a read waits for entries. */
  blockTime: number;
  /** Milliseconds that lie between two reads at least while entries come fast; 0: reads are never delayed. */
  maxHoldMs: number;
  /** Milliseconds after which a command counts as unanswered. */
  commandTimeout: number;
  emit(event: StreamEvent): void;
  /** Resolves to whether commands are executed on the log that is read here. */
  isShared(): Promise<boolean>;
  /** See {@link EntryAdmissionOptions}. */
  onBroken(position: StreamId, lostUpTo: StreamId): void;
  /**
   * Called right before a read is sent: what is sent on the same connection now leaves with it, and comes before it. Returns
   * whether entries are appended so: the read is answered at once then.
   */
  onBeforeRead(): boolean;
  /** Called after entries were fetched or delivered, and when the mode changes. */
  onProgress(): void;
}

/**
 * Reads one stream from its end on: fetches its entries in a loop and has them delivered in order.
 *
 * Modes, and what leads out of each:
 * - opening: the end of the stream is being resolved to an id. From then on nothing is missed, in `catching-up`.
 * - following: all that there was has been fetched; a read blocks until there is more. One that is full leads to
 *   `catching-up`.
 * - catching-up: the last read was full. Reads do not block, and ask for more each time. One that is not full leads to
 *   `following`.
 * - waiting: the connection is lost, or Redis refuses. The position is kept. The next read that succeeds leads on.
 * - stopped, by {@link stop} in any mode, for ever.
 *
 * Fetching runs ahead of delivering ({@link DeliveryQueue}), which yields to the event loop every few milliseconds: a
 * stream is trimmed behind the entries that are fetched, so a slow delivery must not slow the fetching.
 *
 * Whether the stream is still the one that was read is a question for {@link Continuity}, asked after each reconnection, from
 * time to time, and when numbers are missing in what was fetched ({@link FetchedNumbers}); whether entries are missing or
 * there twice is one for {@link EntryAdmission}, to which entries go when their turn has come.
 */
export class StreamReader {
  /** What was fetched and is not delivered. */
  private readonly deliveries: DeliveryQueue;
  /** Whether the stream is still the one that was read. */
  private readonly continuity: Continuity;
  /** Whether a read goes on from the one before. */
  private readonly numbers = new FetchedNumbers();
  /** Whether nothing was fetched since reading began anew in another history. */
  private isAnew = false;
  /** How long to wait for replies and after failures, and why reading does not work. */
  private readonly retry: Retry;
  /** How many entries to ask for. */
  private readonly readSize: ReadSize;
  /** Delays reads while entries come fast. */
  private readonly pacer: Pacer;
  /** Whether another read will be sent soon: the next one is being delayed, or entries were appended with the present one. */
  private isReadDue = false;
  /** Delays reads while the server answers them at once though there is nothing. */
  private readonly idlePause: IdlePause;
  /** Milliseconds before the next read, by {@link idlePause}. */
  private idleMs = 0;
  /** Whether continuity is to be checked before the next read. */
  private isCheckDue = false;
  /** When it was checked last, by the clock of `performance`. */
  private checkedAt = 0;
  /** Aborted by {@link stop}: the loop ends. */
  private readonly stopping = new AbortController();
  /** Up to where was looked back when reading began; see {@link LatestEntries.completeAfter}. */
  private completeAfter: StreamId = STREAM_START;
  /** When reading began, by the clock of `performance`. */
  private openedAt = 0;
  /** Ends the loop's present wait: for the connection, or for the next read. */
  private wake: (() => void) | undefined;
  /** Resolves when the loop has ended. */
  private running: Promise<void> | undefined;

  /**
   * @param connection - on which reads may block
   * @param progress - how far the stream was read
   * @param admission - given each entry when its turn to be delivered has come
   * @param work - what is done here between entries
   */
  constructor(
    private readonly connection: RedisConnection,
    private readonly progress: ReadProgress,
    private readonly admission: EntryAdmission,
    work: DueWork,
    private readonly options: StreamReaderOptions,
  ) {
    const { stream, blockTime } = options;
    this.retry = new Retry(options.commandTimeout, {
      onRefused: (error) => options.emit({ type: 'stream-refused', stream, operation: 'read', error }),
      onUsable: (afterMs) => options.emit({ type: 'stream-recovered', stream, operation: 'read', afterMs }),
    });
    this.continuity = new Continuity(stream, {
      call: (command) => connection.call(command, this.retry.commandTimeout),
      read: (command) => this.read(command),
    });
    this.readSize = new ReadSize(options.readCount);
    this.idlePause = new IdlePause({
      blockTime,
      onNotBlocking: (pauseMs) => options.emit({ type: 'reads-not-blocking', stream, pauseMs }),
    });
    this.pacer = new Pacer({ maxHoldMs: options.maxHoldMs, fastBelowMs: FAST_BELOW_MS });
    this.deliveries = new DeliveryQueue(admission, work, () => this.onDelivered());
  }

  /** How many entries were fetched and not yet delivered. */
  get backlog(): number {
    return this.deliveries.length;
  }

  /**
   * How old the oldest entry is that waits to be delivered, in milliseconds: the time in its id, which is of Redis'
   * clock, against this node's. 0 if none waits.
   */
  get lagMs(): number {
    const { oldest } = this.deliveries;
    return oldest ? ageOf(oldest.id) : 0;
  }

  /** Why reading does not work, if it does not. */
  get error(): Error | undefined {
    return this.retry.error;
  }

  /**
   * Whether entries come fast, so that reads are delayed, and one will be sent soon. Not so while one is under way that waits for
   * entries: for the very ones, perhaps, that would wait for it.
   */
  get isReadComing(): boolean {
    return this.isReadDue && this.pacer.isPacing && this.progress.mode === 'following' && !this.deliveries.isFull;
  }

  start(): void {
    this.running ??= this.run();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    this.admission.stop();
    this.wake?.();
    await this.running;
    this.deliveries.close();
    this.setMode('stopped');
    this.progress.changed.notify();
  }

  /** To be called when the connection can be used, at first or again. */
  onReady(): void {
    this.isCheckDue = true;
    this.continuity.forgetLength();
    this.retry.onReady();
    this.wake?.();
  }

  /** To be called when the connection is lost. */
  onLost(error: Error): void {
    this.retry.onLost(error);
    if (this.progress.mode !== 'opening' && this.progress.mode !== 'stopped') {
      this.setMode('waiting');
    }
  }

  /** What distinguishes the entry from another with the same id, if it was fetched lately; see {@link Continuity.markAt}. */
  markAt(id: StreamId): string | undefined {
    return this.continuity.markAt(id);
  }

  /** See {@link Continuity.through}. */
  continuityThrough(redis: ContinuityQueries): Pick<Continuity, 'check'> {
    return this.continuity.through(redis);
  }

  /**
   * Whether all entries after a position that their publishers may send again are known here, in a history that has been
   * replaced: they were read, or looked at when reading began.
   */
  hasKnownAllAfter(position: StreamId): boolean {
    const hasReadForLong = performance.now() - this.openedAt > LONGEST_RESEND_MS;
    return hasReadForLong || compareStreamIds(position, this.completeAfter) >= 0;
  }

  /** A node says that it appended its entry number `seq` with this id; 0 if it has appended nothing. */
  announce(node: string, seq: number, id: StreamId): void {
    if (this.admission.announce(node, seq, id)) {
      this.isCheckDue = true;
    }
  }

  // ── the loop ────────────────────────────────────────────────────────────────────────────────────────────────────

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      if (!this.connection.ready) {
        await new Promise<void>((resolve) => (this.wake = resolve));
        continue;
      }
      try {
        if (this.progress.fetched === undefined) {
          await this.open();
        } else if (this.isCheckDue || performance.now() - this.checkedAt > this.options.blockTime) {
          await this.checkContinuity();
        }
        while (this.deliveries.isFull && !signal.aborted) {
          await this.progress.changed.wait(LOOK_AGAIN_MS);
        }
        const holdMs =
          this.progress.mode === 'following' ? Math.max(this.pacer.wait(performance.now()), this.idleMs) : 0;
        if (holdMs > 0) {
          this.isReadDue = this.idleMs === 0;
          await this.pause(holdMs);
        }
        this.isReadDue = this.options.onBeforeRead();
        await this.fetch();
      } catch (error) {
        if (signal.aborted) {
          break;
        }
        this.onRefused(error as Error);
        await this.pauseAfterFailure();
      }
    }
  }

  /** Ends early when the connection is ready again, and when reading is stopped. */
  private pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  private async open(): Promise<void> {
    const { entries, completeAfter } = await lookBack((upTo, count) => this.readBackwards(upTo, count));
    this.note(entries);
    this.numbers.skip(entries);
    this.admission.skip(entries);
    this.completeAfter = completeAfter;
    this.openedAt = performance.now();
    if (this.continuity.newest === undefined) {
      this.continuity.restart(STREAM_START);
    }
    const position = this.continuity.newest!;
    this.progress.fetched = this.progress.position = position;
    this.isCheckDue = false;
    this.checkedAt = performance.now();
    this.setMode('catching-up');
    this.options.onBroken(position, STREAM_START);
  }

  private async fetch(): Promise<void> {
    const { stream, blockTime } = this.options;
    const { count } = this.readSize;
    const block = this.progress.mode === 'following';
    const wait = block ? ['BLOCK', String(blockTime)] : [];
    const askedAt = performance.now();
    this.pacer.onCommand(askedAt);
    const raw = toStreamEntries(
      await this.read(
        ['XREAD', 'COUNT', String(count), ...wait, 'STREAMS', stream, this.progress.fetched!],
        this.retry.commandTimeout + (block ? blockTime : 0),
      ),
    );
    if (this.stopping.signal.aborted) {
      return;
    }
    this.retry.onSuccess();
    this.idleMs = block ? this.idlePause.after(raw.length, performance.now() - askedAt) : 0;
    const isFull = raw.length >= count;
    this.readSize.onRead(isFull);
    this.setMode(isFull ? 'catching-up' : 'following');
    if (raw.length > 0) {
      this.pacer.onEntries(raw.length, performance.now());
      const entries = parseEntries(raw);
      if (!this.numbers.goOnWith(entries) && !this.isAnew) {
        this.continuity.forgetLength();
        if ((await this.findContinuity()) === 'replaced') {
          return; // they are read again, with those between
        }
      }
      this.isAnew = false;
      this.progress.fetched = raw.at(-1)!.id;
      this.note(entries);
      this.deliveries.push(entries);
    } else if (block && this.idleMs === 0) {
      this.isCheckDue = true;
    }
    this.admission.findMissing(raw.length === 0 && this.backlog === 0);
  }

  /** Asks for entries. */
  private read(command: Command, timeout = this.retry.commandTimeout): Promise<unknown> {
    return this.connection.read(command, timeout);
  }

  /** Newest first. */
  private async readBackwards(upTo: string, count: number): Promise<LogEntry[]> {
    const reply = await this.read(['XREVRANGE', this.options.stream, upTo, '-', 'COUNT', String(count)]);
    return parseEntries(toEntries(reply));
  }

  /** Entries were read, oldest first. */
  private note(entries: readonly LogEntry[]): void {
    let dataLength = 0;
    for (const entry of entries) {
      dataLength += sizeOfData(entry);
      this.continuity.add(entry);
    }
    if (entries.length > 0) {
      this.readSize.onEntries(entries.length, dataLength);
      this.continuity.onRead(entries.at(-1)!);
    }
  }

  /** Asks whether the stream is still the one that was read. */
  private async checkContinuity(): Promise<void> {
    const announcements = this.admission.unverified();
    const isSame = (await this.findContinuity()) === 'continues';
    // What other nodes have appended is not missing if it is only this connection that leads to another server than theirs.
    if (isSame && announcements.length > 0 && (await this.options.isShared())) {
      this.admission.markVerified(announcements);
    }
  }

  /** Asks whether the stream is still the one that was read; if it is another, reading goes on where the answer says. */
  private async findContinuity(): Promise<ContinuityAnswer['outcome']> {
    this.isCheckDue = false;
    this.checkedAt = performance.now();
    const answer = await this.continuity.check(this.progress.fetched!);
    if (answer.outcome === 'replaced') {
      await this.goOnAt(answer.position, answer.reason);
    }
    return answer.outcome;
  }

  private async goOnAt(position: StreamId, reason: ReplacedReason): Promise<void> {
    while (!this.stopping.signal.aborted && !this.deliveries.isIdle) {
      await this.progress.changed.wait(LOOK_AGAIN_MS);
    }
    const lostUpTo = this.progress.position!;
    this.progress.fetched = this.progress.position = position;
    this.progress.origin = undefined;
    this.continuity.restart(position);
    this.numbers.forget();
    this.isAnew = true;
    this.admission.restart(position);
    this.readSize.reset();
    this.setMode('catching-up');
    this.options.onBroken(position, lostUpTo);
    this.options.emit({ type: 'stream-replaced', stream: this.options.stream, reason, position });
  }

  private onRefused(error: Error): void {
    this.isCheckDue = this.progress.isOpen;
    if (this.progress.isOpen) {
      this.setMode('waiting');
    }
    this.retry.onFailure(error, this.connection.ready);
  }

  private pauseAfterFailure(): Promise<void> {
    return sleep(this.retry.pause(), undefined, { signal: this.stopping.signal }).catch(() => undefined);
  }

  private setMode(mode: StreamReaderMode): void {
    if (this.progress.mode !== mode) {
      this.progress.mode = mode;
      this.progress.changed.notify();
      this.options.onProgress();
    }
  }

  // ── delivering ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** To be called when local work has become due. */
  resumeDelivery(): void {
    this.deliveries.resume();
  }

  private onDelivered(): void {
    if (this.deliveries.length === 0 && this.progress.position !== this.progress.fetched) {
      this.progress.position = this.progress.fetched;
      this.progress.origin = undefined; // the entry was not admitted
    }
    this.admission.findMissing(false);
    this.progress.changed.notify();
    this.options.onProgress();
  }
}
