import type { Lane } from './lane.js';

/** Milliseconds for which entries wait for a read that is late, at most; then they leave by themselves. */
const LATE_READ_MS = 2;

export interface PiggybackOptions {
  /** The lane of most own entries. */
  readonly lane: Pick<Lane, 'taken' | 'seen'>;
  /** Whether both connections can be used. */
  readonly areReady: () => boolean;
  /** In how many milliseconds the next read will be sent; undefined if that is not known, or is not soon. */
  readonly nextReadIn: (now: number) => number | undefined;
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
  /** The number of the last entry that was taken before one of the connections was made. */
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
  holdMs(now: number): number | undefined {
    const ms = this.isPossible ? this.options.nextReadIn(now) : undefined;
    return ms === undefined ? undefined : Math.ceil(ms) + LATE_READ_MS;
  }
}
