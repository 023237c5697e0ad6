import type { StreamId } from '../wire/stream-id.js';

/** A stream, as far as it is known how far this node has come in it. */
interface ReadLog {
  readonly position: StreamId | undefined;
}

/**
 * A time in which this node does not hear what others ask, from when its subscriptions are lost until it has asked Redis
 * which sessions others have claimed meanwhile. It may go on reading the streams.
 */
export class Deafness {
  /** How far each stream was read when it began; empty while there is none. */
  private readonly positions = new Map<ReadLog, StreamId>();

  /** The subscriptions are lost. If they were before, that is when it has begun. */
  begin(logs: readonly ReadLog[]): void {
    for (const log of logs) {
      if (log.position !== undefined && !this.positions.has(log)) {
        this.positions.set(log, log.position);
      }
    }
  }

  /** Redis has been asked, and the subscriptions are there. */
  end(): void {
    this.positions.clear();
  }

  /** How far a stream was read when it began; undefined if this node hears. */
  positionOf(log: ReadLog): StreamId | undefined {
    return this.positions.get(log);
  }
}
