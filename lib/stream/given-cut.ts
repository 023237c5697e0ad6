import { encodeOffset, type Cut } from '../wire/cut.js';
import type { LogEntry, Origin } from '../wire/entry.js';
import { STREAM_START } from '../wire/stream-id.js';
import type { Lane } from './lane.js';
import type { ReadProgress } from './read-progress.js';

/** Milliseconds for which a failover may have left nodes at two servers. */
const MARKED_MS = 60_000;

/** What a client of this node has that was given everything. */
export class GivenCut {
  /** {@link offset}, until something changes. */
  private knownOffset: string | undefined;
  /** Until when offsets say which entry is at their position, by the clock of `performance`. */
  private markedUntil = -Infinity;

  /**
   * @param atOnce - the lane of the entries that are delivered here at once
   * @param progress - how far the others were delivered
   */
  constructor(
    private readonly atOnce: Pick<Lane, 'node' | 'taken' | 'isDone'>,
    private readonly progress: Pick<ReadProgress, 'position' | 'origin' | 'formerNumbers'>,
  ) {}

  /**
   * There may be two histories now, with different entries of the same id: for some time, offsets say which one is meant. Not
   * always, for a plain id is shorter, and all that nodes of the reference take.
   */
  mark(): void {
    this.markedUntil = performance.now() + MARKED_MS;
    this.knownOffset = undefined;
  }

  /** To be called when an entry was taken, dropped or read. */
  onChange(): void {
    this.knownOffset = undefined;
  }

  now(): Cut {
    const { node, taken, isDone } = this.atOnce;
    const { formerNumbers, position = STREAM_START } = this.progress;
    return {
      position,
      ahead: isDone ? formerNumbers : [...formerNumbers.filter((one) => one.node !== node), { node, seq: taken }],
    };
  }

  /** {@link now}, as a client keeps it. */
  readonly offset = (): string =>
    (this.knownOffset ??= encodeOffset({ ...this.now(), ...this.markOf(this.progress.origin) }));

  /** The offset that goes with an entry while it is delivered. */
  readonly offsetAt = (entry: LogEntry): string => {
    const marked = this.markOf(entry.origin);
    const isPosition = this.atOnce.isDone && this.progress.formerNumbers.length === 0 && !marked;
    return isPosition ? entry.id : encodeOffset({ ...this.now(), position: entry.id, ...marked });
  };

  /** What is said of the entry at the position now; undefined: nothing. */
  private markOf(mark: Origin | undefined): Pick<Cut, 'mark'> | undefined {
    return mark && this.markedUntil > 0 && performance.now() < this.markedUntil ? { mark } : undefined;
  }
}
