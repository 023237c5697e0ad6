import { Signal } from '../time/signal.js';
import { isInCut, type Cut } from '../wire/cut.js';
import type { Origin } from '../wire/entry.js';
import { compareStreamIds, type StreamId } from '../wire/stream-id.js';
import type { GapDetector } from './gap-detector.js';

/** See the head of {@link StreamReader}. */
export type StreamReaderMode = 'opening' | 'following' | 'catching-up' | 'waiting' | 'stopped';

/** Milliseconds after which former numbers are looked at again, even if nothing was delivered: they expire. */
const LOOK_AGAIN_MS = 1_000;

/**
 * How far this node has come in a stream, and the waits for more. The {@link StreamReader} and the {@link EntryAdmission} move
 * it on; everybody else only asks.
 */
export class ReadProgress {
  /** Of the reader, which alone changes it. */
  mode: StreamReaderMode = 'opening';
  /** The id of the last entry that was fetched; undefined while opening. */
  fetched: StreamId | undefined;
  /** The id of the last entry that was delivered, or at which reading began; undefined while opening. */
  position: StreamId | undefined;
  /** Who appended the entry at the position, if it was delivered and says so. */
  origin: Origin | undefined;
  /** Notified after a delivery, and when the mode changes. */
  readonly changed = new Signal();

  /** @param gaps - knows the numbers of the entries that were delivered */
  constructor(private readonly gaps: GapDetector) {}

  /** Whether it is known where reading began. */
  get isOpen(): boolean {
    return this.position !== undefined;
  }

  get isReading(): boolean {
    return this.mode === 'following' || this.mode === 'catching-up';
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

  /** Resolves to whether entries are being read within `timeout` milliseconds. */
  whenReading(timeout: number): Promise<boolean> {
    return this.when(
      () => this.isReading,
      timeout,
      () => this.mode === 'stopped',
    );
  }

  /** Resolves to whether the entry with this id, and all before it, are delivered within `timeout` milliseconds. */
  whenDelivered(id: StreamId, timeout: number): Promise<boolean> {
    const isDelivered = (): boolean => this.position !== undefined && compareStreamIds(this.position, id) >= 0;
    return this.when(isDelivered, timeout, () => this.mode === 'stopped');
  }

  /**
   * Resolves to whether the entry number `seq` of a publisher is delivered within `timeout` milliseconds; to false at once
   * if nothing is being read.
   */
  whenPublisherDelivered(node: string, seq: number, timeout: number): Promise<boolean> {
    return this.when(
      () => this.lastOf(node) >= seq,
      timeout,
      () => !this.isReading,
    );
  }

  /**
   * Resolves to whether, within `timeout` milliseconds, all {@link formerNumbers} are in a cut: who has that, and is given
   * what this node delivers after it, misses nothing.
   */
  whenFormerIn(cut: Cut, timeout: number): Promise<boolean> {
    const isIn = (): boolean => this.formerNumbers.every((origin) => isInCut({ origin }, cut));
    return this.when(isIn, timeout, () => this.mode === 'stopped', LOOK_AGAIN_MS);
  }

  /**
   * Resolves to whether something becomes true within `timeout` milliseconds; to false at once if it cannot any more.
   *
   * @param lookAgainMs - after how many milliseconds it is looked at again, even if nothing was delivered
   */
  private async when(
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
      await this.changed.wait(Math.min(left, lookAgainMs));
    }
    return true;
  }
}
