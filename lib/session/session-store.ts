import { isNativeError } from 'node:util/types';
import type { RedisConnection } from '../redis/driver.js';
import { decodeSession, encodeSession, type Session } from '../wire/session.js';
import { SessionRecords, type SessionRecord } from './session-records.js';

/** Milliseconds from one write of changed sessions to the next. */
const CHECKPOINT_INTERVAL = 50;
/** How many sessions wait for Redis to come back. */
const MAX_UNSAVED = 10_000;
/** Milliseconds that a node has to let go of a client that has come elsewhere. */
const RELEASE_TIMEOUT = 1_000;
/** How often a session is looked for. */
const TRIES = 3;
/** How many sessions are written before others get their turn in the event loop. */
const WRITTEN_AT_ONCE = 200;
/** How many sessions are taken, or compared with what was written of them, before others get their turn. */
const AT_ONCE = 50;

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
  /** Told when a session could not be written or read. */
  onError(operation: 'save' | 'checkpoint' | 'take', error: Error): void;
}

/** The other nodes, as far as sessions move between them. */
export interface SessionPeers {
  /**
   * Asks all nodes to let go of a client, and the one where it seems connected to answer.
   *
   * @param epoch - of the session as it was taken: who took it still later keeps it
   */
  askRelease(pid: string, at: string, epoch: number): Promise<void>;
  /** Resolves when a node is not on its way back to Redis, after that was away: it may have more to say then. */
  whenBack(node: string): Promise<void>;
  /** Whether a node can be asked at all. */
  canHear(nsp: string, node: string): Promise<boolean>;
}

/** What holds the session of a client of this process. */
export interface SessionHolder {
  /** Milliseconds for which the client can come back when it is gone. */
  readonly duration: number;
  /** The session as it is now. */
  current(): Session;
  /** The client has come elsewhere: its connection here is to be closed, and nothing more to be written of it. */
  release(): void;
}

interface Held {
  holder: SessionHolder;
  /** `socket.data` as it was last written; undefined as long as the session has not been. */
  data: string | undefined;
}

/** A session of a disconnected client that could not be written, and until when it is of use. */
interface Unsaved {
  session: Session;
  encoded: string;
  until: number;
}

/** A session that is being taken by this node. */
interface Take {
  readonly pid: string;
  readonly nsp: string;
  done: Promise<Session | undefined>;
  /** How often it had been recovered when it was found first. */
  epoch?: number;
  /** The record that this node is deleting; if the answer was lost, it may have done so. */
  claimed?: SessionRecord | undefined;
  /** Sessions that were taken before this epoch were asked back meanwhile. */
  releasedBefore: number;
  /** Given what the node where the client seemed connected answers. */
  onRelease?: (answer: string | null) => void;
}

/** What came of a try to take a session. */
interface Attempt {
  record?: SessionRecord;
  /** Whether it was still there when this node deleted it, and so is this node's. */
  isOurs: boolean;
  /** Whether it is in this node's hash. */
  isWritten: boolean;
}

/**
 * The sessions of the clients of this process, and of those that come to it.
 *
 * - While a client is connected, its session is *held*: written when it connects and when its rooms or its data change,
 *   so that it survives a crash. No command for each client keeps it.
 * - When the client is cut off, the session is *saved* for as long as it may take to come back.
 * - Wherever the client comes back, the session is *taken*, once. Who takes one writes it into its own hash first, so
 *   that it is in Redis at any time, and then deletes the record that it has read. Who finds that gone looks again: it
 *   may have been moved, because the client was disconnected just then, or taken by another.
 *
 * If the record is that of a connected client and its node is alive, that is asked for the session as it is now, for the
 * record may be a little older; and it closes what it still has of the client.
 */
export class SessionStore {
  private readonly records: SessionRecords;
  private readonly held = new Map<string, Held>();
  private readonly changed = new Set<string>();
  private readonly takes = new Map<string, Take>();
  private tries: { take: Take; settle: (attempt: Attempt) => void; fail: (error: Error) => void }[] = [];
  private isTrying = false;
  private checkpointTimer: NodeJS.Timeout | undefined;
  private checkpointedAt = 0;
  private isComparing = false;
  private readonly writes = new Set<Promise<unknown>>();
  private readonly unsaved = new Map<string, Unsaved>();
  private readonly undeleted = new Set<string>();
  private isClosed = false;
  /** Milliseconds for which a disconnected client can come back; the longest of all servers. */
  private duration = 0;

  constructor(
    private readonly connection: RedisConnection,
    private readonly options: SessionStoreOptions,
  ) {
    this.records = new SessionRecords(connection, { ...options, lifetime: () => this.duration + options.grace });
  }

  /** How many clients are connected whose sessions are kept in Redis. */
  get liveCount(): number {
    return this.options.checkpoints ? this.held.size : 0;
  }

  /** Live sessions are kept for at least so many milliseconds after a crash. */
  keepFor(duration: number): void {
    this.duration = Math.max(this.duration, duration);
  }

  // ── of clients that are connected ───────────────────────────────────────────────────────────────────────────────

  /**
   * Keeps the session of a connected client.
   *
   * @param isWritten - whether Redis has it as it is now
   */
  hold(pid: string, holder: SessionHolder, isWritten: boolean): void {
    this.held.set(pid, { holder, data: isWritten ? fingerprint(holder.current().data) : undefined });
    if (!isWritten) {
      this.touch(pid);
    }
  }

  /** To be called when the session of a connected client has changed. */
  touch(pid: string): void {
    if (this.held.has(pid) && this.options.checkpoints && !this.isClosed) {
      this.changed.add(pid);
      this.scheduleCheckpoint();
    }
  }

  /** The client said goodbye, or cannot be recovered: nothing is kept. */
  forget(pid: string): void {
    const deleted = Promise.all([this.records.removeStored(pid), this.drop(pid)]);
    this.write(
      'save',
      deleted.catch((error: Error) => {
        if (this.undeleted.size < MAX_UNSAVED) {
          this.undeleted.add(pid);
        }
        throw error;
      }),
    );
  }

  /** The client was disconnected: its session is kept for `duration` milliseconds. */
  save(session: Session, duration: number): void {
    try {
      this.store({ session, encoded: encodeSession(session), until: Date.now() + duration });
    } catch (error) {
      this.options.onError('save', error as Error);
    }
    this.write('save', this.drop(session.pid)); // after its key is written, so that it can be found at any time
  }

  /**
   * Another node has taken the session of a client: what this node holds of it is released. Returns the session as it
   * was until now, encoded; undefined if it was not here.
   *
   * @param epoch - of the session as it was taken there
   */
  letGo(pid: string, epoch: number): string | undefined {
    const take = this.takes.get(pid);
    if (take) {
      take.releasedBefore = Math.max(take.releasedBefore, epoch);
    }
    const held = this.held.get(pid);
    const session = held?.holder.current();
    if (!held || !session || epochOf(session) >= epoch) {
      return undefined;
    }
    let encoded;
    try {
      encoded = encodeSession(session);
    } catch (error) {
      this.options.onError('save', error as Error);
    }
    this.write('save', this.drop(pid));
    held.holder.release();
    return encoded;
  }

  /** The answer of the node that was asked to let go: the encoded session, or null if it did not have it. */
  onReleased(pid: string, answer: string | null): void {
    this.takes.get(pid)?.onRelease?.(answer);
  }

  // ── of clients that come back ───────────────────────────────────────────────────────────────────────────────────

  /**
   * Takes the session of a client that has come to this node, if there is one: nobody else gets it again.
   *
   * @param receive - given the session as soon as it is taken, and returns what holds it from then on
   */
  take(pid: string, nsp: string, receive: (session: Session) => SessionHolder): Promise<Session | undefined> {
    const before = this.takes.get(pid)?.done;
    const take: Take = { pid, nsp, done: Promise.resolve(undefined), releasedBefore: 0 };
    take.done = this.takeInTurn(take, receive, before).finally(() => {
      if (this.takes.get(pid) === take) {
        this.takes.delete(pid);
      }
    });
    this.takes.set(pid, take);
    return take.done;
  }

  private async takeInTurn(
    take: Take,
    receive: (session: Session) => SessionHolder,
    before: Promise<unknown> | undefined,
  ): Promise<Session | undefined> {
    try {
      await before;
      if (this.isClosed) {
        return undefined;
      }
      const here = this.takeHere(take);
      const taken = here ? { session: here, isWritten: false } : await this.takeFromRedis(take);
      if (!taken || epochOf(taken.session) < take.releasedBefore) {
        return undefined;
      }
      this.hold(take.pid, receive(taken.session), taken.isWritten);
      return taken.session;
    } catch (error) {
      this.options.onError('take', error as Error);
      return undefined;
    }
  }

  /** The session of a client that seems to be connected to this very node, or that Redis could not be told yet. */
  private takeHere({ pid, nsp }: Take): Session | undefined {
    const held = this.held.get(pid);
    const session = held?.holder.current() ?? this.unsaved.get(pid)?.session;
    if (!session || session.nsp !== nsp) {
      return undefined;
    }
    this.unsaved.delete(pid);
    this.held.delete(pid); // its record stays until it is written again
    held?.holder.release();
    return next(session);
  }

  private async takeFromRedis(take: Take): Promise<{ session: Session; isWritten: boolean } | undefined> {
    for (let tries = 0; tries < TRIES; tries++) {
      const { record, isOurs, isWritten } = await this.options.retry(() => this.try(take));
      const taken = isOurs ? record : record ? undefined : take.claimed; // gone: it was deleted, the answer lost
      if (taken) {
        const { session, node } = taken;
        const current = node === undefined ? undefined : await this.askForCurrent(session, node, take);
        return { session: next(current ?? session), isWritten: isWritten && !current };
      }
      if (!record) {
        this.records.forgetNodes();
        continue;
      }
      take.epoch ??= epochOf(record.session);
      if (!isFree(record, take)) {
        return undefined; // somebody else has it
      }
    }
    return undefined;
  }

  /** Tries to take a session. */
  private try(take: Take): Promise<Attempt> {
    return new Promise((settle, fail) => {
      this.tries.push({ take, settle, fail });
      void this.tryInBatches();
    });
  }

  /** When many come at once, others have turns between the batches. */
  private async tryInBatches(): Promise<void> {
    if (this.isTrying) {
      return;
    }
    this.isTrying = true;
    while (this.tries.length > 0) {
      await new Promise((resolve) => setImmediate(resolve));
      const batch = this.tries.splice(0, AT_ONCE);
      try {
        const attempts = await this.tryAll(batch.map(({ take }) => take));
        batch.forEach(({ settle, fail }, i) => {
          const attempt = attempts[i]!;
          if (isNativeError(attempt)) {
            fail(attempt);
          } else {
            settle(attempt);
          }
        });
      } catch (error) {
        batch.forEach(({ fail }) => fail(error as Error));
      }
    }
    this.isTrying = false;
  }

  private async tryAll(takes: Take[]): Promise<(Attempt | Error)[]> {
    const found = await this.records.find(takes.map(({ pid }) => pid));
    const claims = takes.map((take) => {
      const { pid, nsp } = take;
      const result = found.get(pid)!;
      const failure = isNativeError(result) ? result : undefined;
      const records = (isNativeError(result) ? [] : result).filter(
        ({ session }) => session.nsp === undefined || session.nsp === nsp,
      );
      const latest = records.reduce<SessionRecord | undefined>((a, b) => (a && isLater(a, b) ? a : b), undefined);
      return {
        take,
        failure,
        latest,
        claimed: latest && isFree(latest, take) ? latest : undefined,
        older: records.filter((one) => one !== latest),
      };
    });
    const sessions = claims.flatMap(({ claimed }) => (claimed ? [claimed.session] : []));
    if (sessions.length === 0) {
      return claims.map(({ failure, latest }) => failure ?? toAttempt(latest));
    }
    const claimed = claims.flatMap((claim) => (claim.claimed ? [claim.claimed] : []));
    const written = this.writeLive(new Map(sessions.map((session) => [session.pid, encodeSession(next(session))])));
    for (const { take, claimed } of claims) {
      take.claimed = claimed ?? take.claimed;
    }
    const wereThere = await this.records.remove(claimed);
    const isWritten = await written;
    return claims.map(({ take, failure, latest, claimed: record, older }) => {
      if (failure) {
        return failure;
      }
      const isOurs = record !== undefined && wereThere[claimed.indexOf(record)]!;
      if (record) {
        take.claimed = undefined; // the answer has come
      }
      if (record && !isOurs) {
        this.write('save', this.drop(take.pid));
      } else if (isOurs && older.length > 0) {
        this.write('save', this.records.remove(older));
      }
      return toAttempt(latest, isOurs, isOurs && isWritten);
    });
  }

  /** The session as the node knows it on which its client seems connected; undefined if that does not answer. */
  private async askForCurrent(session: Session, node: string, take: Take): Promise<Session | undefined> {
    const { pid, nsp } = session;
    const { peers } = this.options;
    let timer: NodeJS.Timeout | undefined;
    try {
      await peers.whenBack(node);
      const answered = new Promise<string | null | undefined>((resolve) => {
        take.onRelease = resolve;
        timer = setTimeout(() => resolve(undefined), RELEASE_TIMEOUT);
      });
      const [canHear] = await Promise.all([
        peers.canHear(nsp!, node),
        peers.askRelease(pid, node, epochOf(session) + 1),
      ]);
      const answer = canHear ? await answered : undefined;
      if (answer !== null) {
        return decodeSession(answer, pid);
      }
      // It had been disconnected there, and its session was being written.
      const disconnected = await this.records.takeStored(pid);
      return disconnected && epochOf(disconnected) >= epochOf(session) ? disconnected : undefined;
    } catch {
      return undefined; // what was read is good enough
    } finally {
      clearTimeout(timer);
    }
  }

  // ── time ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** To be called when the connection can be used again: writes what could not be written before. */
  onReady(): void {
    for (const [pid, unsaved] of this.unsaved) {
      this.unsaved.delete(pid);
      if (unsaved.until > Date.now()) {
        this.store(unsaved);
        this.write('save', this.drop(pid));
      }
    }
    for (const pid of this.undeleted) {
      this.undeleted.delete(pid);
      this.forget(pid);
    }
    if (this.changed.size > 0) {
      this.scheduleCheckpoint();
    }
  }

  /**
   * To be called when the connection was lost, and this node may not have heard what others asked: lets go of the clients
   * whose records another node has taken meanwhile, and removes records whose clients are not here any more.
   */
  async verify(): Promise<void> {
    if (!this.records.hasLive || !this.connection.ready) {
      return;
    }
    const written = [...this.held].filter(([pid, { data }]) => data !== undefined && !this.changed.has(pid));
    const present = await this.records.live();
    if (!present) {
      return;
    }
    for (const [pid, held] of written) {
      if (!present.has(pid) && this.held.get(pid) === held) {
        this.letGo(pid, Infinity);
      }
    }
    for (const pid of present) {
      if (!this.held.has(pid) && !this.takes.has(pid)) {
        this.write('save', this.drop(pid)); // could not be removed when its client was gone
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
      for (const pid of this.held.keys()) {
        this.touch(pid); // the hash had expired while Redis was away, or was deleted
      }
    }
  }

  /** Writes the sessions of all clients as if they were disconnected, for their connections will be closed. */
  saveAll(): void {
    for (const { holder } of [...this.held.values()]) {
      this.save(holder.current(), holder.duration);
    }
  }

  /** Writes what is still to be written, and removes this node's live sessions. */
  async close(): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.checkpointTimer);
    await Promise.all([...this.takes.values()].map(({ done }) => done));
    this.saveAll();
    await Promise.all(this.writes);
    await this.records.removeNode().catch((error: Error) => this.options.onError('save', error));
  }

  /** Nobody tells when an app changes `socket.data`, so from time to time it is compared with what was written. */
  private async touchChanged(): Promise<void> {
    if (this.isComparing) {
      return;
    }
    this.isComparing = true;
    let compared = 0;
    for (const [pid, { holder, data }] of this.held) {
      if (fingerprint(holder.current().data) !== data) {
        this.touch(pid);
      }
      if (++compared % AT_ONCE === 0) {
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    this.isComparing = false;
  }

  // ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────

  private scheduleCheckpoint(): void {
    const due = this.checkpointedAt + CHECKPOINT_INTERVAL - performance.now();
    this.checkpointTimer ??= setTimeout(() => this.checkpoint(), Math.max(0, due)).unref();
  }

  private checkpoint(): void {
    this.checkpointTimer = undefined;
    const sessions = new Map<string, string>();
    for (const pid of this.changed) {
      this.changed.delete(pid);
      const held = this.held.get(pid);
      if (held) {
        try {
          const session = held.holder.current();
          sessions.set(pid, encodeSession(session));
          held.data = fingerprint(session.data);
        } catch (error) {
          this.options.onError('checkpoint', error as Error);
        }
      }
      if (sessions.size === WRITTEN_AT_ONCE) {
        break;
      }
    }
    if (this.changed.size > 0) {
      this.checkpointTimer = setTimeout(() => this.checkpoint(), 0).unref(); // the others have a turn in between
    } else {
      this.checkpointedAt = performance.now();
    }
    if (sessions.size > 0) {
      void this.writeLive(sessions);
    }
  }

  /** Resolves to whether sessions of connected clients were written. */
  private async writeLive(sessions: Map<string, string>): Promise<boolean> {
    if (!this.options.checkpoints) {
      return false;
    }
    const written = this.records.writeLive(sessions);
    this.write('checkpoint', written);
    try {
      await written;
      return true;
    } catch {
      for (const pid of sessions.keys()) {
        const held = this.held.get(pid);
        if (held) {
          held.data = undefined;
          this.changed.add(pid); // written with the next ones, at the latest when Redis is back
        }
      }
      return false;
    }
  }

  private store(unsaved: Unsaved): void {
    const { session, encoded, until } = unsaved;
    const write = this.records.store(session.pid, encoded, until - Date.now());
    this.write(
      'save',
      write.catch((error: Error) => {
        if (this.unsaved.size < MAX_UNSAVED) {
          this.unsaved.set(session.pid, unsaved);
        }
        throw error;
      }),
    );
  }

  /** Ends what this node keeps of a connected client. */
  private async drop(pid: string): Promise<void> {
    this.held.delete(pid);
    this.changed.delete(pid);
    if (this.options.checkpoints) {
      await this.records.removeLive(pid);
    }
  }

  private write(operation: 'save' | 'checkpoint', write: Promise<unknown>): void {
    const settled = write
      .catch((error: Error) => this.options.onError(operation, error))
      .finally(() => this.writes.delete(settled));
    this.writes.add(settled);
  }
}

function toAttempt(record: SessionRecord | undefined, isOurs = false, isWritten = false): Attempt {
  return { ...(record && { record }), isOurs, isWritten };
}

/** The session as it is from its next recovery on. */
function next(session: Session): Session {
  return { ...session, epoch: epochOf(session) + 1 };
}

function epochOf({ epoch }: Session): number {
  return epoch ?? 0;
}

/** Whether a session has been with nobody since it was found first, or is with nobody again. */
function isFree({ session, node }: SessionRecord, { epoch }: Take): boolean {
  return node === undefined || epoch === undefined || epochOf(session) === epoch;
}

/** Whether a record is not older than another, which is that of a connected client if they are as often recovered. */
function isLater(a: SessionRecord, b: SessionRecord): boolean {
  return epochOf(a.session) > epochOf(b.session) || (epochOf(a.session) === epochOf(b.session) && a.node === undefined);
}

/** What tells data from others; not what is binary in them. */
function fingerprint(data: unknown): string {
  try {
    return JSON.stringify(data) ?? '';
  } catch {
    return ''; // told when it is written
  }
}
