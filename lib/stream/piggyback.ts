import type { Lane } from './lane.js';

export interface PiggybackOptions {
  /** The lane of most own entries. */
  readonly lane: Pick<Lane, 'taken' | 'seen'>;
  /** Milliseconds for which entries are delayed at most. */
  readonly maxHoldMs: number;
  /** Whether both connections can be used. */
  readonly areReady: () => boolean;
  /** Whether the reader will soon send a read. */
  readonly isReadComing: () => boolean;
}

/**
 * Whether entries are to be appended on the connection that reads, right before its next read: both leave in one write then,
 * and their replies come in one piece. While entries come fast, that is most of what a message costs.
 *
 * Both connections must lead to one server. After a failover, one may be at the new master while the other is still at the
 * old one, which acknowledges what will be lost. An own entry that was taken after both were made, and so was sent on the
 * connection of commands, and was read, shows that they do.
 */
export class Piggyback {
  /** The number of the last entry that was taken before the later of the two connections was made. */
  private takenBefore = 0;

  constructor(private readonly options: PiggybackOptions) {}

  /** To be called when a connection is made: it may lead to another server. */
  onConnected(): void {
    this.takenBefore = this.options.lane.taken;
  }

  /** Whether entries may leave with a read. */
  get isPossible(): boolean {
    const { lane, areReady } = this.options;
    return lane.seen > this.takenBefore && areReady();
  }

  /** For how many milliseconds entries wait for the next read, at most; undefined: they do not wait for it. */
  get holdMs(): number | undefined {
    return this.isPossible && this.options.isReadComing() ? this.options.maxHoldMs : undefined;
  }
}
