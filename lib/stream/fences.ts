import { Fifo } from '../queue/fifo.js';
import type { DueWork } from './delivery-queue.js';
import type { Lane } from './lane.js';
import type { OutboxLimits } from './outbox.js';

interface Fence {
  /** All entries of the lane up to this one come before it. */
  readonly seq: number;
  readonly run: () => void;
  readonly bytes: number;
}

/** Local work that waits until this node has delivered its own entries that were taken before it. */
export class Fences implements DueWork {
  private readonly waiting = new Fifo<Fence>();
  /** About how many bytes it takes. */
  private byteCount = 0;

  constructor(
    private readonly lane: Lane,
    private readonly limits: OutboxLimits,
  ) {}

  get length(): number {
    return this.waiting.length;
  }

  get bytes(): number {
    return this.byteCount;
  }

  /**
   * Adds work. Returns how many of the oldest were dropped because there were too many.
   *
   * @param otherBytes - bytes that wait elsewhere and count for the same bound
   */
  push(run: () => void, bytes: number, otherBytes: number): number {
    const size = bytes + 512;
    this.waiting.push({ seq: this.lane.taken, run, bytes: size });
    this.byteCount += size;
    let dropped = 0;
    const { maxEntries, maxBytes } = this.limits;
    while (this.length > maxEntries || (this.length > 0 && this.byteCount + otherBytes > maxBytes)) {
      this.shift();
      dropped++;
    }
    return dropped;
  }

  /** Whether there is work whose turn has come. */
  get isDue(): boolean {
    const next = this.waiting.peek();
    return next !== undefined && this.lane.isDoneUpTo(next.seq);
  }

  /** The next work, whether its turn has come or not. */
  shift(): (() => void) | undefined {
    const next = this.waiting.shift();
    this.byteCount -= next?.bytes ?? 0;
    return next?.run;
  }

  /** Does the next work, whether its turn has come or not. */
  doNext(): void {
    try {
      this.shift()?.();
    } catch (error) {
      queueMicrotask(() => {
        throw error; // as from any listener of the application
      });
    }
  }
}
