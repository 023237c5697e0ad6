import { setImmediate as nextTurn } from 'node:timers/promises';
import { performance } from 'node:perf_hooks';
import type { RedisConnection } from '../redis/driver.js';
import type { NotCarried } from '../wire/carried.js';
import { PendingPromises } from '../time/pending-promises.js';
import { Checkpoints } from './checkpoints.js';
import { FormerClaims } from './former-claims.js';
import { NOBODY, standingOf } from './ownership.js';
import { PendingWrites } from './pending-writes.js';
import { SessionClaim, UNKNOWN, type ClaimKeeper, type SessionHolder } from './session-claim.js';
import { SessionEncoder } from './session-encoder.js';
import { SessionRecords } from './session-records.js';
import { SessionTakeover, type SessionPeers, type TakeOptions, type TakeRefusal } from './session-takeover.js';
import { SessionVerification } from './session-verification.js';

/** How many sessions wait for Redis to come back. */
const MAX_WAITING_SESSIONS = 10_000;
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
  /** Whether all commands can be sent; not while a master of a cluster is away. */
  isWhole(): boolean;
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
  /** What Redis has of sessions. */
  private readonly records: SessionRecords;
  /** How sessions move to this node. */
  private readonly takeover: SessionTakeover;
  /** The newest claim to each session that this node has to do with, by private session id. */
  private readonly claims = new Map<string, SessionClaim>();
  /** What other nodes may still ask for. */
  private readonly former = new FormerClaims((pid) => this.removeLeftover(pid));
  /** Claims that cannot be finished while Redis is away. */
  private readonly waiting = new Set<SessionClaim>();
  /** What makes sessions texts. */
  private readonly encoder: SessionEncoder;
  /** What closing waits for. */
  private readonly writes: PendingWrites;
  /** What writes the sessions of connected clients. */
  private readonly checkpoints: Checkpoints;
  /** What finds out which sessions are still this node's. */
  private readonly verification: SessionVerification;
  /** What is being written of clients that are gone. */
  private readonly finishing = new PendingPromises();
  /** Set by `close`: nothing is taken from then on. */
  private isClosed = false;
  /** How often the connection has been made, at first or again. */
  private connections = 0;
  /** Milliseconds for which a disconnected client can come back; the longest of all servers. */
  private duration = 0;

  constructor(
    private readonly connection: RedisConnection,
    private readonly options: SessionStoreOptions,
  ) {
    this.records = new SessionRecords(connection, { ...options, lifetime: () => this.duration + options.grace });
    this.encoder = new SessionEncoder(options);
    this.writes = new PendingWrites((operation, error) => options.onError(operation, error));
    const { nodeId, checkpoints: isEnabled } = options;
    const { records, claims, former, encoder, writes } = this;
    const isReady = (): boolean => connection.ready && !this.isClosed;
    const yieldClaim = (claim: SessionClaim): void => this.yield(claim);
    this.checkpoints = new Checkpoints({ records, claims, encoder, writes, isEnabled });
    this.verification = new SessionVerification({
      ...{ records, claims, encoder, writes, former, nodeId, isReady, yield: yieldClaim },
      endSession: (claim) => this.endSession(claim),
      writeAll: (written) => this.checkpoints.writeAll(written),
      whenFinished: () => this.finishing.whenPresentDone(),
    });
    this.takeover = new SessionTakeover(records, {
      ...{ ...options, isReady, claims, former, keeper: this, yield: yieldClaim },
      whenWritten: () => this.verification.whenWritten(),
      connections: () => this.connections,
      add: (claim) => this.add(claim),
      end: (claim) => this.end(claim),
      write: (operation, write) => writes.add(operation, write),
      writeNow: (claim) => this.checkpoints.writeNow(claim),
    });
  }

  /** Whether all that Redis may have lost of sessions, when it was lost, is written again. */
  get isVerified(): boolean {
    return this.verification.isDone;
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
        if (claim.epochFor(epoch) !== epoch - 1) {
          this.yield(claim); // who has claimed it in between asks for it, or has
          return undefined;
        }
        const encoded = this.encoder.encode('save', claim, claim.epochFor(epoch));
        this.yield(claim); // who has claimed it asks again if the answer is lost
        this.removeLive(pid);
        return encoded;
      }
    }
    const former = this.former.before(epoch, pid);
    await former?.completed; // it may have been yielded before this node was told what it had asked for
    return former && this.encoder.encode('save', former, epoch - 1);
  }

  /** The answer of a node to the request to release: the encoded session, or null if it was asked and did not have it. */
  onReleased(pid: string, answer: string | null, node: string): void {
    this.takeover.onReleased(pid, answer, node);
  }

  // ── time ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** To be called when the connection can be used again: writes what could not be written before. */
  onReady(): void {
    this.connections++;
    this.verification.scheduleWriting();
    for (const claim of this.waiting) {
      this.waiting.delete(claim);
      this.finish(claim);
    }
    this.checkpoints.resume();
  }

  /**
   * To be called when the connection was lost, and this node may not have heard what others asked, or Redis may have lost
   * what was written: releases clients whose sessions others have claimed, writes again what may be missing, and removes
   * records whose clients are not here any more. Resolves to whether Redis could be asked.
   */
  verify(): Promise<boolean> {
    return this.verification.run();
  }

  /**
   * To be called with each heartbeat: keeps live sessions from expiring, writes those whose data have changed, and sees that
   * Redis has those of this node's clients and no others.
   */
  async keepAlive(): Promise<void> {
    await this.verification.catchUp();
    if (!this.records.hasLive) {
      return;
    }
    await this.checkpoints.touchChanged();
    if (this.isClosed) {
      return;
    }
    const { isThere, count } = await this.records.keepAlive();
    if (!isThere) {
      for (const claim of this.claims.values()) {
        claim.touch(); // the hash had expired while Redis was away, or was deleted
      }
    } else if (count !== undefined) {
      await this.verification.onCount(count);
    }
  }

  /**
   * Writes the sessions of all clients as if they were disconnected, for their connections will be closed. Those that are being
   * asked for are written when they are complete; see {@link close}.
   */
  saveAll(): void {
    for (const claim of [...this.claims.values()]) {
      if (!claim.isCompleting) {
        claim.giveBack();
      }
    }
  }

  /** Writes what is still to be written, and removes this node's live sessions. */
  async close(): Promise<void> {
    this.isClosed = true;
    this.checkpoints.close();
    await this.takeover.close();
    this.saveAll(); // what was claimed meanwhile
    await this.writes.whenDone();
    await this.records.removeNode().catch((error: Error) => this.options.onError('save', error));
  }

  // ── what claims ask for ─────────────────────────────────────────────────────────────────────────────────────────

  touch(claim: SessionClaim): void {
    this.checkpoints.add(claim);
  }

  /** The client has joined its namespace: what the claim contains is not its session for much longer. */
  onJoined(claim: SessionClaim): void {
    if (!this.options.checkpoints) {
      this.checkpoints.dropCopy(claim); // nothing newer is written of it as long as it is connected
    }
  }

  finish(claim: SessionClaim): void {
    this.checkpoints.delete(claim);
    let encoded: string | undefined;
    const written = async (): Promise<void> => {
      if (claim.mode === 'saving') {
        await nextTurn(); // listeners of `disconnect` may change the data: Socket.IO calls them next
        encoded = this.encoder.encode('save', claim);
        if (encoded === undefined && claim.mode === 'saving') {
          claim.mode = 'discarding'; // an older record is not the session either
        }
      }
      await this.writeEnd(claim, encoded);
    };
    const finished = written().then(
      () => {
        const { mode } = claim;
        if (mode !== 'yielded') {
          this.end(claim);
        }
        if (mode === 'saving' || mode === 'discarding') {
          this.former.addLeft(claim); // a failover may lose what was written
        }
      },
      (error: Error) => {
        if (encoded !== undefined) {
          claim.onUnwritten(encoded.length, error);
        }
        if (this.claims.get(claim.pid) === claim && this.waiting.size < MAX_WAITING_SESSIONS && !this.isClosed) {
          this.waiting.add(claim);
        } else {
          this.end(claim);
        }
        throw error;
      },
    );
    this.writes.add('save', finished);
    this.finishing.add(finished);
  }

  private async writeEnd(claim: SessionClaim, encoded: string | undefined): Promise<void> {
    const { pid, nsp, epoch } = claim;
    const isOver = (): boolean => this.claims.get(pid) !== claim; // it was claimed anew meanwhile, and is written by that
    if (encoded !== undefined && claim.isUsable) {
      const isOurs = await this.verification.isOurs(claim);
      if (isOver()) {
        return;
      }
      if (!isOurs) {
        this.yield(claim);
        return;
      }
      await this.records.store(claim, encoded, claim.until - performance.now());
      if (!claim.isCopyDropped) {
        await this.records.dropCopy(pid, nsp, epoch);
      }
    } else if (epoch > 0 && (claim.isConfirmed || (await this.verification.isOurs(claim))) && !isOver()) {
      await this.endSession(claim);
    }
    if (this.options.checkpoints && !isOver()) {
      await this.records.removeLive(pid);
    }
  }

  /** Claims the epoch after a claim for nobody, and deletes what is stored. */
  private async endSession({ pid, nsp, epoch }: SessionClaim): Promise<void> {
    const claims = await this.records.endClaims(pid, nsp, epoch + 1);
    if (standingOf(claims, epoch + 1, NOBODY) === 'current') {
      await this.records.removeStored(pid, epoch + 1);
    }
  }

  private add(claim: SessionClaim): void {
    const before = this.claims.get(claim.pid);
    this.claims.set(claim.pid, claim);
    if (before) {
      this.checkpoints.delete(before);
      this.waiting.delete(before);
      before.end();
    }
  }

  /** Another node has claimed the session, which may not have been asked for it yet. */
  private yield(claim: SessionClaim): void {
    claim.yield();
    this.forget(claim);
    // Its live record stays: it is the best there is if this node dies before it is asked. Who has claimed it removes it.
    this.former.addYielded(claim);
  }

  /** Whoever has claimed a session removes this node's record of it, unless the answer of Redis was lost. */
  private removeLeftover(pid: string): void {
    if (!this.isClosed && this.connection.ready && !this.claims.has(pid)) {
      this.removeLive(pid);
    }
  }

  private removeLive(pid: string): void {
    if (this.options.checkpoints) {
      this.writes.add('save', this.records.removeLive(pid));
    }
  }

  private end(claim: SessionClaim): void {
    this.forget(claim);
    claim.end();
  }

  private forget(claim: SessionClaim): void {
    this.checkpoints.delete(claim);
    this.waiting.delete(claim);
    if (this.claims.get(claim.pid) === claim) {
      this.claims.delete(claim.pid);
    }
  }
}
