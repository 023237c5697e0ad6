import { performance } from 'node:perf_hooks';
import type { RedisConnection } from '../redis/driver.js';
import { carry, type NotCarried } from '../wire/carried.js';
import { encodeSession } from '../wire/session.js';
import { NOBODY, standingOf } from './ownership.js';
import { SessionClaim, UNKNOWN, type ClaimKeeper, type SessionHolder } from './session-claim.js';
import { SessionRecords } from './session-records.js';
import { SessionTakeover, type SessionPeers, type TakeOptions, type TakeRefusal } from './session-takeover.js';

/** Milliseconds from one write of changed sessions to the next. */
const CHECKPOINT_INTERVAL_MS = 50;
/** Milliseconds for which a session that another node has claimed is kept, for that to ask for it. */
const YIELDED_TIME_MS = 10_000;
/** For how many milliseconds the sessions of clients that have left are kept here too, and how many at most. */
const RECENT_TIME_MS = 20_000;
const MAX_RECENT_SESSIONS = 5_000;
/** How many sessions wait for Redis to come back. */
const MAX_WAITING_SESSIONS = 10_000;
/** How many sessions are written before others get their turn in the event loop. */
const CHECKPOINT_SESSIONS = 200;
/** How many sessions are verified, or compared with what was written of them, before others get their turn. */
const BATCH_SESSIONS = 50;

export interface SessionStoreOptions {
  keyPrefix: string;
  nodeId: string;
  /** Whether sessions are written while their client is connected. */
  checkpoints: boolean;
  /** Milliseconds for which live sessions are kept, beyond the time that clients have, after the last heartbeat. */
  grace: number;
  /** Milliseconds after which a command counts as unanswered. */
  commandTimeout: number;
  /** Runs commands, again when a connection that failed them is back. */
  retry<T>(run: () => Promise<T>): Promise<T>;
  peers: SessionPeers;
  /** Called with what an app has put into `socket.data` and no other node can be given. */
  onLeftOut(namespace: string, what: NotCarried): void;
  /** Called when a session could not be written or read. */
  onError(operation: 'save' | 'checkpoint' | 'take', error: Error): void;
}

/**
 * The sessions of the clients of this process, and of those that come to it. Of each there is one {@link SessionClaim},
 * from when its client connects, or is recovered, until it is gone and Redis knows.
 *
 * - While a client is connected, its session is written when it connects and when its rooms or its data change, so that
 *   it survives a crash. No command for each client keeps it.
 * - When the client is cut off, the session is written to a key of its own for as long as it may take to come back.
 * - Before anything is written that others may have overtaken, Redis is asked whether the session is still this node's.
 */
export class SessionStore implements ClaimKeeper {
  private readonly records: SessionRecords;
  private readonly takeover: SessionTakeover;
  /** The newest claim to each session that this node has to do with, by private session id. */
  private readonly claims = new Map<string, SessionClaim>();
  /** What others have claimed and may ask for. */
  private readonly yielded = new Map<string, SessionClaim>();
  /** Held sessions that are to be written. */
  private readonly changed = new Set<SessionClaim>();
  /** Claims that cannot be finished while Redis is away. */
  private readonly waiting = new Set<SessionClaim>();
  private checkpointTimer: NodeJS.Timeout | undefined;
  private checkpointedAt = 0;
  private isComparing = false;
  /** The verification under way, and whether another is due after it. */
  private verifying: Promise<void> | undefined;
  private isVerificationDue = false;
  /** Whether the next verification writes all again: Redis may have an earlier state of them, after a failover. */
  private isWritingDue = false;
  /** Sessions of clients that left lately, as they were stored. */
  private readonly recent = new Map<string, SessionClaim>();
  private readonly writes = new Set<Promise<unknown>>();
  private isClosed = false;
  /** Milliseconds for which a disconnected client can come back; the longest of all servers. */
  private duration = 0;

  constructor(
    private readonly connection: RedisConnection,
    private readonly options: SessionStoreOptions,
  ) {
    this.records = new SessionRecords(connection, { ...options, lifetime: () => this.duration + options.grace });
    this.takeover = new SessionTakeover(this.records, {
      ...options,
      isReady: () => connection.ready && !this.isClosed,
      claims: this.claims,
      keeper: this,
      add: (claim) => this.add(claim),
      yield: (claim) => this.yield(claim),
      write: (operation, write) => this.write(operation, write),
      writeNow: (claim) => this.writeNow(claim),
    });
  }

  /** How many clients are connected whose sessions are kept in Redis. */
  get liveCount(): number {
    return this.options.checkpoints ? this.claims.size : 0;
  }

  /** Live sessions are kept for at least so many milliseconds after a crash. */
  keepFor(duration: number): void {
    this.duration = Math.max(this.duration, duration);
  }

  /** The session of a client that is new. @param duration - milliseconds for which it can come back */
  open(pid: string, nsp: string, duration: number, holder: SessionHolder): SessionClaim {
    const owner = this.options.nodeId;
    const claim = new SessionClaim(this, {
      ...{ pid, session: UNKNOWN, nsp, duration, owner, epoch: 0, isConfirmed: true, isCopyDropped: true },
    });
    this.claims.set(pid, claim);
    claim.hold(holder, true);
    return claim;
  }

  /**
   * Takes the session of a client that has come to this node, if there is one: nobody else has it from then on. Resolves
   * to the claim to it, or to why there is none.
   */
  take(pid: string, nsp: string, options: TakeOptions): Promise<SessionClaim | TakeRefusal> {
    return this.isClosed ? Promise.resolve('unknown') : this.takeover.take(pid, nsp, options);
  }

  /**
   * Another node has claimed the session of a client: what this node has of it is released. Resolves to the session as it
   * was until now, encoded; to undefined if it was not here.
   *
   * @param epoch - that the other node has claimed
   */
  async release(pid: string, epoch: number): Promise<string | undefined> {
    await this.takeover.whenClaimed(pid);
    const claim = this.claims.get(pid);
    if (claim && claim.confirmedEpoch < epoch) {
      await claim.completed;
      if (this.claims.get(pid) === claim && claim.isUsable) {
        const encoded = this.encode('save', claim, claim.epochFor(epoch));
        this.end(claim);
        this.removeLive(pid);
        return encoded;
      }
    }
    const yielded = this.yielded.get(pid);
    const isNewest = yielded && yielded.epochFor(epoch) === epoch - 1;
    if (isNewest) {
      return this.encode('save', yielded, epoch - 1);
    }
    // What was stored when its client left is not asked for, unless Redis has lost that and has something older.
    const left = this.recent.get(pid);
    return left?.epochFor(epoch) === epoch - 1 ? this.encode('save', left, epoch - 1) : undefined;
  }

  /** The answer of the node that was asked to release: the encoded session, or null if it did not have it. */
  onReleased(pid: string, answer: string | null): void {
    this.takeover.onReleased(pid, answer);
  }

  // ── time ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** To be called when the connection can be used again: writes what could not be written before. */
  onReady(): void {
    this.isWritingDue = true;
    for (const claim of this.waiting) {
      this.waiting.delete(claim);
      this.finish(claim);
    }
    if (this.changed.size > 0) {
      this.scheduleCheckpoint();
    }
  }

  /**
   * To be called when the connection was lost, and this node may not have heard what others asked, or Redis may have lost
   * what was written: releases clients whose sessions others have claimed, writes again what may be missing, and removes
   * records whose clients are not here any more.
   */
  verify(): Promise<void> {
    this.isVerificationDue = true;
    this.verifying ??= this.verifyWhileDue().finally(() => (this.verifying = undefined));
    return this.verifying;
  }

  private async verifyWhileDue(): Promise<void> {
    while (this.isVerificationDue && this.connection.ready && !this.isClosed) {
      this.isVerificationDue = false;
      const isWritingDue = this.isWritingDue;
      this.isWritingDue = false;
      const claims = [...this.claims.values()];
      for (let i = 0; i < claims.length; i += BATCH_SESSIONS) {
        await Promise.all(claims.slice(i, i + BATCH_SESSIONS).map((claim) => this.verifyClaim(claim, isWritingDue)));
      }
      await this.verifyRecords();
    }
  }

  private async verifyClaim(claim: SessionClaim, isWritingDue: boolean): Promise<void> {
    if (claim.mode !== 'held') {
      return;
    }
    const wasConfirmed = claim.isConfirmed;
    const isOurs = await this.isOurs(claim);
    if (this.claims.get(claim.pid) !== claim) {
      return;
    }
    if (!isOurs) {
      this.yield(claim);
    } else if (!wasConfirmed || (isWritingDue && claim.written !== undefined)) {
      claim.touch();
    }
  }

  private async verifyRecords(): Promise<void> {
    if (!this.records.hasLive) {
      return;
    }
    const wasWritten = [...this.claims.values()].filter(({ written }) => written !== undefined);
    const present = await this.records.live();
    for (const claim of wasWritten) {
      if (!present?.has(claim.pid)) {
        claim.touch(); // Redis has lost it
      }
    }
    for (const pid of present ?? []) {
      if (!this.claims.has(pid) && !this.yielded.has(pid)) {
        this.write('save', this.records.removeLive(pid)); // could not be removed when its client was gone
      }
    }
  }

  /** To be called with each heartbeat: keeps live sessions from expiring, and writes those whose data have changed. */
  async keepAlive(): Promise<void> {
    if (!this.records.hasLive) {
      return;
    }
    await this.touchChanged();
    if (!this.isClosed && !(await this.records.keepAlive())) {
      for (const claim of this.claims.values()) {
        claim.touch(); // the hash had expired while Redis was away, or was deleted
      }
    }
  }

  /** Writes the sessions of all clients as if they were disconnected, for their connections will be closed. */
  saveAll(): void {
    for (const claim of [...this.claims.values()]) {
      claim.giveBack();
    }
  }

  /** Writes what is still to be written, and removes this node's live sessions. */
  async close(): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.checkpointTimer);
    await this.takeover.close();
    this.saveAll(); // what was claimed meanwhile
    while (this.writes.size > 0) {
      await Promise.all(this.writes);
    }
    await this.records.removeNode().catch((error: Error) => this.options.onError('save', error));
  }

  /** Nothing says when an app changes `socket.data`, so from time to time it is compared with what was written. */
  private async touchChanged(): Promise<void> {
    if (this.isComparing) {
      return;
    }
    this.isComparing = true;
    let compared = 0;
    for (const claim of this.claims.values()) {
      if (fingerprint(claim.data) !== claim.written) {
        claim.touch();
      }
      if (++compared % BATCH_SESSIONS === 0) {
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    this.isComparing = false;
  }

  // ── what claims ask for ─────────────────────────────────────────────────────────────────────────────────────────

  touch(claim: SessionClaim): void {
    if (this.options.checkpoints && !this.isClosed) {
      this.changed.add(claim);
      this.scheduleCheckpoint();
    }
  }

  finish(claim: SessionClaim): void {
    this.changed.delete(claim);
    const encoded = claim.mode === 'saving' ? this.encode('save', claim) : undefined;
    if (claim.mode === 'saving' && encoded === undefined) {
      claim.mode = 'discarding'; // an older record is not the session either
    }
    const finished = this.writeEnd(claim, encoded).then(
      () => {
        if (claim.mode === 'saving') {
          this.keepRecent(claim);
        }
        return claim.mode === 'yielded' || this.end(claim);
      },
      (error: Error) => {
        if (this.claims.get(claim.pid) === claim && this.waiting.size < MAX_WAITING_SESSIONS && !this.isClosed) {
          this.waiting.add(claim);
        } else {
          this.end(claim);
        }
        throw error;
      },
    );
    this.write('save', finished);
  }

  private async writeEnd(claim: SessionClaim, encoded: string | undefined): Promise<void> {
    const { pid, nsp, epoch } = claim;
    const isOver = (): boolean => this.claims.get(pid) !== claim; // it was claimed anew meanwhile, and is written by that
    if (encoded !== undefined && claim.isUsable) {
      const isOurs = await this.isOurs(claim);
      if (isOver()) {
        return;
      }
      if (!isOurs) {
        this.yield(claim);
        return;
      }
      await this.records.store(pid, encoded, claim.until - performance.now());
      if (!claim.isCopyDropped) {
        await this.records.dropCopy(pid, nsp, epoch);
      }
    } else if (epoch > 0 && (claim.isConfirmed || (await this.isOurs(claim))) && !isOver()) {
      const claims = await this.records.endClaims(pid, nsp, epoch + 1);
      if (standingOf(claims, epoch + 1, NOBODY) === 'current') {
        await this.records.removeStored(pid);
      }
    }
    if (this.options.checkpoints && !isOver()) {
      await this.records.removeLive(pid);
    }
  }

  /** Resolves to whether a session is still this node's, and claims it again if Redis has lost the claim. */
  private async isOurs(claim: SessionClaim): Promise<boolean> {
    const { pid, nsp, epoch } = claim;
    const { nodeId } = this.options;
    let standing = standingOf(await this.records.claimsOf(pid), epoch, nodeId);
    if (standing === 'unclaimed' && epoch > 0) {
      claim.isCopyDropped = false;
      const encoded = this.encode('save', claim);
      standing = standingOf(await this.records.claim(pid, nsp, epoch, encoded), epoch, nodeId);
    }
    const isOurs = standing !== 'superseded';
    claim.isConfirmed ||= isOurs;
    return isOurs;
  }

  private add(claim: SessionClaim): void {
    const before = this.claims.get(claim.pid);
    this.claims.set(claim.pid, claim);
    if (before) {
      this.changed.delete(before);
      this.waiting.delete(before);
      before.end();
    }
  }

  /** Another node has claimed the session, which may not have been asked for it yet. */
  private yield(claim: SessionClaim): void {
    claim.yield();
    this.forget(claim);
    this.yielded.set(claim.pid, claim);
    // Its live record stays: it is the best there is if this node dies before it is asked. Who has claimed it removes it.
    setTimeout(() => {
      if (this.yielded.get(claim.pid) === claim) {
        this.yielded.delete(claim.pid);
      }
    }, YIELDED_TIME_MS).unref();
  }

  /** The client has left and its session is stored: it is kept for a while, for a failover may lose it. */
  private keepRecent(claim: SessionClaim): void {
    const { pid } = claim;
    this.recent.delete(pid);
    this.recent.set(pid, claim);
    if (this.recent.size > MAX_RECENT_SESSIONS) {
      const [oldest] = this.recent.keys();
      this.recent.delete(oldest!);
    }
    setTimeout(() => this.recent.get(pid) === claim && this.recent.delete(pid), RECENT_TIME_MS).unref();
  }

  private removeLive(pid: string): void {
    if (this.options.checkpoints) {
      this.write('save', this.records.removeLive(pid));
    }
  }

  private end(claim: SessionClaim): void {
    this.forget(claim);
    claim.end();
  }

  private forget(claim: SessionClaim): void {
    this.changed.delete(claim);
    this.waiting.delete(claim);
    if (this.claims.get(claim.pid) === claim) {
      this.claims.delete(claim.pid);
    }
  }

  // ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────

  private scheduleCheckpoint(): void {
    const due = this.checkpointedAt + CHECKPOINT_INTERVAL_MS - performance.now();
    this.checkpointTimer ??= setTimeout(() => this.checkpoint(), Math.max(0, due)).unref();
  }

  private checkpoint(): void {
    this.checkpointTimer = undefined;
    const sessions = new Map<SessionClaim, string>();
    for (const claim of this.changed) {
      this.changed.delete(claim);
      if (claim.isConfirmed) {
        const encoded = this.encodeLive(claim);
        if (encoded !== undefined) {
          sessions.set(claim, encoded);
        }
      } // else it is written when it is
      if (sessions.size === CHECKPOINT_SESSIONS) {
        break;
      }
    }
    if (this.changed.size > 0) {
      this.checkpointTimer = setTimeout(() => this.checkpoint(), 0).unref(); // the others have a turn in between
    } else {
      this.checkpointedAt = performance.now();
    }
    if (sessions.size > 0) {
      this.write('checkpoint', this.writeLive(sessions));
    }
  }

  /** Writes the session of a connected client. Rejects if that fails. */
  private async writeNow(claim: SessionClaim): Promise<void> {
    const encoded = this.options.checkpoints ? this.encodeLive(claim) : undefined;
    if (encoded !== undefined) {
      this.changed.delete(claim);
      await this.writeLive(new Map([[claim, encoded]]));
    }
  }

  private async writeLive(sessions: ReadonlyMap<SessionClaim, string>): Promise<void> {
    try {
      await this.records.writeLive(new Map([...sessions].map(([{ pid }, encoded]) => [pid, encoded])));
    } catch (error) {
      for (const claim of sessions.keys()) {
        claim.written = undefined;
        if (claim.mode === 'held') {
          this.changed.add(claim); // written with the next ones, at the latest when Redis is back
        }
      }
      throw error;
    }
    for (const claim of sessions.keys()) {
      if (this.claims.get(claim.pid) !== claim) {
        if (!this.claims.has(claim.pid)) {
          this.write('save', this.records.removeLive(claim.pid)); // it was released while it was being written
        }
      } else if (!claim.isCopyDropped && claim.mode === 'held') {
        claim.isCopyDropped = true;
        const dropped = this.records.dropCopy(claim.pid, claim.nsp, claim.epoch);
        this.write('checkpoint', dropped);
        dropped.catch(() => (claim.isCopyDropped = false));
      }
    }
  }

  private encodeLive(claim: SessionClaim): string | undefined {
    claim.written = fingerprint(claim.data);
    const encoded = this.encode('checkpoint', claim);
    if (encoded === undefined) {
      this.write('checkpoint', this.records.removeLive(claim.pid)); // what is there is not the session any more
    }
    return encoded;
  }

  /** Undefined if the session cannot be serialized. */
  private encode(operation: 'save' | 'checkpoint', claim: SessionClaim, epoch = claim.epoch): string | undefined {
    const session = { ...claim.current(), epoch };
    try {
      return encodeSession(session, ({ path, reason }) => {
        this.options.onLeftOut(claim.nsp, { path: path ? `data.${path}` : 'data', reason });
      });
    } catch (error) {
      this.options.onError(operation, error as Error); // such as a room that is nothing that can be sent
      return undefined;
    }
  }

  private write(operation: 'save' | 'checkpoint', write: Promise<unknown>): void {
    const handled = write
      .catch((error: Error) => this.options.onError(operation, error))
      .finally(() => this.writes.delete(handled));
    this.writes.add(handled);
  }
}

/** Two values of `socket.data` with different fingerprints differ. Only what is kept counts, without what is binary in it. */
function fingerprint(data: unknown): string {
  try {
    return JSON.stringify(data) ?? '';
  } catch {
    try {
      const kept = carry(data, { onLeftOut: () => undefined });
      return JSON.stringify(kept, (_key, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value));
    } catch {
      return ''; // reported when it is written
    }
  }
}
