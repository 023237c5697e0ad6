import { sizeOfData, type LogEntry } from '../wire/entry.js';
import { Fifo } from '../queue/fifo.js';

/** How many entries and bytes may be fetched ahead of their delivery. */
const MAX_AHEAD_ENTRIES = 50_000;
const MAX_AHEAD_BYTES = 64 * 1024 * 1024;
/** Milliseconds for which entries are delivered before others get their turn in the event loop. */
const DELIVERY_SLICE_MS = 8;

/** What entries are delivered to. */
export interface EntryTarget {
  /** Asked before an entry is delivered; the delivery, and all after it, waits for the promise, which never rejects. */
  before(entry: LogEntry): Promise<void> | undefined;
  deliver(entry: LogEntry): void;
}

/** Local work that has its place among the entries. */
export interface DueWork {
  /** Whether there is work to be done before the next entry is delivered. */
  readonly isDue: boolean;
  /** Does one piece of it. It never throws. */
  doNext(): void;
}

/**
 * The entries that were fetched and wait to be delivered, in order, in slices of the event loop.
 *
 * Modes, and what leads out of each:
 * - idle: nothing waits. Entries and local work lead to `delivering`.
 * - delivering: a slice is under way, or the next is scheduled. It ends in `idle`, or in:
 * - waiting: the next entry must not be delivered before something else has come. That leads back to `delivering`; local
 *   work that becomes due meanwhile waits too, for it comes after entries that wait.
 * - closed: what waits is not delivered any more.
 */
export class DeliveryQueue {
  /** See above. */
  private mode: 'idle' | 'delivering' | 'waiting' | 'closed' = 'idle';
  /** What waits. */
  private readonly entries = new Fifo<LogEntry>();
  /** About how many bytes they take. */
  private byteCount = 0;
  /** The entry whose waiting is over. */
  private cleared: LogEntry | undefined;

  /** @param onProgress - called after each slice */
  constructor(
    private readonly target: EntryTarget,
    private readonly work: DueWork,
    private readonly onProgress: () => void,
  ) {}

  get length(): number {
    return this.entries.length;
  }

  get isIdle(): boolean {
    return this.mode === 'idle' || this.mode === 'closed';
  }

  /** Whether as much waits as may be fetched ahead. */
  get isFull(): boolean {
    return this.length >= MAX_AHEAD_ENTRIES || this.byteCount >= MAX_AHEAD_BYTES;
  }

  get oldest(): LogEntry | undefined {
    return this.entries.peek();
  }

  push(entries: readonly LogEntry[]): void {
    for (const entry of entries) {
      this.entries.push(entry);
      this.byteCount += sizeOfData(entry);
    }
    this.resume();
  }

  /** To be called when local work has become due. */
  resume(): void {
    if (this.mode === 'idle') {
      this.mode = 'delivering';
      this.slice();
    }
  }

  close(): void {
    this.mode = 'closed';
    this.entries.clear();
    this.byteCount = 0;
  }

  private readonly slice = (): void => {
    if (this.mode !== 'delivering') {
      return;
    }
    const until = performance.now() + DELIVERY_SLICE_MS;
    let isLate = false;
    for (let n = 1; !isLate && this.step(); n++) {
      isLate = n % 16 === 0 && performance.now() > until;
    }
    if (isLate) {
      setImmediate(this.slice);
    } else if (this.isDelivering) {
      this.mode = 'idle';
    }
    this.onProgress();
  };

  /** Does the next thing. Returns whether there was one. */
  private step(): boolean {
    const { target, work } = this;
    if (!this.isDelivering) {
      return false; // closed by a listener
    }
    if (work.isDue) {
      work.doNext();
      return true;
    }
    const entry = this.entries.peek();
    if (!entry) {
      return false;
    }
    const wait = this.cleared === entry ? undefined : target.before(entry);
    if (wait) {
      this.mode = 'waiting';
      void wait.then(() => this.onCleared(entry));
      return false;
    }
    this.cleared = undefined;
    this.entries.shift();
    this.byteCount -= sizeOfData(entry);
    target.deliver(entry);
    return true;
  }

  private onCleared(entry: LogEntry): void {
    if (this.mode === 'waiting') {
      this.cleared = entry;
      this.mode = 'delivering';
      this.slice();
    }
  }

  private get isDelivering(): boolean {
    return this.mode === 'delivering';
  }
}
