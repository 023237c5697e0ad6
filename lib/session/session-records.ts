import type { Command, RedisConnection } from '../redis/driver.js';
import { RedisTimeoutError } from '../redis/errors.js';
import { replyCode } from '../redis/reply-code.js';
import { toInfo as toFields } from '../redis/stream-reply.js';
import { SessionKeys } from '../wire/keys.js';
import { decodeClaims, decodeSession, encodeClaim, type Session, type SessionClaimRecord } from '../wire/session.js';
import { NOBODY, type Claims, type OwnedRecord } from './ownership.js';

/** Milliseconds for which the directory of nodes is taken as known. */
const DIRECTORY_AGE_MS = 1_000;
/** A claim is kept this many milliseconds longer than a client has to come back: longer than any record of before. */
const CLAIM_SLACK_MS = 60 * 60 * 1_000;
/** The longest time for which Redis can be asked to keep a key, in milliseconds, as far as a number here can say it. */
const MAX_LIFETIME_MS = Number.MAX_SAFE_INTEGER;
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
  /** Milliseconds after which a node that has given no sign of life, and has no sessions, leaves the directory. */
  grace: number;
}

/** A record of a session: in a key of its own, in the hash of the node where its client is connected, or in a claim. */
export interface SessionRecord extends OwnedRecord {
  readonly session: Session;
  /** The node in whose hash it is, or that has claimed it; undefined: it is in a key of its own. */
  readonly node: string | undefined;
}

/**
 * What became of a stored session that was to be deleted: it was; it was not there; or another was there, stored since, and still
 * is.
 */
export type Removal = 'removed' | 'missing' | 'later';

/** What Redis has of a session. */
export interface FoundSession {
  readonly records: SessionRecord[];
  readonly claims: Claims;
}

/**
 * Sessions as they are in Redis.
 *
 * - Of a disconnected client: a key of its own, which expires; the form is that of the reference adapter.
 * - Of a connected client: a field of its node's hash. The hash expires as a whole, and the node's heartbeat keeps it. A
 *   sorted set, the directory, lists the nodes that have such a hash.
 * - Of a client that has been recovered: a hash of claims, which says who owns the session.
 *
 * Nodes' clocks are never compared: the directory's scores only show whether a node has written since.
 */
export class SessionRecords {
  /** The other nodes with sessions, and when Redis was asked for them; undefined: it is asked before the next search. */
  private directory: { nodes: Promise<string[]>; at: number } | undefined;
  /** The names of the keys. */
  private readonly keys: SessionKeys;
  /** Whether this node has written sessions of connected clients, and has entered itself in the directory. */
  private isListed = false;
  /** Whether this node's hash is there, as far as is known: it has a field that is no session then. */
  private isMarked = false;
  /** When the directory was tidied last, by the stopwatch of this process. */
  private tidiedAt = performance.now();
  /** The directory as it was when it was tidied last: the score of each node. */
  private scores = new Map<string, string>();

  constructor(
    private readonly connection: RedisConnection,
    private readonly options: SessionRecordsOptions,
  ) {
    this.keys = new SessionKeys(options.keyPrefix);
  }

  /** Whether this node has, or had, sessions of connected clients. */
  get hasLive(): boolean {
    return this.isListed;
  }

  /**
   * What there is of each of these sessions, but for what is in this node's hash: it knows better. An error for those of
   * which Redis did not say all.
   *
   * @throws if a reply does not come in time, or the nodes cannot be asked for
   */
  async find(sessions: readonly { pid: string; nsp: string }[]): Promise<(FoundSession | Error)[]> {
    const nodes = this.options.checkpoints ? await this.otherNodes() : [];
    const pids = sessions.map(({ pid }) => pid);
    // A client that is disconnected has its key written first and its field deleted then: so the fields are read first.
    const replies = await this.askEachOrFail([
      ...pids.map((pid) => ['HGETALL', this.claimsKey(pid)]),
      ...nodes.map((node) => ['HMGET', this.liveKey(node), ...pids]),
      ...pids.map((pid) => ['GET', this.key(pid)]),
    ]);
    const live = replies.slice(pids.length, pids.length + nodes.length);
    const stored = replies.slice(pids.length + nodes.length);
    return sessions.map(({ pid, nsp }, i) => {
      const failed = [replies[i], ...live, stored[i]].find((reply) => reply instanceof Error);
      if (failed) {
        return failed;
      }
      const claims = decodeClaims(toTexts(replies[i]), pid);
      const records: SessionRecord[] = [];
      for (const [epoch, { node, session }] of claims) {
        if (session) {
          records.push({ kind: 'claim', epoch, owner: node, session, node });
        }
      }
      for (const [n, node] of nodes.entries()) {
        records.push(...toRecord('live', decodeSession((live[n] as unknown[] | undefined)?.[i], pid), node));
      }
      records.push(...toRecord('stored', decodeSession(stored[i], pid), undefined));
      // A client may name the session of another namespace, which is not touched then.
      const isOfNamespace = ({ session }: SessionRecord): boolean => (session.nsp ?? nsp) === nsp;
      const isHere = records.every(isOfNamespace) && [...claims.values()].every((claim) => claim.nsp === nsp);
      return isHere ? { records, claims: toClaims(claims) } : { records: [], claims: new Map() };
    });
  }

  // ── claims ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Claims an epoch of a session for this node. Returns all claims: it has the epoch if they say so.
   *
   * @param encoded - the session, kept with the claim until {@link dropCopy}
   */
  async claim(pid: string, nsp: string, epoch: number, encoded?: string): Promise<Claims> {
    return this.enterClaim(pid, epoch, encodeClaim(this.options.nodeId, nsp, encoded), []);
  }

  /** Claims an epoch for nobody: the session is over. Returns all claims. */
  async endClaims(pid: string, nsp: string, epoch: number): Promise<Claims> {
    const key = this.claimsKey(pid);
    return this.enterClaim(pid, epoch, encodeClaim(NOBODY, nsp), [['HDEL', key, String(epoch - 1)]]);
  }

  private async enterClaim(pid: string, epoch: number, value: string, more: Command[]): Promise<Claims> {
    const key = this.claimsKey(pid);
    const [, claims] = await this.transaction([
      ['HSETNX', key, String(epoch), value],
      ['HGETALL', key],
      this.claimExpiry(key),
      ...more,
    ]);
    return toClaims(decodeClaims(toTexts(claims), pid));
  }

  /** The session is written elsewhere: the claim need not hold it any more, and earlier ones are of no use. */
  async dropCopy(pid: string, nsp: string, epoch: number): Promise<void> {
    const key = this.claimsKey(pid);
    await this.transaction([
      ['HSET', key, String(epoch), encodeClaim(this.options.nodeId, nsp)],
      ['HDEL', key, String(epoch - 1)],
      this.claimExpiry(key),
    ]);
  }

  /** Claims before the last but one are of no use to anybody. */
  async removeClaims(pid: string, epochs: number[]): Promise<void> {
    await this.ask(['HDEL', this.claimsKey(pid), ...epochs.map(String)]);
  }

  async claimsOf(pid: string): Promise<Claims> {
    return toClaims(decodeClaims(toTexts(await this.ask(['HGETALL', this.claimsKey(pid)])), pid));
  }

  // ── records ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The nodes are asked for again before the next search: one may be new. */
  forgetNodes(): void {
    this.directory = undefined;
  }

  /**
   * Deletes the session of a disconnected client, if it was stored before an epoch. If this command is late, and the client has
   * left again in that epoch or a later one, that is put back.
   */
  async removeStored(pid: string, epoch: number): Promise<Removal> {
    const key = this.key(pid);
    const [stored, removed] = await this.transaction([
      ['GET', key],
      ['DEL', key],
    ]);
    if (epochOf(stored, pid) >= epoch) {
      await this.ask(['SET', key, String(stored), 'PX', toLifetime(this.options.lifetime()), 'NX']);
      return 'later';
    }
    return Number(removed) > 0 ? 'removed' : 'missing';
  }

  /** Deletes what another node has written of a connected client. */
  async removeLiveOf(node: string, pid: string): Promise<void> {
    await this.ask(['HDEL', this.liveKey(node), pid]);
  }

  /**
   * Writes the session of a disconnected client, as it was in an epoch. If this command is late, and the client has come elsewhere
   * and left again, what was stored then is put back.
   */
  async store({ pid, epoch }: { pid: string; epoch: number }, encoded: string, lifetime: number): Promise<void> {
    const key = this.key(pid);
    const [before] = await this.transaction([
      ['GET', key],
      ['SET', key, encoded, 'PX', toLifetime(lifetime)],
    ]);
    if (epochOf(before, pid) > epoch) {
      await this.ask(['SET', key, String(before), 'PX', toLifetime(this.options.lifetime()), 'XX']);
    }
  }

  /** Writes sessions of connected clients, by their ids. */
  async writeLive(sessions: ReadonlyMap<string, string>): Promise<void> {
    const mark = this.isMarked ? [] : [MARK, ''];
    this.isMarked = true;
    try {
      await this.transaction([['HSET', this.ownKey, ...mark, ...[...sessions].flat()], this.expiry()]);
      if (mark.length > 0) {
        this.isListed = true;
        await this.enterDirectory(); // who is in the directory without a hash may be removed from it
      }
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
    this.isMarked = fields.delete(MARK);
    return this.isMarked ? fields : undefined;
  }

  /**
   * Keeps this node's hash from expiring. Resolves to whether it is still there, and how many sessions are in it, unless the
   * Redis user may not ask for that.
   */
  async keepAlive(): Promise<{ isThere: boolean; count: number | undefined }> {
    const [kept, fields] = await Promise.all([
      this.ask(this.expiry()),
      this.ask(['HLEN', this.ownKey]).catch(() => undefined),
      this.enterDirectory(),
    ]);
    this.isMarked &&= Number(kept) > 0;
    return { isThere: this.isMarked, count: fields === undefined ? undefined : Number(fields) - 1 }; // one is the mark
  }

  /** Removes this node's hash, and the node from the directory. */
  async removeNode(): Promise<void> {
    if (this.isListed) {
      await this.askEach([
        ['DEL', this.ownKey],
        ['ZREM', this.directoryKey, this.options.nodeId],
      ]);
    }
  }

  /** Enters this node in the directory, with a score that is another each time. */
  private async enterDirectory(): Promise<void> {
    await this.ask(['ZADD', this.directoryKey, String(Date.now()), this.options.nodeId]);
    await this.tidyDirectory();
  }

  /** Removes nodes that have no hash and have not entered themselves for a while, by this node's own stopwatch. */
  private async tidyDirectory(): Promise<void> {
    const now = performance.now();
    if (now - this.tidiedAt < this.options.grace) {
      return;
    }
    this.tidiedAt = now;
    const reply = toFields(await this.ask(['ZRANGE', this.directoryKey, '0', '-1', 'WITHSCORES']));
    const before = this.scores;
    this.scores = new Map([...reply].map(([node, score]) => [node, String(score)]));
    const silent = [...this.scores].filter(([node, score]) => before.get(node) === score).map(([node]) => node);
    const exist = await this.askEach(silent.map((node) => ['EXISTS', this.liveKey(node)]));
    const gone = silent.filter((_node, i) => Number(exist[i]) === 0);
    if (gone.length > 0) {
      await this.ask(['ZREM', this.directoryKey, ...gone]);
    }
  }

  private otherNodes(): Promise<string[]> {
    const now = performance.now();
    if (!this.directory || now - this.directory.at > DIRECTORY_AGE_MS) {
      const nodes = this.ask(['ZRANGE', this.directoryKey, '0', '-1']).then((reply) =>
        (reply as unknown[]).map(String).filter((node) => node !== this.options.nodeId),
      );
      nodes.catch(() => (this.directory = undefined));
      this.directory = { nodes, at: now };
    }
    return this.directory.nodes;
  }

  private expiry(): Command {
    return ['PEXPIRE', this.ownKey, toLifetime(this.options.lifetime())];
  }

  private claimExpiry(key: string): Command {
    return ['PEXPIRE', key, toLifetime(this.options.lifetime() + CLAIM_SLACK_MS)];
  }

  private ask(command: Command): Promise<unknown> {
    return this.connection.call(command, this.options.commandTimeout);
  }

  /** Sends commands that need not be done as one. */
  private askEach(commands: Command[]): Promise<unknown[]> {
    return Promise.all(commands.map((command) => this.ask(command)));
  }

  /**
   * Likewise. A command that fails has its error for a reply, and none if its key is somebody else's.
   *
   * @throws if one is not answered in time
   */
  private async askEachOrFail(commands: Command[]): Promise<unknown[]> {
    const outcomes = await Promise.allSettled(commands.map((command) => this.ask(command)));
    return outcomes.map((outcome) => {
      if (outcome.status === 'fulfilled') {
        return outcome.value;
      }
      const error = outcome.reason as Error;
      if (error instanceof RedisTimeoutError) {
        throw error;
      }
      return replyCode(error) === 'WRONGTYPE' ? undefined : error;
    });
  }

  private transaction(commands: Command[]): Promise<unknown[]> {
    return this.connection.transaction(commands, this.options.commandTimeout);
  }

  private key(pid: string): string {
    return this.keys.stored(pid);
  }

  private claimsKey(pid: string): string {
    return this.keys.claims(pid);
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

function toRecord(kind: 'live' | 'stored', session: Session | undefined, node: string | undefined): SessionRecord[] {
  return session ? [{ kind, epoch: session.epoch, owner: session.owner, session, node }] : [];
}

/** Of a stored session: 0 if it says none, for a node of the reference wrote it; -1 if there is no session. */
function epochOf(stored: unknown, pid: string): number {
  const session = decodeSession(stored, pid);
  return session ? (session.epoch ?? 0) : -1;
}

function toClaims(claims: ReadonlyMap<number, SessionClaimRecord>): Claims {
  return new Map([...claims].map(([epoch, { node }]) => [epoch, node]));
}

function toTexts(reply: unknown): Map<string, string> {
  return new Map([...toFields(reply)].map(([name, value]) => [name, String(value)]));
}

/** `Infinity` is the longest time that Redis accepts. */
function toLifetime(ms: number): string {
  return String(Math.min(MAX_LIFETIME_MS, Math.max(1, Math.ceil(ms))));
}
