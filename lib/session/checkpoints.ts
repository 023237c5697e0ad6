import { setImmediate as nextTurn } from 'node:timers/promises';
import { isTooLarge } from '../redis/size-refusal.js';
import type { PendingWrites } from './pending-writes.js';
import type { SessionClaim } from './session-claim.js';
import { fingerprint, type SessionEncoder } from './session-encoder.js';
import { SessionTooLargeError } from './session-too-large-error.js';
import type { SessionRecords } from './session-records.js';

/** Milliseconds from one write of changed sessions to the next. */
const INTERVAL_MS = 50;
/** How many sessions are written before others get their turn in the event loop. */
const MAX_WRITTEN_AT_ONCE = 200;
/** Characters of the sessions that are written with one command, but for a single one. */
const BATCH_CHARACTERS = 256 * 1024;
/** How many sessions are compared with what was written of them before others get their turn. */
const MAX_COMPARED_AT_ONCE = 50;

export interface CheckpointsOptions {
  /** Whether sessions are written while their client is connected. */
  isEnabled: boolean;
  /** The claims of this node, by private session id. */
  claims: ReadonlyMap<string, SessionClaim>;
  records: Pick<SessionRecords, 'writeLive' | 'removeLive' | 'dropCopy'>;
  encoder: Pick<SessionEncoder, 'encode'>;
  writes: Pick<PendingWrites, 'add'>;
}

/**
 * Writes the sessions of connected clients when they have changed, so that they survive a crash: many with one command, at
 * most every {@link INTERVAL_MS} milliseconds.
 */
export class Checkpoints {
  /** Held sessions that are to be written. */
  private readonly changed = new Set<SessionClaim>();
  /** Runs while a write is due. */
  private timer: NodeJS.Timeout | undefined;
  /** When all that had changed was written last, by the stopwatch of this process. */
  private writtenAt = 0;
  /** Whether data are being compared. */
  private isComparing = false;
  /** Set by `close`: nothing is written any more. */
  private isClosed = false;

  constructor(private readonly options: CheckpointsOptions) {}

  /** A session has changed, or Redis may have lost it. */
  add(claim: SessionClaim): void {
    if (this.options.isEnabled && !this.isClosed) {
      this.changed.add(claim);
      this.schedule();
    }
  }

  /** A session is not to be written any more. What is being written of it cannot be stopped. */
  delete(claim: SessionClaim): void {
    this.changed.delete(claim);
  }

  /** To be called when Redis can be used again. */
  resume(): void {
    if (this.changed.size > 0) {
      this.schedule();
    }
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.timer);
  }

  /** Nothing says when an app changes `socket.data`, so from time to time it is compared with what was written. */
  async touchChanged(): Promise<void> {
    if (this.isComparing) {
      return;
    }
    this.isComparing = true;
    let compared = 0;
    try {
      for (const claim of this.options.claims.values()) {
        if (fingerprint(claim.data) !== claim.written) {
          claim.touch();
        }
        if (++compared % MAX_COMPARED_AT_ONCE === 0) {
          await nextTurn();
        }
      }
    } finally {
      this.isComparing = false;
    }
  }

  /** Writes the session of a connected client at once. Rejects if that fails. */
  async writeNow(claim: SessionClaim): Promise<void> {
    const encoded = this.options.isEnabled ? this.encode(claim) : undefined;
    if (encoded !== undefined) {
      this.changed.delete(claim);
      await this.write(new Map([[claim, encoded]]));
    }
  }

  /** Writes the sessions of connected clients now, as {@link add} does it later. Resolves also if that fails. */
  async writeAll(claims: readonly SessionClaim[]): Promise<void> {
    for (let i = 0; i < claims.length && this.options.isEnabled && !this.isClosed; i += MAX_WRITTEN_AT_ONCE) {
      const written = this.writeThese(claims.slice(i, i + MAX_WRITTEN_AT_ONCE).filter(({ mode }) => mode === 'held'));
      await Promise.allSettled(written);
    }
  }

  private schedule(): void {
    const due = this.writtenAt + INTERVAL_MS - performance.now();
    this.timer ??= setTimeout(() => this.writeChanged(), Math.max(0, due)).unref();
  }

  private writeChanged(): void {
    this.timer = undefined;
    void this.writeThese(this.changed);
    if (this.changed.size > 0) {
      this.timer = setTimeout(() => this.writeChanged(), 0).unref(); // the others have a turn in between
    } else {
      this.writtenAt = performance.now();
    }
  }

  /** Writes as many of these as can be written at once. */
  private writeThese(claims: Iterable<SessionClaim>): Promise<void>[] {
    const sessions = new Map<SessionClaim, string>();
    for (const claim of claims) {
      this.changed.delete(claim);
      if (claim.isConfirmed) {
        const encoded = this.encode(claim);
        if (encoded !== undefined) {
          sessions.set(claim, encoded);
        }
      } // else it is written when it is
      if (sessions.size === MAX_WRITTEN_AT_ONCE) {
        break;
      }
    }
    return inBatches(sessions).map((batch) => {
      const written = this.write(batch);
      this.options.writes.add('checkpoint', written);
      return written;
    });
  }

  private async write(sessions: Sessions): Promise<void> {
    const { records, claims, writes } = this.options;
    try {
      await records.writeLive(new Map([...sessions].map(([{ pid }, encoded]) => [pid, encoded])));
    } catch (error) {
      if (sessions.size > 1 && isTooLarge(error as Error)) {
        await Promise.all(inHalves(sessions).map((half) => this.write(half)));
        return;
      }
      throw this.onUnwritten(sessions, error as Error);
    }
    for (const claim of sessions.keys()) {
      claim.isRecorded = true;
      if (claims.get(claim.pid) !== claim) {
        if (!claims.has(claim.pid)) {
          writes.add('save', records.removeLive(claim.pid)); // it was released while it was being written
        }
      } else {
        this.dropCopy(claim);
      }
    }
  }

  /** The claim in Redis need not contain the session any more. */
  dropCopy(claim: SessionClaim): void {
    if (claim.isConfirmed && !claim.isCopyDropped && claim.mode === 'held') {
      const { records, writes } = this.options;
      claim.isCopyDropped = true;
      const dropped = records.dropCopy(claim.pid, claim.nsp, claim.epoch);
      writes.add('checkpoint', dropped);
      dropped.catch(() => (claim.isCopyDropped = false));
    }
  }

  /** Returns what is to be reported. */
  private onUnwritten(sessions: Sessions, error: Error): Error {
    for (const [claim, { length }] of sessions) {
      if (sessions.size === 1) {
        claim.onUnwritten(length, error);
      }
      if (claim.isTooLarge(length)) {
        this.removeWritten(claim);
        return new SessionTooLargeError(length, error);
      }
      claim.written = undefined;
      if (claim.mode === 'held') {
        this.changed.add(claim); // written with the next ones, at the latest when Redis is back
      }
    }
    return error;
  }

  private encode(claim: SessionClaim): string | undefined {
    claim.written = fingerprint(claim.data);
    const encoded = this.options.encoder.encode('checkpoint', claim);
    if (encoded === undefined) {
      this.removeWritten(claim);
    }
    return encoded;
  }

  /** What is written of a session is not the session any more, and it cannot be written. */
  private removeWritten(claim: SessionClaim): void {
    const { records, writes } = this.options;
    claim.isRecorded = false;
    writes.add('checkpoint', records.removeLive(claim.pid));
  }
}

type Sessions = ReadonlyMap<SessionClaim, string>;

/** A session that is large has a batch of its own: should it be refused, no other is. */
function inBatches(sessions: Sessions): Sessions[] {
  const batches: Map<SessionClaim, string>[] = [];
  let left = 0;
  for (const [claim, encoded] of sessions) {
    if (encoded.length > left) {
      batches.push(new Map());
      left = BATCH_CHARACTERS;
    }
    batches.at(-1)!.set(claim, encoded);
    left -= encoded.length;
  }
  return batches;
}

function inHalves(sessions: Sessions): Sessions[] {
  const all = [...sessions];
  const middle = Math.ceil(all.length / 2);
  return [new Map(all.slice(0, middle)), new Map(all.slice(middle))];
}
