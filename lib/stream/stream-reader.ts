import { setTimeout as sleep } from 'node:timers/promises';
import { Backoff } from '../redis/backoff.js';
import type { Command, RedisConnection } from '../redis/driver.js';
import { Patience } from '../redis/patience.js';
import { toEntries, toInfo, toStreamEntries, type RawEntry } from '../redis/stream-reply.js';
import { sizeOf, type LogEntry, type Origin } from '../wire/entry.js';
import { parseEntry } from '../wire/parse-entry.js';
import type { StreamEvent } from './events.js';
import { DeliveryQueue } from './delivery-queue.js';
import { History } from './history.js';
import type { Lane } from './lane.js';
import { Pacer } from './pacer.js';
import type { OlderEntries } from './replay-log.js';
import { SequenceTracker } from './sequence-tracker.js';
import { compareStreamIds, predecessor, STREAM_START, type StreamId } from '../wire/stream-id.js';

/** The most entries and about the most bytes that one read asks for, when the reader is behind. */
const MAX_READ_COUNT = 4_096;
const MAX_READ_BYTES = 8 * 1024 * 1024;
/** Characters of an entry that is not read again just to see that it is there, as long as the stream seems unchanged. */
const LARGE_ENTRY = 16 * 1024;
/** How many of the latest entries are looked at when reading begins, so that one sent again is known. */
const LOOK_BACK = 16;
/** How many entries are read at once to find the first copy of one. */
const LOOK_BACK_PAGE = 256;
/** Entries come fast if there are less than this many milliseconds between them. */
const FAST_BELOW_MS = 1;

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

/** What another node says to have appended last. */
interface Announcement {
  seq: number;
  id: StreamId;
  /** Whether the history to which our position belongs was verified since. */
  verified: boolean;
  /** How many reads since have found nothing. */
  idleReads: number;
}

export type StreamReaderMode = 'opening' | 'following' | 'catching-up' | 'waiting' | 'stopped';

/**
 * Reads one stream from its end on, and delivers its entries.
 *
 * Modes:
 * - opening: the end of the stream is being resolved to an id. From then on nothing is missed.
 * - following: all that there was has been fetched; a read blocks until there is more.
 * - catching-up: the last read was full. Reads do not block, and ask for more each time.
 * - waiting: the connection is lost, or Redis refuses. The position is kept.
 * - stopped.
 *
 * Fetching runs ahead of delivering, which yields to the event loop every few milliseconds: a stream is trimmed behind
 * the entries that are fetched, so a slow delivery must not slow the fetching.
 *
 * An id says nothing certain about the history that it belongs to: a stream can be deleted, or replaced after a
 * failover by one that lacks its end. So after each reconnection, and from time to time, the entry at the position is
 * looked for ({@link verify}).
 */
export class StreamReader {
  private currentMode: StreamReaderMode = 'opening';
  private fetchedId: StreamId | undefined;
  private deliveredId: StreamId | undefined;
  private readonly sequences = new SequenceTracker();
  private readonly backoff = new Backoff();
  private readonly patience: Patience;
  /** Holds reads back while entries come fast. */
  private readonly pacer: Pacer;
  /** What was fetched. */
  private readonly history = new History();

  /** What was fetched and is not delivered. */
  private readonly deliveries: DeliveryQueue;

  private verifyNow = false;
  /** How long the stream was when the entry at the position was last seen in it, if nothing was read since. */
  private lengthWhenSeen: number | undefined;
  private isLastLarge = false;
  private verifiedAt = 0;
  private refusedSince: number | undefined;
  private lastError: Error | undefined;
  private rejectedReasons = new Set<string>();
  private averageBytes = 256;

  private readonly announced = new Map<string, Announcement>();
  private readonly waiters = new Set<() => void>();
  private readonly stopping = new AbortController();
  private wake: (() => void) | undefined;
  private running: Promise<void> | undefined;

  /** Totals since the start. */
  readonly counters = { read: 0, duplicates: 0, lost: 0, rejected: 0 };

  constructor(
    private readonly connection: RedisConnection,
    private readonly options: StreamReaderOptions,
  ) {
    this.patience = new Patience(options.commandTimeout);
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
    return this.sequences.lastOf(node);
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
    return oldest ? Math.max(0, Date.now() - Number(oldest.id.split('-')[0])) : 0;
  }

  /** Why reading does not work, if it does not. */
  get error(): Error | undefined {
    return this.lastError;
  }

  /** How many publishers are remembered. */
  get publishers(): number {
    return this.sequences.size;
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
    this.tellWaiters();
  }

  /** To be called when the connection can be used, at first or again. */
  onReady(): void {
    this.verifyNow = true;
    this.lengthWhenSeen = undefined;
    this.backoff.reset();
    this.wake?.();
  }

  /** To be called when the connection is lost. */
  onLost(error: Error): void {
    this.lastError = error;
    if (this.currentMode !== 'opening' && this.currentMode !== 'stopped') {
      this.setMode('waiting');
    }
  }

  /** Resolves to whether the entry with this id, and all before it, are delivered within `timeout` milliseconds. */
  async whenDelivered(id: StreamId, timeout: number): Promise<boolean> {
    const until = performance.now() + timeout;
    const arrived = (): boolean => this.deliveredId !== undefined && compareStreamIds(this.deliveredId, id) >= 0;
    while (!arrived()) {
      const left = until - performance.now();
      if (left <= 0 || this.currentMode === 'stopped') {
        return false;
      }
      await this.nextProgress(left);
    }
    return true;
  }

  /**
   * Resolves to whether the entry number `seq` of a publisher is delivered within `timeout` milliseconds; to false at once
   * if nothing is being read.
   */
  async whenPublisherDelivered(node: string, seq: number, timeout: number): Promise<boolean> {
    const until = performance.now() + timeout;
    while (this.lastOf(node) < seq) {
      const left = until - performance.now();
      if (left <= 0 || !this.isReading) {
        return false;
      }
      await this.nextProgress(left);
    }
    return true;
  }

  /** What tells the entry with this id from another, if it was fetched lately; see {@link History.markAt}. */
  markAt(id: StreamId): string | undefined {
    return this.history.markAt(id);
  }

  /** Takes note that a node says to have appended its entry number `seq` with this id; 0 if it has appended nothing. */
  announce(node: string, seq: number, id: StreamId): void {
    if (seq === 0) {
      if (this.deliveredId !== undefined && !this.sequences.knows(node)) {
        this.sequences.skipTo({ node, seq }); // all that it appends comes after our position
      }
    } else if (this.announced.get(node)?.seq !== seq && this.sequences.lastOf(node) < seq) {
      this.announced.set(node, { seq, id, verified: false, idleReads: 0 });
      this.verifyNow = true;
    }
  }

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
        } else if (this.verifyNow || performance.now() - this.verifiedAt > this.options.blockTime) {
          await this.verify();
        }
        while (this.deliveries.isFull && !signal.aborted) {
          await this.nextProgress(1_000);
        }
        const holdMs = this.currentMode === 'following' ? this.pacer.wait(performance.now()) : 0;
        if (holdMs > 0) {
          await sleep(holdMs, undefined, { signal });
        }
        await this.fetch();
      } catch (error) {
        if (signal.aborted) {
          break;
        }
        this.onRefused(error as Error);
        await sleep(this.backoff.next(), undefined, { signal }).catch(() => undefined);
      }
    }
  }

  private async open(): Promise<void> {
    const { stream } = this.options;
    const reply = await this.read(['XREVRANGE', stream, '+', '-', 'COUNT', String(LOOK_BACK)]);
    const latest = this.parse(toEntries(reply).reverse());
    for (const { origin } of latest) {
      if (origin) {
        this.sequences.skipTo(origin);
      }
    }
    if (this.history.newest === undefined) {
      this.history.restart(STREAM_START);
    }
    this.fetchedId = this.deliveredId = this.history.newest!;
    this.verifyNow = false;
    this.verifiedAt = performance.now();
    this.setMode('catching-up');
    this.options.onBroken(this.fetchedId, STREAM_START);
  }

  private async fetch(): Promise<void> {
    const { stream, blockTime } = this.options;
    const count = this.readCount();
    const block = this.currentMode === 'following';
    const wait = block ? ['BLOCK', String(blockTime)] : [];
    this.pacer.onCommand(performance.now());
    const raw = toStreamEntries(
      await this.read(
        ['XREAD', 'COUNT', String(count), ...wait, 'STREAMS', stream, this.fetchedId!],
        this.patience.milliseconds + (block ? blockTime : 0),
      ),
    );
    if (this.stopping.signal.aborted) {
      return;
    }
    this.onUsable();
    this.lastFull = raw.length >= count;
    this.growth = this.lastFull ? Math.min(this.growth * 2, MAX_READ_COUNT) : Math.max(1, this.growth / 2);
    this.setMode(this.lastFull ? 'catching-up' : 'following');
    if (raw.length > 0) {
      this.pacer.onEntries(raw.length, performance.now());
      this.fetchedId = raw.at(-1)!.id;
      this.lengthWhenSeen = undefined;
      this.deliveries.push(this.parse(raw));
    } else if (block) {
      this.verifyNow = true;
    }
    this.settleAnnouncements(raw.length === 0 && this.backlog === 0);
  }

  private lastFull = false;
  private growth = 1;

  private readCount(): number {
    const affordable = Math.max(1, Math.floor(MAX_READ_BYTES / this.averageBytes));
    return Math.max(
      1,
      Math.min(this.options.readCount * this.growth, MAX_READ_COUNT, Math.max(this.options.readCount, affordable)),
    );
  }

  private ask(command: Command): Promise<unknown> {
    return this.connection.call(command, this.patience.milliseconds);
  }

  /** Asks for entries. */
  private read(command: Command, timeout = this.patience.milliseconds): Promise<unknown> {
    return this.connection.read(command, timeout);
  }

  private parse(raw: readonly RawEntry[]): LogEntry[] {
    const entries: LogEntry[] = [];
    let bytes = 0;

    for (const { id, fields } of raw) {
      const entry = parseEntry(id, fields);
      bytes += sizeOf(entry) + 256;
      entries.push(entry);
      this.history.add(id, entry);
    }
    if (raw.length > 0) {
      this.averageBytes = Math.max(256, bytes / raw.length);
      this.isLastLarge = sizeOf(entries.at(-1)!) > LARGE_ENTRY;
    }
    return entries;
  }

  /** Counts an entry that was passed over; its reason is told the first time. */
  reject(id: StreamId, reason: string): void {
    this.counters.rejected++;
    if (!this.rejectedReasons.has(reason) && this.rejectedReasons.size < 100) {
      this.rejectedReasons.add(reason);
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
    this.settleAnnouncements(false);
    this.tellWaiters();
    this.options.onProgress();
  }

  /** What must come before an entry is delivered, if anything. */
  private before(entry: LogEntry): Promise<void> | undefined {
    const { origin, isResent } = entry;
    if (isResent && origin && !this.sequences.knows(origin.node)) {
      return this.lookBack(origin, entry.id);
    }
    return this.options.before(entry);
  }

  /** Finds out whether an entry that was sent again, by a publisher that has not been heard, is in the stream twice. */
  private async lookBack({ node }: Origin, id: StreamId): Promise<void> {
    const { signal } = this.stopping;
    for (let upTo = predecessor(id); !signal.aborted;) {
      try {
        const { entries, oldest, atStart } = await this.options.older.upTo(upTo, LOOK_BACK_PAGE);
        const before = entries.find(({ origin }) => origin?.node === node);
        if (before) {
          this.sequences.skipTo(before.origin!);
        }
        if (before ?? (atStart || oldest === undefined)) {
          return;
        }
        upTo = predecessor(oldest);
      } catch {
        await sleep(this.backoff.next(), undefined, { signal }).catch(() => undefined); // nothing is delivered meanwhile
      }
    }
  }

  private admit(entry: LogEntry): void {
    const { origin } = entry;
    this.counters.read++;
    if (origin) {
      const { duplicate, lost, dropped } = this.sequences.admit(origin, entry.prev);
      if (duplicate) {
        this.counters.duplicates++;
        return;
      }
      if (lost > 0) {
        this.tellGap(origin.node, lost, entry.id);
      }
      if (dropped > 0) {
        const { stream } = this.options; // nobody has them: what was read is still the whole
        this.options.emit({
          type: 'gap',
          stream,
          reason: 'dropped',
          lost: dropped,
          origin: origin.node,
          before: entry.id,
        });
      }
    }
    this.deliveredId = entry.id;
    this.options.deliver(entry);
  }

  private tellGap(origin: string, lost: number, before: StreamId): void {
    this.counters.lost += lost;
    this.options.onBroken(this.deliveredId!, before); // ids may follow each other without a gap
    this.options.emit({ type: 'gap', stream: this.options.stream, reason: 'lost', lost, origin, before });
  }

  /**
   * What other nodes announced is compared with what came: an entry whose place in the log has been passed, or that
   * two reads in a row did not bring, is lost.
   */
  private settleAnnouncements(idle: boolean): void {
    for (const [node, announcement] of this.announced) {
      const { seq, id, verified } = announcement;
      const last = this.sequences.lastOf(node);
      const passed = this.deliveredId !== undefined && compareStreamIds(this.deliveredId, id) >= 0;
      if (last >= seq) {
        this.announced.delete(node);
      } else if (verified && (passed || (idle && ++announcement.idleReads > 1))) {
        if (this.sequences.knows(node)) {
          this.tellGap(node, seq - last, id);
        }
        this.sequences.skipTo({ node, seq });
        this.announced.delete(node);
        const own = this.options.ownLanes.find((lane) => lane.node === node);
        if (own) {
          own.readUpTo(seq);
          this.options.onProgress(); // whoever waits for what is lost need not wait longer
        }
      }
    }
  }

  /** Makes sure that the stream is still the one of which the position was taken, and finds another position if not. */
  private async verify(): Promise<void> {
    const { stream } = this.options;
    const at = this.fetchedId!;
    const announced = [...this.announced.values()];
    this.verifyNow = false;
    this.verifiedAt = performance.now();
    if (at === STREAM_START || (await this.holds(at))) {
      for (const announcement of announced) {
        announcement.verified = true;
      }
      return;
    }
    const [first] = toEntries(await this.read(['XRANGE', stream, '-', '+', 'COUNT', '1']));
    if (!first) {
      if (Number(await this.ask(['EXISTS', stream])) === 0) {
        await this.replace('deleted', STREAM_START);
      } // else it was emptied: what is appended next has a larger id
    } else if (compareStreamIds(first.id, at) > 0) {
      if (await this.isUntrimmed()) {
        await this.replace('recreated', at);
      } // else it was trimmed; whether past unread entries, their sequence numbers tell
    } else {
      await this.replace('rewound', await this.commonAncestor());
    }
  }

  /** Whether the stream has the entry at the position. */
  private async holds(id: StreamId): Promise<boolean> {
    if (!this.isLastLarge) {
      return this.shows(id);
    }
    const { lengthWhenSeen } = this;
    const length = Number(await this.ask(['XLEN', this.options.stream]));
    if (length === lengthWhenSeen) {
      return true; // it would have to be another one of the very same length
    }
    const isThere = await this.shows(id);
    this.lengthWhenSeen = isThere ? length : undefined;
    return isThere;
  }

  private async shows(id: StreamId): Promise<boolean> {
    const [raw] = toEntries(await this.read(['XRANGE', this.options.stream, id, id, 'COUNT', '1']));
    return raw !== undefined && this.knows(raw);
  }

  /** Whether the stream still has all the entries that it ever had (told by Redis 7.0 and later). */
  private async isUntrimmed(): Promise<boolean> {
    const info = toInfo(await this.ask(['XINFO', 'STREAM', this.options.stream]));
    return info.has('entries-added') && Number(info.get('entries-added')) === Number(info.get('length'));
  }

  /** The last entry that both the stream and what was read of it have. */
  private async commonAncestor(): Promise<StreamId> {
    const oldest = this.history.oldest!;
    for (let upTo = '+'; ;) {
      const raw = toEntries(await this.read(['XREVRANGE', this.options.stream, upTo, '-', 'COUNT', '256']));
      for (const entry of raw) {
        if (this.knows(entry) || compareStreamIds(entry.id, oldest) < 0) {
          return entry.id;
        }
      }
      if (raw.length < 256) {
        return STREAM_START;
      }
      upTo = predecessor(raw.at(-1)!.id); // an exclusive bound is not known to Redis before 6.2
    }
  }

  private async replace(reason: 'deleted' | 'rewound' | 'recreated', position: StreamId): Promise<void> {
    await this.drained();
    const lostUpTo = this.deliveredId!;
    this.fetchedId = this.deliveredId = position;
    this.history.restart(position);
    this.announced.clear(); // their ids may be of another history
    this.growth = 1;
    this.setMode('catching-up');
    this.options.onBroken(position, lostUpTo);
    this.options.emit({ type: 'stream-replaced', stream: this.options.stream, reason, position });
  }

  /** Whether this very entry was fetched. */
  private knows({ id, fields }: RawEntry): boolean {
    return this.history.has(id, parseEntry(id, fields));
  }

  private async drained(): Promise<void> {
    while (!this.stopping.signal.aborted && !this.deliveries.isIdle) {
      await this.nextProgress(1_000);
    }
  }

  private onUsable(): void {
    this.lastError = undefined;
    this.patience.reset();
    this.backoff.reset();
    if (this.refusedSince !== undefined) {
      const afterMs = Math.round(performance.now() - this.refusedSince);
      this.refusedSince = undefined;
      this.options.emit({ type: 'stream-recovered', stream: this.options.stream, operation: 'read', afterMs });
    }
  }

  private onRefused(error: Error): void {
    this.lastError = error;
    this.patience.onFailure(error);
    this.verifyNow = this.fetchedId !== undefined;
    if (this.fetchedId !== undefined) {
      this.setMode('waiting');
    }
    // A connection that was lost is told by its owner; here only what Redis itself refuses is.
    if (this.connection.ready && this.refusedSince === undefined) {
      this.refusedSince = performance.now();
      this.options.emit({ type: 'stream-refused', stream: this.options.stream, operation: 'read', error });
    }
  }

  private setMode(mode: StreamReaderMode): void {
    if (this.currentMode !== mode) {
      this.currentMode = mode;
      this.tellWaiters();
      this.options.onProgress();
    }
  }

  /** Resolves to true when something was delivered or the mode changed, to false after `timeout` milliseconds. */
  private nextProgress(timeout: number): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (progressed: boolean): void => {
        clearTimeout(timer);
        this.waiters.delete(waiter);
        resolve(progressed);
      };
      const waiter = (): void => settle(true);
      const timer = setTimeout(settle, timeout, false);
      this.waiters.add(waiter);
    });
  }

  private tellWaiters(): void {
    for (const waiter of [...this.waiters]) {
      waiter();
    }
  }
}
