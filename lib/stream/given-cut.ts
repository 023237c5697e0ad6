import { encodeOffset, type Cut } from '../wire/cut.js';
import type { LogEntry } from '../wire/entry.js';
import { STREAM_START } from '../wire/stream-id.js';
import type { Lane } from './lane.js';
import type { ReadProgress } from './read-progress.js';

/** What a client of this node has that was given everything. */
export class GivenCut {
  /** {@link offset}, until something changes. */
  private knownOffset: string | undefined;

  /**
   * @param atOnce - the lane of the entries that are delivered here at once
   * @param progress - how far the others were delivered
   */
  constructor(
    private readonly atOnce: Pick<Lane, 'node' | 'taken' | 'isDone'>,
    private readonly progress: Pick<ReadProgress, 'position' | 'formerNumbers'>,
  ) {}

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
  readonly offset = (): string => (this.knownOffset ??= encodeOffset(this.now()));

  /** The offset that goes with an entry while it is delivered. */
  readonly offsetAt = (entry: LogEntry): string => {
    const isPosition = this.atOnce.isDone && this.progress.formerNumbers.length === 0;
    return isPosition ? entry.id : encodeOffset({ ...this.now(), position: entry.id });
  };
}
