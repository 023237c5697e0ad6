import { setTimeout as sleep } from 'node:timers/promises';
import { Backoff } from '../redis/backoff.js';
import type { LogEntry, Origin } from '../wire/entry.js';
import type { StreamId } from '../wire/stream-id.js';
import type { EntryTarget } from './delivery-queue.js';
import type { StreamEvent } from './events.js';
import type { Announcement, GapDetector } from './gap-detector.js';
import type { OwnLanes } from './own-lanes.js';
import type { ReadProgress } from './read-progress.js';
import type { OlderEntries } from './replay-log.js';
import { ReportedKinds } from './reported-kinds.js';
import { lastBefore } from './resent-entry.js';

/** What admitted entries are handed to. */
export interface AdmittedTarget extends Pick<EntryTarget, 'before'> {
  /**
   * Given each entry once, in the order of the log, right before it is delivered; and an entry that is not delivered: one
   * with a problem, and one that was delivered in a history which was replaced and has been sent again, for its publisher
   * had no answer. Returns whether it is this node's own.
   */
  onRead(entry: LogEntry): boolean;
  /** @param own - what {@link onRead} has returned */
  deliver(entry: LogEntry, own: boolean): void;
}

export interface EntryAdmissionOptions {
  stream: string;
  /** The numberings of this node's own entries. */
  lanes: OwnLanes;
  /** The stream, read backwards on another connection. */
  older: OlderEntries;
  emit(event: StreamEvent): void;
  /**
   * What was delivered up to `position` is not the whole: reading begins there, or entries were missed, or the history
   * was replaced. Entries before the one with the id `lostUpTo` may have been lost.
   */
  onBroken(position: StreamId, lostUpTo: StreamId): void;
  /** Called when own entries are known to be lost: whoever waits for them need not wait longer. */
  onProgress(): void;
}

/**
 * What stands between the delivery queue and the delivery: each entry whose turn has come is passed over if it is there twice
 * or cannot be understood, and what is missing before it is reported.
 */
export class EntryAdmission implements EntryTarget {
  /** Totals since the start. */
  readonly counters = { read: 0, duplicates: 0, lost: 0, rejected: 0 };
  /** Why entries were rejected. */
  private readonly reasons = new ReportedKinds();
  /** Ends the search for the first copy of an entry. */
  private readonly stopping = new AbortController();

  /**
   * @param gaps - asked of each entry
   * @param progress - moved on with each entry
   * @param target - what is admitted is handed to it
   */
  constructor(
    private readonly gaps: GapDetector,
    private readonly progress: ReadProgress,
    private readonly target: AdmittedTarget,
    private readonly options: EntryAdmissionOptions,
  ) {}

  /** Reading begins after these entries, the latest of the stream, oldest first. */
  skip(latest: readonly LogEntry[]): void {
    for (const { origin, id } of latest) {
      if (origin) {
        this.gaps.skipTo(origin, id);
      }
    }
  }

  /** The history is replaced by another that is the same up to a position. */
  restart(position: StreamId): void {
    this.gaps.restart(position);
  }

  /** What must come before an entry is delivered, if anything. */
  before(entry: LogEntry): Promise<void> | undefined {
    const { origin, isResent } = entry;
    if (isResent && origin && !this.gaps.knows(origin.node)) {
      return this.lookBack(origin, entry.id);
    }
    return this.target.before(entry);
  }

  deliver(entry: LogEntry): void {
    const { origin } = entry;
    this.counters.read++;
    if (origin && !this.admit(origin, entry)) {
      return;
    }
    this.moveTo(entry);
    const own = this.target.onRead(entry);
    if (entry.problem === undefined) {
      this.target.deliver(entry, own);
    } else {
      this.reject(entry.id, entry.problem);
    }
  }

  private moveTo({ id, origin }: LogEntry): void {
    this.progress.position = id;
    this.progress.origin = origin;
  }

  /** Reports what is missing before an entry. Returns false if it is there twice. */
  private admit(origin: Origin, entry: LogEntry): boolean {
    const isRepeated = this.gaps.isRepeated(origin);
    const { duplicate, lost, dropped } = this.gaps.admit(origin, entry.prev, entry.id);
    if (duplicate) {
      this.counters.duplicates++;
      if (isRepeated) {
        this.moveTo(entry);
        this.target.onRead(entry);
      }
      return false;
    }
    if (lost > 0) {
      this.reportLost(origin.node, lost, entry.id);
    }
    if (dropped > 0) {
      this.emitGap('dropped', origin.node, dropped, entry.id); // nobody has them: what was read is still the whole
    }
    return true;
  }

  /** Counts an entry that was passed over; the first for each reason is an event. */
  reject(id: StreamId, reason: string): void {
    this.counters.rejected++;
    if (this.reasons.isFirst(reason)) {
      this.options.emit({ type: 'entry-rejected', stream: this.options.stream, id, reason });
    }
  }

  /**
   * A node says that it appended its entry number `seq` with this id; 0 if it has appended nothing. Returns whether it has to
   * be found out now whether the stream is still the one that is read: see {@link unverified}.
   */
  announce(node: string, seq: number, id: StreamId): boolean {
    if (seq > 0) {
      return this.gaps.announce(node, seq, id);
    }
    if (this.progress.isOpen && !this.gaps.knows(node)) {
      this.gaps.skipTo({ node, seq }); // all that it appends comes after our position
    }
    return false;
  }

  /** What is announced now, to be handed to {@link markVerified} when the stream was found to be the one that is read. */
  unverified(): readonly Announcement[] {
    return this.gaps.unverified();
  }

  markVerified(announcements: readonly Announcement[]): void {
    this.gaps.markVerified(announcements);
  }

  /**
   * Looks for announced entries that will not come.
   *
   * @param isIdle - whether a read has brought nothing, and nothing that was read waits to be delivered
   */
  findMissing(isIdle: boolean): void {
    for (const { node, seq, id, lost } of this.gaps.takeMissing(this.progress.position, isIdle)) {
      if (lost > 0) {
        this.reportLost(node, lost, id);
      }
      const own = this.options.lanes.of(node);
      if (own) {
        own.readUpTo(seq);
        this.options.onProgress();
      }
    }
  }

  /** Nothing more is looked for. */
  stop(): void {
    this.stopping.abort();
  }

  /** Finds out whether an entry that was sent again, by a publisher of which nothing is known, is in the stream twice. */
  private async lookBack(origin: Origin, id: StreamId): Promise<void> {
    const { signal } = this.stopping;
    const backoff = new Backoff();
    const pause = (): Promise<void> => sleep(backoff.next(), undefined, { signal }).catch(() => undefined);
    const before = await lastBefore(origin, id, this.options.older, pause, signal);
    if (before) {
      this.gaps.skipTo(before, id);
    }
  }

  private reportLost(origin: string, lost: number, before: StreamId): void {
    this.options.onBroken(this.progress.position!, before); // ids may follow each other without a gap
    if (origin !== this.options.lanes.atOnce.node) {
      this.counters.lost += lost;
      this.emitGap('lost', origin, lost, before);
    } // own clients were given them; the other nodes report what theirs lack
  }

  private emitGap(reason: 'lost' | 'dropped', origin: string, lost: number, before: StreamId): void {
    this.options.emit({ type: 'gap', stream: this.options.stream, reason, lost, origin, before });
  }
}
