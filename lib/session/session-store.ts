import { withDeadline } from '../redis/deadline.js';
import type { Command, RedisConnection } from '../redis/driver.js';
import { decodeSession, encodeSession, type Session } from './session.js';

/** Milliseconds for which changes of live sessions are gathered into one write. */
const CHECKPOINT_DELAY = 50;
/** A node is dropped from the directory this many milliseconds after its sessions have expired. */
const DIRECTORY_SLACK = 60 * 60 * 1_000;
/** How many sessions wait for Redis to come back. */
const MAX_UNSAVED = 10_000;
/** Milliseconds for which the directory of nodes is taken as known. */
const DIRECTORY_AGE = 1_000;

export interface SessionStoreOptions {
  keyPrefix: string;
  nodeId: string;
  /** Whether sessions are written while their client is connected. */
  checkpoints: boolean;
  /** Milliseconds after which a command counts as unanswered. */
  commandTimeout: number;
  /** Told when a session could not be written or read. */
  onError(operation: 'save' | 'checkpoint' | 'take', error: Error): void;
}

/** A session that was taken, and the node on which its client may still seem connected. */
export interface TakenSession {
  session: Session;
  liveOn?: string;
}

/**
 * Sessions in Redis.
 *
 * - Of a disconnected client: a key of its own, which expires; the form is that of the reference adapter.
 * - Of a connected client: a field of its node's hash, written when it connects and when its rooms change, so that it
 *   survives a crash of the node. The hash expires as a whole, and the node's heartbeat keeps it: no command for each
 *   client. A sorted set lists the nodes that have such a hash.
 *
 * A session is handed out once: taking it removes every record of it.
 */
export class SessionStore {
  private readonly live = new Map<string, () => Session>();
  private readonly changed = new Set<string>();
  private checkpointTimer: NodeJS.Timeout | undefined;
  private readonly writes = new Set<Promise<unknown>>();
  private readonly unsaved = new Map<string, { encoded: string; until: number }>();
  private directory: { nodes: string[]; at: number } | undefined;
  private announced = false;
  /** Milliseconds for which a disconnected client can come back; the longest of all servers. */
  private duration = 0;

  constructor(
    private readonly connection: RedisConnection,
    private readonly options: SessionStoreOptions,
  ) {}

  /** How many clients are connected whose sessions are kept. */
  get liveCount(): number {
    return this.live.size;
  }

  /** Keeps the session of a connected client in Redis. `current` gives it as it is when it is written. */
  track(pid: string, duration: number, current: () => Session): void {
    if (!this.options.checkpoints) {
      return;
    }
    this.duration = Math.max(this.duration, duration);
    this.live.set(pid, current);
    this.touch(pid);
  }

  /** To be called when a tracked session has changed. */
  touch(pid: string): void {
    if (this.live.has(pid)) {
      this.changed.add(pid);
      this.checkpointTimer ??= setTimeout(() => this.write('checkpoint', this.checkpoint()), CHECKPOINT_DELAY).unref();
    }
  }

  /** The client said goodbye: nothing is kept. */
  forget(pid: string): void {
    this.untrack(pid);
    this.write('save', this.ask(['DEL', this.key(pid)]));
  }

  /** The session lives on elsewhere: this node stops writing it. */
  release(pid: string): void {
    this.live.delete(pid);
    this.changed.delete(pid);
  }

  /** The client was disconnected: its session is kept for `duration` milliseconds. */
  save(session: Session, duration: number): void {
    let encoded;
    try {
      encoded = encodeSession(session);
    } catch (error) {
      this.untrack(session.pid);
      this.options.onError('save', error as Error);
      return;
    }
    this.untrack(session.pid);
    this.store(session.pid, encoded, Date.now() + duration);
  }

  /** To be called when the connection can be used again: writes the sessions that could not be written before. */
  onReady(): void {
    for (const [pid, { encoded, until }] of this.unsaved) {
      this.unsaved.delete(pid);
      if (until > Date.now()) {
        this.store(pid, encoded, until);
      }
    }
  }

  private store(pid: string, encoded: string, until: number): void {
    const write = this.ask(['SET', this.key(pid), encoded, 'PX', String(Math.ceil(until - Date.now()))]);
    this.write(
      'save',
      write.catch((error: Error) => {
        if (this.unsaved.size < MAX_UNSAVED) {
          this.unsaved.set(pid, { encoded, until });
        }
        throw error;
      }),
    );
  }

  /** Takes a session, if there is one: no other call gets it again. */
  async take(pid: string): Promise<TakenSession | undefined> {
    await Promise.all(this.writes); // a client can come back sooner than its session is written
    const key = this.key(pid);
    const nodes = this.options.checkpoints ? await this.nodes() : [];
    const [stored, ...live] = await Promise.all([
      this.askAll([
        ['GET', key],
        ['DEL', key],
      ]),
      ...nodes.map((node) =>
        this.askAll([
          ['HGET', this.liveKey(node), pid],
          ['HDEL', this.liveKey(node), pid],
        ]),
      ),
    ]);
    const found: TakenSession[] = [];
    const session = decodeSession(stored[0], pid);
    if (session) {
      found.push({ session });
    }
    live.forEach(([value], i) => {
      const checkpoint = decodeSession(value, pid);
      if (checkpoint) {
        found.push({ session: checkpoint, liveOn: nodes[i]! });
      }
    });
    return found.reduce<TakenSession | undefined>(
      (latest, one) => (latest && (latest.session.epoch ?? 0) >= (one.session.epoch ?? 0) ? latest : one),
      undefined,
    );
  }

  /** Keeps this node's live sessions from expiring for `grace` milliseconds and the time that clients have. */
  async keepAlive(grace: number): Promise<void> {
    if (this.live.size === 0 && !this.announced) {
      return;
    }
    const { nodeId } = this.options;
    const lifetime = this.duration + grace;
    const now = Date.now();
    const [kept] = await Promise.all([
      this.ask(['PEXPIRE', this.liveKey(nodeId), String(Math.ceil(lifetime))]),
      this.ask(['ZADD', this.directoryKey, String(now), nodeId]),
      this.ask(['ZREMRANGEBYSCORE', this.directoryKey, '-inf', String(now - lifetime - DIRECTORY_SLACK)]),
    ]);
    if (Number(kept) === 0 && this.live.size > 0) {
      // The hash is gone: expired while Redis was away, or deleted.
      for (const pid of this.live.keys()) {
        this.changed.add(pid);
      }
      await this.checkpoint();
    }
  }

  /** Writes what is still to be written, and removes this node's live sessions. */
  async close(): Promise<void> {
    clearTimeout(this.checkpointTimer);
    this.live.clear();
    this.changed.clear();
    await Promise.all(this.writes);
    if (this.announced) {
      const { nodeId } = this.options;
      await Promise.all([
        this.ask(['DEL', this.liveKey(nodeId)]),
        this.ask(['ZREM', this.directoryKey, nodeId]),
      ]).catch((error: Error) => this.options.onError('save', error));
    }
  }

  private async checkpoint(): Promise<void> {
    this.checkpointTimer = undefined;
    const fields: string[] = [];
    for (const pid of this.changed) {
      const current = this.live.get(pid);
      if (current) {
        try {
          fields.push(pid, encodeSession(current()));
        } catch (error) {
          this.options.onError('checkpoint', error as Error);
        }
      }
    }
    this.changed.clear();
    if (fields.length === 0) {
      return;
    }
    const key = this.liveKey(this.options.nodeId);
    await this.ask(['HSET', key, ...fields]);
    if (!this.announced) {
      this.announced = true;
      await this.keepAlive(60_000);
    }
  }

  private untrack(pid: string): void {
    if (this.live.delete(pid)) {
      this.changed.delete(pid);
      this.write('save', this.ask(['HDEL', this.liveKey(this.options.nodeId), pid]));
    }
  }

  private async nodes(): Promise<string[]> {
    const now = performance.now();
    if (!this.directory || now - this.directory.at > DIRECTORY_AGE) {
      const reply = await this.ask(['ZRANGE', this.directoryKey, '0', '-1']);
      this.directory = { nodes: (reply as unknown[]).map(String), at: now };
    }
    return this.directory.nodes;
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
