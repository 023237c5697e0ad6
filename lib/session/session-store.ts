import { withDeadline } from '../redis/deadline.js';
import type { Command, RedisConnection } from '../redis/driver.js';
import { decodeSession, encodeSession, type Session } from './session.js';

/** Milliseconds from one write of changed sessions to the next. */
const CHECKPOINT_INTERVAL = 50;
/** A node is dropped from the directory this many milliseconds after its sessions have expired. */
const DIRECTORY_SLACK = 60 * 60 * 1_000;
/** How many sessions wait for Redis to come back. */
const MAX_UNSAVED = 10_000;
/** Milliseconds for which the directory of nodes is taken as known. */
const DIRECTORY_AGE = 1_000;
/** Milliseconds that a node has to let go of a client that has come elsewhere. */
const RELEASE_TIMEOUT = 1_000;
/** A field that a node's hash always has, so that it does not vanish with its last session. No session id is empty. */
const MARK = '';
/** How often a session is looked for. */
const TRIES = 3;
/** How many sessions are compared with what was written of them before others get their turn in the event loop. */
const COMPARED_AT_ONCE = 100;

export interface SessionStoreOptions {
  keyPrefix: string;
  nodeId: string;
  /** Whether sessions are written while their client is connected. */
  checkpoints: boolean;
  /** Milliseconds for which live sessions are kept, beyond the time that clients have, after the last heartbeat. */
  grace: number;
  /** Milliseconds after which a command counts as unanswered. */
  commandTimeout: number;
  peers: SessionPeers;
  /** Told when a session could not be written or read. */
  onError(operation: 'save' | 'checkpoint' | 'take', error: Error): void;
}

/** The other nodes, as far as sessions move between them. */
export interface SessionPeers {
  /** Asks all nodes to let go of a client, and the one where it seems connected to answer. */
  askRelease(pid: string, at: string): Promise<void>;
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

/** A record of a session in Redis: in its own key, or in the hash of the node where its client is connected. */
interface SessionRecord {
  session: Session;
  node: string | undefined;
}

/** A session of a disconnected client that could not be written, and until when it is of use. */
interface Unsaved {
  session: Session;
  encoded: string;
  until: number;
}

/** A session that is being taken by this node. */
interface Take {
  done: Promise<Session | undefined>;
  /** Another node took it meanwhile. */
  lost: boolean;
  /** Given what the node where the client seemed connected answers. */
  onRelease?: (answer: string | null) => void;
}

/**
 * Sessions in Redis.
 *
 * - Of a disconnected client: a key of its own, which expires; the form is that of the reference adapter.
 * - Of a connected client: a field of its node's hash, written when it connects and when its rooms or its data change,
 *   so that it survives a crash of the node. The hash expires as a whole, and the node's heartbeat keeps it: no command
 *   for each client. A sorted set lists the nodes that have such a hash.
 *
 * A session is handed out once. Who takes one writes it into its own hash first, so that it is in Redis at any time,
 * and then deletes the record that it has read: who finds that gone looks again, and finds that it was second. A node that is alive is asked for the
 * session as it is now, for the record may be older; and that node closes what it still holds of the client.
 */
export class SessionStore {
  private readonly held = new Map<string, Held>();
  private readonly changed = new Set<string>();
  private readonly takes = new Map<string, Take>();
  private checkpointTimer: NodeJS.Timeout | undefined;
  private checkpointedAt = 0;
  private comparing = false;
  private readonly writes = new Set<Promise<unknown>>();
  private readonly unsaved = new Map<string, Unsaved>();
  private readonly undeleted = new Set<string>();
  private lookup: { pids: Set<string>; records: Promise<Map<string, SessionRecord[]>> } | undefined;
  private directory: { nodes: Promise<string[]>; at: number } | undefined;
  private announced = false;
  private isMarked = false;
  private closed = false;
  /** Milliseconds for which a disconnected client can come back; the longest of all servers. */
  private duration = 0;

  constructor(
    private readonly connection: RedisConnection,
    private readonly options: SessionStoreOptions,
  ) {}

  /** How many clients are connected whose sessions are kept in Redis. */
  get liveCount(): number {
    return this.options.checkpoints ? this.held.size : 0;
  }

  /** Live sessions are kept for at least so many milliseconds after a crash. */
  keepFor(duration: number): void {
    this.duration = Math.max(this.duration, duration);
  }

  // ── of connected clients ────────────────────────────────────────────────────────────────────────────────────────

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
    if (this.held.has(pid) && this.options.checkpoints && !this.closed) {
      this.changed.add(pid);
      this.scheduleCheckpoint();
    }
  }

  /** The client said goodbye, or cannot be recovered: nothing is kept. */
  forget(pid: string): void {
    const deleted = Promise.all([this.ask(['DEL', this.key(pid)]), this.drop(pid)]);
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
   */
  letGo(pid: string): string | undefined {
    const take = this.takes.get(pid);
    if (take) {
      take.lost = true;
    }
    const held = this.held.get(pid);
    if (!held) {
      return undefined;
    }
    let encoded;
    try {
      encoded = encodeSession(held.holder.current());
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
    const take: Take = { done: Promise.resolve(undefined), lost: false };
    take.done = this.takeInTurn(pid, nsp, take, receive, before).finally(() => {
      if (this.takes.get(pid) === take) {
        this.takes.delete(pid);
      }
    });
    this.takes.set(pid, take);
    return take.done;
  }

  private async takeInTurn(
    pid: string,
    nsp: string,
    take: Take,
    receive: (session: Session) => SessionHolder,
    before: Promise<unknown> | undefined,
  ): Promise<Session | undefined> {
    try {
      await before;
      if (this.closed) {
        return undefined;
      }
      const here = this.takeHere(pid, nsp);
      const taken = here ? { session: here, isWritten: false } : await this.takeFromRedis(pid, nsp, take);
      if (!taken || take.lost) {
        return undefined;
      }
      this.hold(pid, receive(taken.session), taken.isWritten);
      return taken.session;
    } catch (error) {
      this.options.onError('take', error as Error);
      return undefined;
    }
  }

  /** The session of a client that seems to be connected to this very node, or that Redis could not be told yet. */
  private takeHere(pid: string, nsp: string): Session | undefined {
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

  private async takeFromRedis(
    pid: string,
    nsp: string,
    take: Take,
  ): Promise<{ session: Session; isWritten: boolean } | undefined> {
    let epoch: number | undefined;
    for (let tries = 0; tries < TRIES; tries++) {
      const records = await this.find(pid, nsp);
      const latest = records.reduce<SessionRecord | undefined>((a, b) => (a && isLater(a, b) ? a : b), undefined);
      if (!latest) {
        this.directory = undefined; // a node may be new
        continue;
      }
      epoch ??= epochOf(latest.session);
      if (epochOf(latest.session) !== epoch) {
        return undefined; // somebody else has it
      }
      const { isOurs, isWritten } = await this.claim(latest, records);
      if (isOurs) {
        const { session, node } = latest;
        const current = node === undefined ? undefined : await this.askForCurrent(session, node, take);
        return { session: next(current ?? session), isWritten: isWritten && !current };
      } // else it may be that its client was disconnected just then, so that its record is elsewhere now
    }
    return undefined;
  }

  /** Makes a session this node's. Returns whether it is, for somebody else may have been faster. */
  private async claim(
    latest: SessionRecord,
    records: SessionRecord[],
  ): Promise<{ isOurs: boolean; isWritten: boolean }> {
    const { pid } = latest.session;
    const [isWritten, isOurs] = await Promise.all([
      this.options.checkpoints && this.writeLive(new Map([[pid, encodeSession(next(latest.session))]])),
      this.remove(latest, pid),
      ...records.filter((record) => record !== latest).map((record) => this.remove(record, pid)),
    ]);
    if (!isOurs) {
      this.write('save', this.drop(pid));
    }
    return { isOurs, isWritten };
  }

  /** The session as the node knows it on which its client seems connected; undefined if that does not answer. */
  private async askForCurrent(session: Session, node: string, take: Take): Promise<Session | undefined> {
    const { pid, nsp } = session;
    const { peers } = this.options;
    let timer: NodeJS.Timeout | undefined;
    try {
      const answered = new Promise<string | null | undefined>((resolve) => {
        take.onRelease = resolve;
        timer = setTimeout(() => resolve(undefined), RELEASE_TIMEOUT);
      });
      const [canHear] = await Promise.all([peers.canHear(nsp!, node), peers.askRelease(pid, node)]);
      const answer = canHear ? await answered : undefined;
      if (answer !== null) {
        return decodeSession(answer, pid);
      }
      // It had been disconnected there, and its session was being written.
      const key = this.key(pid);
      const [stored] = await this.askAll([
        ['GET', key],
        ['DEL', key],
      ]);
      const disconnected = decodeSession(stored, pid);
      return disconnected && epochOf(disconnected) >= epochOf(session) ? disconnected : undefined;
    } catch {
      return undefined; // what was read is good enough
    } finally {
      clearTimeout(timer);
    }
  }

  /** All records of a session that a namespace can use. What is asked in one turn is read at once. */
  private async find(pid: string, nsp: string): Promise<SessionRecord[]> {
    if (!this.lookup) {
      const pids = new Set<string>();
      const turn = new Promise<void>((resolve) => setImmediate(resolve));
      const records = turn.then(() => {
        this.lookup = undefined;
        return this.read([...pids]);
      });
      this.lookup = { pids, records };
    }
    this.lookup.pids.add(pid);
    const records = (await this.lookup.records).get(pid) ?? [];
    return records.filter(({ session }) => session.nsp === undefined || session.nsp === nsp);
  }

  private async read(pids: string[]): Promise<Map<string, SessionRecord[]>> {
    const nodes = this.options.checkpoints ? await this.nodes() : [];
    // A client that is disconnected has its key written first and its field deleted then: so the fields are read first.
    const replies = await Promise.all([
      ...nodes.map((node) => this.ask(['HMGET', this.liveKey(node), ...pids])),
      ...pids.map((pid) => this.ask(['GET', this.key(pid)])),
    ]);
    const stored = replies.slice(nodes.length);
    const found = new Map<string, SessionRecord[]>();
    pids.forEach((pid, i) => {
      const values = [stored[i], ...nodes.map((_node, n) => (replies[n] as unknown[])[i])];
      const records: SessionRecord[] = [];
      values.forEach((value, n) => {
        const session = decodeSession(value, pid);
        if (session) {
          records.push({ session, node: nodes[n - 1] });
        }
      });
      if (records.length > 0) {
        found.set(pid, records);
      }
    });
    return found;
  }

  /** Deletes a record. Returns whether it was still there. */
  private async remove({ node }: SessionRecord, pid: string): Promise<boolean> {
    const command = node === undefined ? ['DEL', this.key(pid)] : ['HDEL', this.liveKey(node), pid];
    return Number(await this.ask(command)) > 0;
  }

  /** The other nodes that have, or had, clients whose sessions are kept. */
  private nodes(): Promise<string[]> {
    const now = performance.now();
    if (!this.directory || now - this.directory.at > DIRECTORY_AGE) {
      const nodes = this.ask(['ZRANGE', this.directoryKey, '0', '-1']).then((reply) =>
        (reply as unknown[]).map(String).filter((node) => node !== this.options.nodeId),
      );
      nodes.catch(() => (this.directory = undefined));
      this.directory = { nodes, at: now };
    }
    return this.directory.nodes;
  }

  // ── time ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** To be called when the connection can be used again: writes the sessions that could not be written before. */
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
   * To be called when this node may not have heard what others asked: lets go of the clients whose records another node
   * has taken meanwhile.
   */
  async verify(): Promise<void> {
    if (!this.announced || !this.connection.ready) {
      return;
    }
    const written = [...this.held].filter(([pid, { data }]) => data !== undefined && !this.changed.has(pid));
    const reply = (await this.ask(['HKEYS', this.liveKey(this.options.nodeId)])) as unknown[];
    const present = new Set(reply.map(String));
    if (present.has(MARK)) {
      for (const [pid, held] of written) {
        if (!present.has(pid) && this.held.get(pid) === held) {
          this.letGo(pid);
        }
      }
    } // else the hash has expired, and will be written again
  }

  /** To be called with each heartbeat: keeps live sessions from expiring, and writes those whose data have changed. */
  async keepAlive(): Promise<void> {
    if (!this.announced) {
      return;
    }
    await this.touchChanged();
    if (this.closed) {
      return;
    }
    const [kept] = await Promise.all([this.ask(this.expiry()), this.announce()]);
    if (Number(kept) === 0) {
      // The hash is gone: expired while Redis was away, or deleted.
      this.isMarked = false;
      for (const pid of this.held.keys()) {
        this.touch(pid);
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
    this.closed = true;
    clearTimeout(this.checkpointTimer);
    await Promise.all([...this.takes.values()].map(({ done }) => done));
    this.saveAll();
    await Promise.all(this.writes);
    if (this.announced) {
      const { nodeId } = this.options;
      await Promise.all([this.ask(['DEL', this.liveKey(nodeId)]), this.ask(['ZREM', this.directoryKey, nodeId])]).catch(
        (error: Error) => this.options.onError('save', error),
      );
    }
  }

  /** Nobody tells when an app changes `socket.data`, so from time to time it is compared with what was written. */
  private async touchChanged(): Promise<void> {
    if (this.comparing) {
      return;
    }
    this.comparing = true;
    let compared = 0;
    for (const [pid, { holder, data }] of this.held) {
      if (fingerprint(holder.current().data) !== data) {
        this.touch(pid);
      }
      if (++compared % COMPARED_AT_ONCE === 0) {
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    this.comparing = false;
  }

  // ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────

  private checkpoint(): void {
    this.checkpointTimer = undefined;
    this.checkpointedAt = performance.now();
    const sessions = new Map<string, string>();
    for (const pid of this.changed) {
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
    }
    this.changed.clear();
    if (sessions.size > 0) {
      void this.writeLive(sessions);
    }
  }

  /** Resolves to whether it could be done. */
  private async writeLive(sessions: Map<string, string>): Promise<boolean> {
    const mark = this.isMarked ? [] : [MARK, ''];
    const fields = [...sessions].flat();
    const writes: Promise<unknown>[] = [
      this.askAll([['HSET', this.liveKey(this.options.nodeId), ...mark, ...fields], this.expiry()]),
    ];
    if (!this.announced) {
      this.announced = true;
      writes.push(this.announce());
    }
    this.isMarked = true;
    const done = Promise.all(writes);
    this.write('checkpoint', done);
    try {
      await done;
      return true;
    } catch {
      this.isMarked = false;
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

  private scheduleCheckpoint(): void {
    const due = this.checkpointedAt + CHECKPOINT_INTERVAL - performance.now();
    this.checkpointTimer ??= setTimeout(() => this.checkpoint(), Math.max(0, due)).unref();
  }

  private expiry(): Command {
    return ['PEXPIRE', this.liveKey(this.options.nodeId), String(Math.ceil(this.duration + this.options.grace))];
  }

  /** Enters this node in the directory, and removes those that have been gone for long. */
  private async announce(): Promise<void> {
    const now = Date.now();
    const gone = now - this.duration - this.options.grace - DIRECTORY_SLACK;
    await Promise.all([
      this.ask(['ZADD', this.directoryKey, String(now), this.options.nodeId]),
      this.ask(['ZREMRANGEBYSCORE', this.directoryKey, '-inf', String(gone)]),
    ]);
  }

  private store(unsaved: Unsaved): void {
    const { session, encoded, until } = unsaved;
    const write = this.ask(['SET', this.key(session.pid), encoded, 'PX', String(Math.ceil(until - Date.now()))]);
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
      await this.ask(['HDEL', this.liveKey(this.options.nodeId), pid]);
    }
  }

  private write(operation: 'save' | 'checkpoint', write: Promise<unknown>): void {
    const settled = write
      .catch((error: Error) => this.options.onError(operation, error))
      .finally(() => this.writes.delete(settled));
    this.writes.add(settled);
  }

  private ask(command: Command): Promise<unknown> {
    return withDeadline(
      this.connection,
      this.options.commandTimeout,
      String(command[0]),
      this.connection.call(command),
    );
  }

  private askAll(commands: Command[]): Promise<unknown[]> {
    return withDeadline(this.connection, this.options.commandTimeout, 'MULTI', this.connection.transaction(commands));
  }

  private key(pid: string): string {
    return this.options.keyPrefix + pid;
  }

  private liveKey(node: string): string {
    return `${this.options.keyPrefix}live:${node}`;
  }

  private get directoryKey(): string {
    return `${this.options.keyPrefix}live:nodes`; // no session id has a colon
  }
}

/** The session as it is from its next recovery on. */
function next(session: Session): Session {
  return { ...session, epoch: epochOf(session) + 1 };
}

function epochOf({ epoch }: Session): number {
  return epoch ?? 0;
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
