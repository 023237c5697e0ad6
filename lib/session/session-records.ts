import { isNativeError } from 'node:util/types';
import type { Command, RedisConnection } from '../redis/driver.js';
import { isTransient } from '../redis/reply-code.js';
import { SessionKeys } from '../wire/keys.js';
import { decodeSession, type Session } from '../wire/session.js';

/** A node is dropped from the directory this many milliseconds after its sessions have expired. */
const DIRECTORY_SLACK = 60 * 60 * 1_000;
/** Milliseconds for which the directory of nodes is taken as known. */
const DIRECTORY_AGE = 1_000;
/** A field that a node's hash always has, so that it does not vanish with its last session. No session id is empty. */
const MARK = '';

export interface SessionRecordsOptions {
  keyPrefix: string;
  nodeId: string;
  /** Whether sessions of connected clients are written. */
  checkpoints: boolean;
  /** Milliseconds after which a command counts as unanswered. */
  commandTimeout: number;
  /** Milliseconds for which sessions of connected clients are kept after the last sign of life of their node. */
  lifetime(): number;
}

/** A record of a session: in a key of its own, or in the hash of the node where its client is connected. */
export interface SessionRecord {
  session: Session;
  node: string | undefined;
}

/**
 * Sessions as they are in Redis.
 *
 * - Of a disconnected client: a key of its own, which expires; the form is that of the reference adapter.
 * - Of a connected client: a field of its node's hash. The hash expires as a whole, and the node's heartbeat keeps it. A
 *   sorted set, the directory, lists the nodes that have such a hash.
 */
export class SessionRecords {
  private directory: { nodes: Promise<string[]>; at: number } | undefined;
  private readonly keys: SessionKeys;
  private isAnnounced = false;
  private isMarked = false;

  constructor(
    private readonly connection: RedisConnection,
    private readonly options: SessionRecordsOptions,
  ) {
    this.keys = new SessionKeys(options.keyPrefix);
  }

  /** Whether this node has, or had, sessions of connected clients. */
  get hasLive(): boolean {
    return this.isAnnounced;
  }

  /**
   * All records of these sessions, this node's own left out: those that it has, it holds. An error of a session whose key
   * cannot be read just now: in a cluster, its master may be away.
   *
   * @throws if no session can be looked for just now
   */
  async find(pids: string[]): Promise<Map<string, SessionRecord[] | Error>> {
    const nodes = this.options.checkpoints ? await this.otherNodes() : [];
    // A client that is disconnected has its key written first and its field deleted then: so the fields are read first.
    const replies = await this.tryEach([
      ...nodes.map((node) => ['HMGET', this.liveKey(node), ...pids]),
      ...pids.map((pid) => ['GET', this.key(pid)]),
    ]);
    const stored = replies.slice(nodes.length);
    const unread = replies.slice(0, nodes.length).find(isNativeError);
    if (unread) {
      throw unread; // any of the sessions may be there
    }
    const found = new Map<string, SessionRecord[] | Error>();
    pids.forEach((pid, i) => {
      if (isNativeError(stored[i])) {
        found.set(pid, stored[i]);
        return;
      }
      const values = [stored[i], ...nodes.map((_node, n) => (replies[n] as unknown[] | undefined)?.[i])];
      const records: SessionRecord[] = [];
      values.forEach((value, n) => {
        const session = decodeSession(value, pid);
        if (session) {
          records.push({ session, node: nodes[n - 1] });
        }
      });
      found.set(pid, records);
    });
    return found;
  }

  /** The nodes are asked for again before the next search: one may be new. */
  forgetNodes(): void {
    this.directory = undefined;
  }

  /** Deletes records. Returns of each whether it was still there. */
  async remove(records: readonly SessionRecord[]): Promise<boolean[]> {
    const replies = await this.askEach(
      records.map(({ session: { pid }, node }) =>
        node === undefined ? ['DEL', this.key(pid)] : ['HDEL', this.liveKey(node), pid],
      ),
    );
    return replies.map((reply) => Number(reply) > 0);
  }

  /** Writes the session of a disconnected client. */
  async store(pid: string, encoded: string, lifetime: number): Promise<void> {
    await this.ask(['SET', this.key(pid), encoded, 'PX', String(Math.ceil(lifetime))]);
  }

  /** Takes the session of a disconnected client. */
  async takeStored(pid: string): Promise<Session | undefined> {
    const key = this.key(pid);
    const [stored] = await this.transaction([
      ['GET', key],
      ['DEL', key],
    ]);
    return decodeSession(stored, pid);
  }

  async removeStored(pid: string): Promise<void> {
    await this.ask(['DEL', this.key(pid)]);
  }

  /** Writes sessions of connected clients, by their ids. */
  async writeLive(sessions: ReadonlyMap<string, string>): Promise<void> {
    const mark = this.isMarked ? [] : [MARK, ''];
    const written = this.transaction([['HSET', this.ownKey, ...mark, ...[...sessions].flat()], this.expiry()]);
    const announced = this.isAnnounced ? undefined : this.announce();
    this.isAnnounced = this.isMarked = true;
    try {
      await Promise.all([written, announced]);
    } catch (error) {
      this.isMarked = false;
      throw error;
    }
  }

  async removeLive(pid: string): Promise<void> {
    await this.ask(['HDEL', this.ownKey, pid]);
  }

  /** The ids of the sessions in this node's hash; undefined if it has expired. */
  async live(): Promise<Set<string> | undefined> {
    const fields = new Set(((await this.ask(['HKEYS', this.ownKey])) as unknown[]).map(String));
    return fields.delete(MARK) ? fields : undefined;
  }

  /** Keeps this node's hash from expiring. Resolves to whether it is still there. */
  async keepAlive(): Promise<boolean> {
    const [kept] = await Promise.all([this.ask(this.expiry()), this.announce()]);
    this.isMarked &&= Number(kept) > 0;
    return this.isMarked;
  }

  /** Removes this node's hash, and the node from the directory. */
  async removeNode(): Promise<void> {
    if (this.isAnnounced) {
      await this.askEach([
        ['DEL', this.ownKey],
        ['ZREM', this.directoryKey, this.options.nodeId],
      ]);
    }
  }

  /** Enters this node in the directory, and removes those that have been gone for long. */
  private async announce(): Promise<void> {
    const now = Date.now();
    const gone = now - this.options.lifetime() - DIRECTORY_SLACK;
    await this.askEach([
      ['ZADD', this.directoryKey, String(now), this.options.nodeId],
      ['ZREMRANGEBYSCORE', this.directoryKey, '-inf', String(gone)],
    ]);
  }

  private otherNodes(): Promise<string[]> {
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

  private expiry(): Command {
    return ['PEXPIRE', this.ownKey, String(Math.ceil(this.options.lifetime()))];
  }

  private ask(command: Command): Promise<unknown> {
    return this.connection.call(command, this.options.commandTimeout);
  }

  /** Sends commands that need not be done as one. */
  private askEach(commands: Command[]): Promise<unknown[]> {
    return Promise.all(commands.map((command) => this.ask(command)));
  }

  /**
   * Likewise, and a command that Redis refuses does not spoil the others: it has no reply. Of one that may succeed a
   * moment later, the reply is the error.
   *
   * @throws if all fail
   */
  private async tryEach(commands: Command[]): Promise<unknown[]> {
    const outcomes = await Promise.allSettled(commands.map((command) => this.ask(command)));
    const failed = outcomes.filter((outcome) => outcome.status === 'rejected');
    if (failed.length === outcomes.length) {
      throw failed[0]!.reason;
    }
    return outcomes.map((outcome) => {
      if (outcome.status === 'fulfilled') {
        return outcome.value;
      }
      return isTransient(outcome.reason) ? (outcome.reason as Error) : undefined;
    });
  }

  private transaction(commands: Command[]): Promise<unknown[]> {
    return this.connection.transaction(commands, this.options.commandTimeout);
  }

  private key(pid: string): string {
    return this.keys.stored(pid);
  }

  private liveKey(node: string): string {
    return this.keys.live(node);
  }

  private get ownKey(): string {
    return this.liveKey(this.options.nodeId);
  }

  private get directoryKey(): string {
    return this.keys.directory;
  }
}
