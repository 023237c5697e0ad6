/**
 * What a node or an emitter calls so that it is measured and traced. Nothing of it is called for each entry but `inject` and
 * `process`, and those only where it traces.
 *
 * @publicApi
 */
export interface TelemetryRecorder {
  /** A batch of entries was sent to Redis. `error`: why it failed, if it did; it is tried again. */
  onSent(stream: string, seconds: number, error?: Error): void;
  /** Entries were delivered. `seconds`: the age of the last of them, by the clock of Redis and this process's. */
  onDelivered(stream: string, seconds: number): void;
  /**
   * Absent if nothing is traced. Called where the application emits, in its asynchronous context: what is to be carried with
   * the message; undefined: nothing.
   */
  inject?(destination: string): string | undefined;
  /** Absent if nothing is traced. Calls `run`, which delivers a message here, with what was carried with it. */
  process?(destination: string, carried: string | undefined, run: () => void): void;
  /** The node or emitter is closed. */
  close(): void;
}

/** The longest text that is carried with a message, in characters. */
export const MAX_CARRIED = 4_096;
