import { setTimeout as sleep } from 'node:timers/promises';
import type { Command, RedisConnection } from '../redis/driver.js';
import { Retry } from '../redis/retry.js';
import { toEntries, toStreamEntries, type RawEntry } from '../redis/stream-reply.js';
import { Signal } from '../time/signal.js';
import { isInCut, type Cut } from '../wire/cut.js';
import { sizeOfData, type LogEntry, type Origin } from '../wire/entry.js';
import { parseEntry } from '../wire/parse-entry.js';
import { ageOf, compareStreamIds, STREAM_START, type StreamId } from '../wire/stream-id.js';
import { Continuity, type ReplacedReason } from './continuity.js';
import { DeliveryQueue } from './delivery-queue.js';
import type { StreamEvent } from './events.js';
import { GapDetector } from './gap-detector.js';
import { IdlePause } from './idle-pause.js';
import type { Lane } from './lane.js';
import { Pacer } from './pacer.js';
import { ReadSize } from './read-size.js';
import type { OlderEntries } from './replay-log.js';
import { lastBefore } from './resent-entry.js';

/** How many of the latest entries are looked at when reading begins, so that one sent again is known. */
const INITIAL_ENTRIES = 16;
/** Entries come fast if there are less than this many milliseconds between them. */
const FAST_BELOW_MS = 1;
/** Milliseconds after which somebody who waits for room in the delivery queue looks again, whatever happened. */
const LOOK_AGAIN_MS = 1_000;
/** How many different reasons are events; after that, rejected entries are counted only. */
const MAX_REPORTED_REASONS = 100;

export interface StreamReaderOptions {
  stream: string;
  /** The lanes of this node: see {@link Lane}. */
  ownLanes: readonly Lane[];
  /** How many entries a read asks for; more when the reader is behind. */
  readCount: number;
  /** Milliseconds for which a read waits for entries. */
  blockTime: number;
  /** Milliseconds that lie between two reads at least while entries come fast; 0: reads are never held back. */
  maxHoldMs: number;
  /** Milliseconds after which a command counts as unanswered. */
  commandTimeout: number;
  emit(event: StreamEvent): void;
  /** Given each entry once, in the order of the log. */
  deliver(entry: LogEntry): void;
  /**
   * Given each entry that was delivered in a history which was replaced, when it comes in this one for the first time: its
   * publisher had no answer, and has sent it again.
   */
  onRepeated(entry: LogEntry): void;
  /** Whether there is local work whose turn has come: it is done before the next entry is delivered. */
  hasDueWork(): boolean;
  doDueWork(): void;
  /** What must come before an entry is delivered, if anything. The promise never rejects. */
  before(entry: LogEntry): Promise<void> | undefined;
  /** The stream, read backwards on another connection. */
  older: OlderEntries;
  /**
   * What was delivered up to `position` is not the whole: reading begins there, or entries were missed, or the history
   * was replaced. Entries before the one with the id `lostUpTo` may have been lost.
   */
  onBroken(position: StreamId, lostUpTo: StreamId): void;
  /** Called after entries were fetched or delivered, and when the mode changes. */
  onProgress(): void;
}

export type StreamReaderMode = 'opening' | 'following' | 'catching-up' | 'waiting' | 'stopped';

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
 * Whether the stream is still the one that was read is a question for {@link Continuity}, asked after each reconnection and
 * from time to time; whether entries are missing or there twice is one for {@link GapDetector}.
 */
export class StreamReader {
  /** Changed by {@link setMode} only. */
  private currentMode: StreamReaderMode = 'opening';
  /** The id of the last entry that was fetched; undefined while opening. */
  private fetchedId: StreamId | undefined;
  /** The id of the last entry that was delivered; undefined while opening. */
  private deliveredId: StreamId | undefined;
  /** What was fetched and is not delivered. */
  private readonly deliveries: DeliveryQueue;
  private readonly continuity: Continuity;
  /** Asked of each entry when its turn to be delivered has come. */
  private readonly gaps = new GapDetector();
  /** How long to wait for replies and after failures, and why reading does not work. */
  private readonly retry: Retry;
  private readonly readSize: ReadSize;
  /** Holds reads back while entries come fast. */
  private readonly pacer: Pacer;
  /** Holds reads back while the server answers them at once though there is nothing. */
  private readonly idlePause: IdlePause;
  /** Milliseconds before the next read, by {@link idlePause}. */
  private idleMs = 0;
  /** Whether continuity is to be checked before the next read. */
  private isCheckDue = false;
  /** When it was checked last, by the clock of `performance`. */
  private checkedAt = 0;
  /** Why entries were rejected, as far as that was reported. */
  private readonly reportedReasons = new Set<string>();
  /** Notified after a delivery and when the mode changes. */
  private readonly progress = new Signal();
  private readonly stopping = new AbortController();
  /** Ends the loop's present wait: for the connection, or for the next read. */
  private wake: (() => void) | undefined;
  /** Settles when the loop has ended. */
  private running: Promise<void> | undefined;

  /** Totals since the start. */
  readonly counters = { read: 0, duplicates: 0, lost: 0, rejected: 0 };

  constructor(
    private readonly connection: RedisConnection,
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
    this.deliveries = new DeliveryQueue({
      before: (entry) => this.before(entry),
      deliver: (entry) => this.admit(entry),
      hasDueWork: () => this.options.hasDueWork(),
      doDueWork: () => this.options.doDueWork(),
      onProgress: () => this.onDelivered(),
    });
  }

  get mode(): StreamReaderMode {
    return this.currentMode;
  }

  get isOpen(): boolean {
    return this.deliveredId !== undefined;
  }

  get isReading(): boolean {
    return this.currentMode === 'following' || this.currentMode === 'catching-up';
  }

  /** The id of the last entry that was delivered, or at which reading began; undefined until that is known. */
  get position(): StreamId | undefined {
    return this.deliveredId;
  }

  /** The id of the last entry that was fetched. */
  get fetched(): StreamId | undefined {
    return this.fetchedId;
  }

  /** The sequence number of the last entry of a publisher that was delivered; 0 if none was. */
  lastOf(node: string): number {
    return this.gaps.lastOf(node);
  }

  /**
   * What was delivered of publishers in a history that was replaced, and may come again in this one: a position says
   * nothing of it. Mostly empty.
   */
  get formerNumbers(): readonly Origin[] {
    return this.gaps.formerNumbers;
  }

  /** This node's own entries up to a number were delivered at once: see {@link formerNumbers}. */
  addFormer(origin: Origin): void {
    this.gaps.addFormer(origin);
  }

  /**
   * Resolves to whether, within `timeout` milliseconds, all {@link formerNumbers} are in a cut: who has that, and is given
   * what this node delivers after it, lacks nothing.
   */
  whenFormerIn(cut: Cut, timeout: number): Promise<boolean> {
    const isIn = (): boolean => this.formerNumbers.every((origin) => isInCut({ origin }, cut));
    return this.whenProgressed(isIn, timeout, () => this.currentMode === 'stopped', LOOK_AGAIN_MS);
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

  start(): void {
    this.running ??= this.run();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    this.wake?.();
    await this.running;
    this.deliveries.close();
    this.setMode('stopped');
    this.progress.notify();
  }

  /** To be called when the connection can be used, at first or again. */
  onReady(): void {
    this.isCheckDue = true;
    this.continuity.onReady();
    this.retry.onReady();
    this.wake?.();
  }

  /** To be called when the connection is lost. */
  onLost(error: Error): void {
    this.retry.onLost(error);
    if (this.currentMode !== 'opening' && this.currentMode !== 'stopped') {
      this.setMode('waiting');
    }
  }

  /** Resolves to whether the entry with this id, and all before it, are delivered within `timeout` milliseconds. */
  whenDelivered(id: StreamId, timeout: number): Promise<boolean> {
    const isDelivered = (): boolean => this.deliveredId !== undefined && compareStreamIds(this.deliveredId, id) >= 0;
    return this.whenProgressed(isDelivered, timeout, () => this.currentMode === 'stopped');
  }

  /**
   * Resolves to whether the entry number `seq` of a publisher is delivered within `timeout` milliseconds; to false at once
   * if nothing is being read.
   */
  whenPublisherDelivered(node: string, seq: number, timeout: number): Promise<boolean> {
    return this.whenProgressed(
      () => this.lastOf(node) >= seq,
      timeout,
      () => !this.isReading,
    );
  }

  /**
   * Resolves to whether something becomes true within `timeout` milliseconds; to false at once if it cannot any more.
   *
   * @param lookAgainMs - after how many milliseconds it is looked at again, even if nothing was delivered
   */
  private async whenProgressed(
    isTrue: () => boolean,
    timeout: number,
    isOver: () => boolean,
    lookAgainMs = Infinity,
  ): Promise<boolean> {
    const until = performance.now() + timeout;
    while (!isTrue()) {
      const left = until - performance.now();
      if (left <= 0 || isOver()) {
        return false;
      }
      await this.progress.wait(Math.min(left, lookAgainMs));
    }
    return true;
  }

  /** What distinguishes the entry from another with the same id, if it was fetched lately; see {@link Continuity.markAt}. */
  markAt(id: StreamId): string | undefined {
    return this.continuity.markAt(id);
  }

  /** A node says that it appended its entry number `seq` with this id; 0 if it has appended nothing. */
  announce(node: string, seq: number, id: StreamId): void {
    if (seq === 0) {
      if (this.isOpen && !this.gaps.knows(node)) {
        this.gaps.skipTo({ node, seq }); // all that it appends comes after our position
      }
    } else if (this.gaps.announce(node, seq, id)) {
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
        if (this.fetchedId === undefined) {
          await this.open();
        } else if (this.isCheckDue || performance.now() - this.checkedAt > this.options.blockTime) {
          await this.checkContinuity();
        }
        while (this.deliveries.isFull && !signal.aborted) {
          await this.progress.wait(LOOK_AGAIN_MS);
        }
        const holdMs = this.currentMode === 'following' ? Math.max(this.pacer.wait(performance.now()), this.idleMs) : 0;
        if (holdMs > 0) {
          await this.pause(holdMs);
        }
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
    const { stream } = this.options;
    const reply = await this.read(['XREVRANGE', stream, '+', '-', 'COUNT', String(INITIAL_ENTRIES)]);
    for (const { origin, id } of this.parse(toEntries(reply).reverse())) {
      if (origin) {
        this.gaps.skipTo(origin, id);
      }
    }
    if (this.continuity.newest === undefined) {
      this.continuity.restart(STREAM_START);
    }
    this.fetchedId = this.deliveredId = this.continuity.newest!;
    this.isCheckDue = false;
    this.checkedAt = performance.now();
    this.setMode('catching-up');
    this.options.onBroken(this.fetchedId, STREAM_START);
  }

  private async fetch(): Promise<void> {
    const { stream, blockTime } = this.options;
    const { count } = this.readSize;
    const block = this.currentMode === 'following';
    const wait = block ? ['BLOCK', String(blockTime)] : [];
    const askedAt = performance.now();
    this.pacer.onCommand(askedAt);
    const raw = toStreamEntries(
      await this.read(
        ['XREAD', 'COUNT', String(count), ...wait, 'STREAMS', stream, this.fetchedId!],
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
      this.fetchedId = raw.at(-1)!.id;
      this.deliveries.push(this.parse(raw));
    } else if (block && this.idleMs === 0) {
      this.isCheckDue = true;
    }
    this.findMissing(raw.length === 0 && this.backlog === 0);
  }

  /** Asks for entries. */
  private read(command: Command, timeout = this.retry.commandTimeout): Promise<unknown> {
    return this.connection.read(command, timeout);
  }

  private parse(raw: readonly RawEntry[]): LogEntry[] {
    const entries: LogEntry[] = [];
    let dataLength = 0;
    for (const { id, fields } of raw) {
      const entry = parseEntry(id, fields);
      dataLength += sizeOfData(entry);
      entries.push(entry);
      this.continuity.add(entry);
    }
    if (raw.length > 0) {
      this.readSize.onEntries(raw.length, dataLength);
      this.continuity.onRead(entries.at(-1)!);
    }
    return entries;
  }

  /** Asks whether the stream is still the one that was read, and goes on where the answer says. */
  private async checkContinuity(): Promise<void> {
    const announcements = this.gaps.unverified();
    this.isCheckDue = false;
    this.checkedAt = performance.now();
    const answer = await this.continuity.check(this.fetchedId!);
    switch (answer.outcome) {
      case 'continues':
        this.gaps.markVerified(announcements);
        break;
      case 'unproven':
        break;
      case 'replaced':
        await this.goOnAt(answer.position, answer.reason);
        break;
    }
  }

  private async goOnAt(position: StreamId, reason: ReplacedReason): Promise<void> {
    while (!this.stopping.signal.aborted && !this.deliveries.isIdle) {
      await this.progress.wait(LOOK_AGAIN_MS);
    }
    const lostUpTo = this.deliveredId!;
    this.fetchedId = this.deliveredId = position;
    this.continuity.restart(position);
    this.gaps.restart(position);
    this.readSize.reset();
    this.setMode('catching-up');
    this.options.onBroken(position, lostUpTo);
    this.options.emit({ type: 'stream-replaced', stream: this.options.stream, reason, position });
  }

  private onRefused(error: Error): void {
    this.isCheckDue = this.isOpen;
    if (this.isOpen) {
      this.setMode('waiting');
    }
    this.retry.onFailure(error, this.connection.ready);
  }

  private pauseAfterFailure(): Promise<void> {
    return sleep(this.retry.pause(), undefined, { signal: this.stopping.signal }).catch(() => undefined);
  }

  private setMode(mode: StreamReaderMode): void {
    if (this.currentMode !== mode) {
      this.currentMode = mode;
      this.progress.notify();
      this.options.onProgress();
    }
  }

  // ── delivering ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** Counts an entry that was passed over; the first for each reason is an event. */
  reject(id: StreamId, reason: string): void {
    this.counters.rejected++;
    if (!this.reportedReasons.has(reason) && this.reportedReasons.size < MAX_REPORTED_REASONS) {
      this.reportedReasons.add(reason);
      this.options.emit({ type: 'entry-rejected', stream: this.options.stream, id, reason });
    }
  }

  /** To be called when local work has become due. */
  resumeDelivery(): void {
    this.deliveries.resume();
  }

  private onDelivered(): void {
    if (this.deliveries.length === 0) {
      this.deliveredId = this.fetchedId;
    }
    this.findMissing(false);
    this.progress.notify();
    this.options.onProgress();
  }

  /** What must come before an entry is delivered, if anything. */
  private before(entry: LogEntry): Promise<void> | undefined {
    const { origin, isResent } = entry;
    if (isResent && origin && !this.gaps.knows(origin.node)) {
      return this.lookBack(origin, entry.id);
    }
    return this.options.before(entry);
  }

  /** Finds out whether an entry that was sent again, by a publisher of which nothing is known, is in the stream twice. */
  private async lookBack(origin: Origin, id: StreamId): Promise<void> {
    const { options, stopping } = this;
    const before = await lastBefore(origin, id, options.older, () => this.pauseAfterFailure(), stopping.signal);
    if (before) {
      this.gaps.skipTo(before, id);
    }
  }

  private admit(entry: LogEntry): void {
    const { origin } = entry;
    this.counters.read++;
    if (origin) {
      const isRepeated = this.gaps.isRepeated(origin);
      const { duplicate, lost, dropped } = this.gaps.admit(origin, entry.prev, entry.id);
      if (duplicate) {
        this.counters.duplicates++;
        if (isRepeated) {
          this.deliveredId = entry.id;
          this.options.onRepeated(entry);
        }
        return;
      }
      if (lost > 0) {
        this.reportLost(origin.node, lost, entry.id);
      }
      if (dropped > 0) {
        this.emitGap('dropped', origin.node, dropped, entry.id); // nobody has them: what was read is still the whole
      }
    }
    this.deliveredId = entry.id;
    this.options.deliver(entry);
  }

  /** Looks for announced entries that will not come. */
  private findMissing(isIdle: boolean): void {
    for (const { node, seq, id, lost } of this.gaps.takeMissing(this.deliveredId, isIdle)) {
      if (lost > 0) {
        this.reportLost(node, lost, id);
      }
      const own = this.options.ownLanes.find((lane) => lane.node === node);
      if (own) {
        own.readUpTo(seq);
        this.options.onProgress(); // whoever waits for what is lost need not wait longer
      }
    }
  }

  private reportLost(origin: string, lost: number, before: StreamId): void {
    this.counters.lost += lost;
    this.options.onBroken(this.deliveredId!, before); // ids may follow each other without a gap
    this.emitGap('lost', origin, lost, before);
  }

  private emitGap(reason: 'lost' | 'dropped', origin: string, lost: number, before: StreamId): void {
    this.options.emit({ type: 'gap', stream: this.options.stream, reason, lost, origin, before });
  }
}
