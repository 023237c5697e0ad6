import { performance } from 'node:perf_hooks';
import type { FormerClaims } from './former-claims.js';
import { isClaimLost, standingOf } from './ownership.js';
import type { PendingWrites } from './pending-writes.js';
import type { SessionClaim } from './session-claim.js';
import type { SessionEncoder } from './session-encoder.js';
import type { SessionRecords } from './session-records.js';

/** Milliseconds from one look at which records there are to the next, as long as their number is not as it should be. */
const LOOK_INTERVAL_MS = 10_000;
/** How many sessions are verified before others get their turn. */
const MAX_AT_ONCE = 50;

export interface SessionVerificationOptions {
  nodeId: string;
  /** The claims of this node, by private session id. */
  claims: ReadonlyMap<string, SessionClaim>;
  former: Pick<FormerClaims, 'hasYielded' | 'ofThoseWhoLeft'>;
  records: Pick<SessionRecords, 'hasLive' | 'live' | 'removeLive' | 'claimsOf' | 'claim' | 'store'>;
  encoder: Pick<SessionEncoder, 'encode'>;
  writes: Pick<PendingWrites, 'add'>;
  /** Whether commands can be sent. */
  isReady(): boolean;
  /** Called with a claim whose session another node has claimed. */
  yield(claim: SessionClaim): void;
  /** Deletes what Redis has of a session that is over. */
  endSession(claim: SessionClaim): Promise<void>;
  /** Writes the sessions of connected clients now. */
  writeAll(claims: readonly SessionClaim[]): Promise<void>;
  /** Resolves when what is being written of clients that are gone is written, or cannot be. */
  whenFinished(): Promise<void>;
}

/**
 * Asks Redis which sessions are still this node's, after a time in which others may have claimed them, or Redis may have
 * lost what was written of them.
 */
export class SessionVerification {
  /** The verification under way. */
  private verifying: Promise<boolean> | undefined;
  /** Whether another is due after it. */
  private isDue = false;
  /** How often Redis was lost, and so may have an earlier state of all sessions, after a failover. */
  private losses = 0;
  /** After how many of these all was written again. */
  private written = 0;
  /** When a number of records was looked into last, by the stopwatch of this process. */
  private lookedAt = -Infinity;

  constructor(private readonly options: SessionVerificationOptions) {}

  /** The next verification writes all sessions again. */
  scheduleWriting(): void {
    this.losses++;
  }

  /** Whether all is verified, and written again what Redis may have lost. */
  get isDone(): boolean {
    return this.verifying === undefined && this.isWritten;
  }

  /** Resolves when what Redis may have lost is written again, or could not be; at once if that is not under way. */
  async whenWritten(): Promise<void> {
    if (!this.isWritten) {
      await this.verifying?.catch(() => undefined);
    }
  }

  /** To be called from time to time: what could not be written again is tried again. */
  async catchUp(): Promise<void> {
    if (!this.isWritten && this.options.isReady()) {
      await this.run().catch(() => undefined);
    }
  }

  private get isWritten(): boolean {
    return this.written === this.losses;
  }

  /**
   * Verifies all sessions. Rejects if Redis cannot be asked, and resolves to false if that was not even tried. Calls while one
   * is under way are one more, after it.
   */
  run(): Promise<boolean> {
    this.isDue = true;
    this.verifying ??= this.runWhileDue().finally(() => (this.verifying = undefined));
    return this.verifying;
  }

  /**
   * To be called from time to time. If there are more or fewer records than there should be, finds out which: what
   * was sent before a connection broke may be executed long after it, and so write or remove a record when nobody expects it.
   *
   * @param count - how many sessions Redis has of this node's connected clients
   */
  async onCount(count: number): Promise<void> {
    const now = performance.now();
    if (now - this.lookedAt < LOOK_INTERVAL_MS) {
      return;
    }
    const recorded = [...this.options.claims.values()].filter(({ isRecorded }) => isRecorded);
    if (count !== recorded.length) {
      this.lookedAt = now;
      await this.verifyRecords();
    }
  }

  /** Resolves to whether a session is still this node's, and claims it again if Redis has lost the claim. */
  async isOurs(claim: SessionClaim): Promise<boolean> {
    const { pid, nsp, epoch } = claim;
    const { nodeId, records, encoder } = this.options;
    const claims = await records.claimsOf(pid);
    let standing = standingOf(claims, epoch, nodeId);
    if (isClaimLost(claims, epoch, nodeId)) {
      claim.isCopyDropped = false;
      const encoded = encoder.encode('save', claim);
      standing = standingOf(await records.claim(pid, nsp, epoch, encoded), epoch, nodeId);
    }
    const isOurs = standing !== 'superseded';
    claim.isConfirmed ||= isOurs;
    return isOurs;
  }

  private async runWhileDue(): Promise<boolean> {
    while (this.isDue && this.options.isReady()) {
      this.isDue = false;
      const { losses, isWritten, options } = this;
      const held = [...options.claims.values()].filter(({ mode }) => mode === 'held');
      await inTurns(held, (claim) => this.verifyClaim(claim, !isWritten));
      if (!isWritten) {
        await options.writeAll(held.filter((claim) => options.claims.get(claim.pid) === claim));
        await inTurns(options.former.ofThoseWhoLeft, (claim) => this.writeAgain(claim));
        await options.whenFinished();
      }
      await this.verifyRecords();
      this.written = losses;
    }
    return !this.isDue;
  }

  /** A client has left: what was written of it then is written again, unless another node has claimed the session since. */
  private async writeAgain(claim: SessionClaim): Promise<void> {
    const { claims, records, encoder, writes } = this.options;
    const { pid } = claim;
    const isHere = (): boolean => claims.has(pid);
    if (isHere() || !(await this.isOurs(claim)) || isHere()) {
      return;
    }
    if (claim.isDiscarded) {
      await this.options.endSession(claim);
      return;
    }
    const lifetime = claim.until - performance.now();
    const encoded = encoder.encode('save', claim);
    if (encoded !== undefined && lifetime > 0) {
      const stored = records.store(claim, encoded, lifetime);
      writes.add('save', stored);
      await stored.catch(() => undefined); // is reported
    }
  }

  private async verifyClaim(claim: SessionClaim, isWritingDue: boolean): Promise<void> {
    if (claim.mode !== 'held') {
      return;
    }
    const wasConfirmed = claim.isConfirmed;
    const isOurs = await this.isOurs(claim);
    if (this.options.claims.get(claim.pid) !== claim) {
      return;
    }
    if (!isOurs) {
      this.options.yield(claim);
    } else if (!wasConfirmed || (isWritingDue && claim.written !== undefined)) {
      claim.touch();
    }
  }

  private async verifyRecords(): Promise<void> {
    const { records, claims, former, writes } = this.options;
    if (!records.hasLive) {
      return;
    }
    const wasWritten = [...claims.values()].filter(({ written }) => written !== undefined);
    const present = await records.live();
    for (const claim of wasWritten) {
      if (!present?.has(claim.pid)) {
        claim.touch(); // Redis has lost it
      }
    }
    for (const pid of present ?? []) {
      if (!claims.has(pid) && !former.hasYielded(pid)) {
        writes.add('save', records.removeLive(pid)); // could not be removed when its client was gone
      }
    }
  }
}

/** Does something for each claim, for so many at once that others get their turn. */
async function inTurns(claims: readonly SessionClaim[], run: (claim: SessionClaim) => Promise<void>): Promise<void> {
  for (let i = 0; i < claims.length; i += MAX_AT_ONCE) {
    await Promise.all(claims.slice(i, i + MAX_AT_ONCE).map(run));
  }
}
