import { performance } from 'node:perf_hooks';
import { sizeVerdict } from '../redis/size-refusal.js';
import type { Session } from '../wire/session.js';
import { confirmedEpoch, epochFor } from './ownership.js';

/** A session as far as its client's socket says it. */
export type SessionState = Omit<Session, 'pid' | 'nsp' | 'epoch' | 'owner'>;

/** What has the client of a session: a socket of this process. */
export interface SessionHolder {
  /** The session as it is now; its id, namespace, epoch and owner are the claim's matter. */
  current(): SessionState;
  /** `socket.data`. */
  readonly data: unknown;
  /** The session belongs to another connection now: this one is closed, and nothing more is written of it. */
  release(): void;
}

/** What keeps claims: the store of this node. */
export interface ClaimKeeper {
  touch(claim: SessionClaim): void;
  finish(claim: SessionClaim): void;
}

/** A large record counts as refused for its size when the connection was lost so many times while it was being written. */
const MAX_LOSSES = 3;

/** Stands for a session that is not known yet. */
export const UNKNOWN: Session = { sid: '', pid: '', rooms: [], data: {} };

export interface SessionClaimOptions {
  pid: string;
  /** {@link UNKNOWN} until it is found, or until a socket holds it. */
  session: Session;
  epoch: number;
  /** The id of this node. */
  owner: string;
  nsp: string;
  /** Milliseconds for which the client can come back when it is gone. */
  duration: number;
  /** Whether Redis has given the epoch to this node; false while it cannot be asked. */
  isConfirmed: boolean;
  /** Whether the claim in Redis holds nothing that is written elsewhere too. */
  isCopyDropped: boolean;
}

/**
 * This node's claim to the session of one client.
 *
 * Modes:
 * - held: the client is connected, or coming back. The session is kept in the node's hash. `giveBack` and `discard` end it.
 * - saving: the client was cut off. The session, as it was then, is being written to a key of its own, or waits for Redis.
 * - discarding: the client said goodbye. What Redis has of it is being deleted, or that waits for Redis.
 * - yielded: this node found out that another has claimed the session, before that one asked for it as it is now. It is kept
 *   for a while to answer that.
 * - ended: that is done; or the session belongs to a later claim, here or elsewhere (`isReleased`).
 */
export class SessionClaim {
  /** The private session id. */
  readonly pid: string;
  /** The namespace of the client. */
  readonly nsp: string;
  /** Which recovery of the session it is, counted from 0; see ownership.ts. */
  readonly epoch: number;
  /** See above. Changed by the claim itself, and by the store, which discards a session that cannot be written. */
  mode: 'held' | 'saving' | 'discarding' | 'yielded' | 'ended' = 'held';
  /** The session as it was when it was claimed, or when its client was cut off. */
  session: Session;
  /** Whether Redis has given the epoch to this node; false while it cannot be asked. */
  isConfirmed: boolean;
  /** Whether the claim in Redis holds nothing that is written elsewhere too. */
  isCopyDropped: boolean;
  /** Whether a later claim has it. */
  isReleased = false;
  /** Whether nothing is kept of it any more, for its client said goodbye, or it cannot be written. */
  isDiscarded = false;
  /** Whether the node where the client seemed connected has let it go; true if it seemed connected nowhere. */
  isAnswered = true;
  /** `socket.data` as it was last written; undefined as long as the session has not been. */
  written: string | undefined;
  /** Whether it is in this node's hash, as far as is known. */
  isRecorded = false;
  /** When a session whose client is gone is of no use any more, by the stopwatch of this process. */
  until = Infinity;
  /** Resolves when the node where the client seemed connected has been asked for the session as it is now. */
  completed: Promise<unknown> = Promise.resolve();
  /** Whether that is being asked: until then the session may be an earlier one. */
  isCompleting = false;
  /** From this size on, a record of the session is not accepted by Redis or a proxy before it. */
  private refusedBytes = Infinity;
  /** How often the connection was lost while a record was being written that may be too large. */
  private losses = 0;
  /** The socket that has the client; undefined before there is one. */
  private holder: SessionHolder | undefined;
  /** The id of this node. */
  private readonly owner: string;
  /** Milliseconds for which the client can come back when it is gone. */
  private readonly duration: number;

  constructor(
    private readonly keeper: ClaimKeeper,
    { pid, session, epoch, owner, nsp, duration, isConfirmed, isCopyDropped }: SessionClaimOptions,
  ) {
    this.pid = pid;
    this.session = session;
    this.epoch = epoch;
    this.owner = owner;
    this.nsp = nsp;
    this.duration = duration;
    this.isConfirmed = isConfirmed;
    this.isCopyDropped = isCopyDropped;
  }

  /** The session as it is now. */
  current(): Session {
    const session = this.mode === 'held' && this.holder ? this.holder.current() : this.session;
    return this.complete(session);
  }

  /** The newest epoch that Redis has given to this node, as far as it knows. */
  get confirmedEpoch(): number {
    return confirmedEpoch(this);
  }

  /** The epoch of the session for who has claimed another; see ownership.ts. */
  epochFor(claimed: number): number {
    return epochFor(claimed, this);
  }

  /** `socket.data` as it is now. */
  get data(): unknown {
    return this.holder ? this.holder.data : this.session.data;
  }

  /** Whether the session has been found: before, there is nothing to be written or handed out. */
  get isKnown(): boolean {
    return this.holder !== undefined || this.session !== UNKNOWN;
  }

  /** Whether its client has been gone for longer than it may. */
  get isOver(): boolean {
    return this.until <= performance.now();
  }

  /** Whether there is something to take over: not what is deleted, nor what has waited too long to be written. */
  get isUsable(): boolean {
    return this.isKnown && (this.mode === 'held' || (this.mode === 'saving' && !this.isOver));
  }

  /** @param isChanged - whether the session is another than it was when it was claimed */
  hold(holder: SessionHolder, isChanged: boolean): void {
    this.holder = holder;
    if (isChanged) {
      this.touch();
    }
  }

  /** Whether a record of so many bytes is known to be refused, and to cost the connection perhaps. */
  isTooLarge(bytes: number): boolean {
    return bytes >= this.refusedBytes;
  }

  /**
   * To be called when a record of the session, and of no other, could not be written: finds out whether that is because it is
   * {@link isTooLarge}.
   */
  onUnwritten(bytes: number, error: Error): void {
    const verdict = sizeVerdict(error, bytes);
    if (verdict === 'refused' || (verdict === 'suspect' && ++this.losses >= MAX_LOSSES)) {
      this.refusedBytes = bytes;
    }
  }

  /** To be called when the session has changed. */
  touch(): void {
    if (this.mode === 'held' && this.isKnown) {
      this.keeper.touch(this);
    }
  }

  /** The client is gone: its session is kept for when it comes back. @param session - as it was when it left */
  giveBack(session: SessionState = this.current()): void {
    if (this.mode === 'held' && this.isKnown) {
      this.session = this.complete(session);
      this.until = performance.now() + this.duration;
      this.mode = 'saving';
      this.keeper.finish(this);
    }
  }

  /** The client said goodbye, or cannot be recovered: nothing is kept. */
  discard(): void {
    if (this.mode === 'held') {
      this.mode = 'discarding';
      this.keeper.finish(this);
    }
  }

  /** Another node has the session. What is here of it is ended, but for the session as it is now. */
  yield(): void {
    const session = this.current();
    this.until = Math.min(this.until, performance.now() + this.duration);
    this.end();
    this.session = session;
    this.mode = 'yielded';
  }

  /** It is done with, or a later claim has the session. */
  end(): void {
    const wasHeld = this.mode === 'held';
    this.isDiscarded ||= this.mode === 'discarding';
    this.mode = 'ended';
    if (wasHeld) {
      this.isReleased = true;
      this.holder?.release();
    }
  }

  private complete(session: SessionState): Session {
    return session === UNKNOWN
      ? UNKNOWN
      : { ...session, pid: this.pid, nsp: this.nsp, epoch: this.epoch, owner: this.owner };
  }
}
