import { setTimeout as sleep } from 'node:timers/promises';
import { compareStreamIds, later, STREAM_START, type StreamId } from '../wire/stream-id.js';
import type { Continuity } from './continuity.js';
import type { ReadProgress } from './read-progress.js';

/** Milliseconds after which it is asked again, as long as the histories are two. */
const ASK_AGAIN_MS = 100;

export interface CommonHistoryOptions {
  /**
   * Asks, where commands are executed, whether the log there is the one that was read here up to a position. Rejects if it cannot be
   * asked.
   */
  check: Continuity['check'];
  /** Called when it is not: the reader has to go where the commands go. */
  onApart(): void;
}

/**
 * Whether the log that is read here is the one on which commands are executed. After a failover, one connection may be at the
 * new master while another is still at the old one, which goes on with a history of its own until it hears of that. What Redis
 * says of a client then, and what this node would give it, do not go together.
 */
export class CommonHistory {
  /** Up to here it is the same. */
  private confirmedUpTo: StreamId = STREAM_START;
  /** How often that has become void. */
  private changes = 0;
  /** The question that is under way. */
  private asking: Promise<void> | undefined;

  constructor(
    private readonly progress: Pick<ReadProgress, 'fetched'>,
    private readonly options: CommonHistoryOptions,
  ) {}

  /** Commands go another way from now on, or another history is read: nothing is known any more. */
  reset(): void {
    this.changes++;
    this.confirmedUpTo = STREAM_START;
  }

  /**
   * Resolves to whether it is the same up to a position, which has been read, within `timeout` milliseconds. It is not asked
   * where that is known from before.
   */
  async whenSharedUpTo(position: StreamId, timeout: number): Promise<boolean> {
    const until = performance.now() + timeout;
    while (!(await this.isSharedUpTo(position))) {
      if (performance.now() > until) {
        return false;
      }
      await sleep(ASK_AGAIN_MS);
    }
    return true;
  }

  /** Resolves to whether it is the same up to what was read last, as far as that can be known now. It never rejects. */
  isShared(): Promise<boolean> {
    return this.isSharedUpTo(this.progress.fetched ?? STREAM_START);
  }

  private async isSharedUpTo(position: StreamId): Promise<boolean> {
    if (!this.isConfirmed(position)) {
      await this.ask();
    }
    return this.isConfirmed(position);
  }

  private isConfirmed(position: StreamId): boolean {
    return compareStreamIds(position, this.confirmedUpTo) <= 0;
  }

  private ask(): Promise<void> {
    this.asking ??= this.askNow().finally(() => (this.asking = undefined));
    return this.asking;
  }

  private async askNow(): Promise<void> {
    const { changes } = this;
    const { fetched } = this.progress;
    const answer = fetched && (await this.options.check(fetched).catch(() => undefined));
    if (!answer || this.changes !== changes) {
      return; // it is of before
    }
    if (answer.outcome === 'replaced') {
      this.options.onApart();
    } else {
      this.confirmedUpTo = later(this.confirmedUpTo, fetched);
    }
  }
}
