import { setImmediate as nextTurn } from 'node:timers/promises';
import { RedisClientError } from '../redis/errors.js';
import { afterArrivals } from '../time/suspension.js';
import { within } from '../time/within.js';
import { decodeSession, encodeSession, takenOver, type Session } from '../wire/session.js';
import type { FormerClaims } from './former-claims.js';
import { decide, decideBefore, standingOf, type Decision } from './ownership.js';
import { SessionClaim, UNKNOWN, type ClaimKeeper } from './session-claim.js';
import type { FoundSession, SessionRecord, SessionRecords } from './session-records.js';

/** Milliseconds that a node has to release a client that has come elsewhere. */
const RELEASE_TIMEOUT_MS = 1_000;
/** Milliseconds after which others may have claimed a session again, though it was claimed just now. */
const LATE_MS = 100;
/** How often a session is looked for, when others claim it at the same time. */
const MAX_ATTEMPTS = 5;
/** How many sessions are looked for before others get their turn in the event loop. */
const BATCH_SESSIONS = 50;

/** The other nodes, as far as sessions move between them. */
export interface SessionPeers {
  /**
   * Asks all nodes to release a client, and the one where it seems connected to answer.
   *
   * @param epoch - that was claimed: who has claimed a later one keeps it
   */
  askRelease(pid: string, at: string, epoch: number): Promise<void>;
  /** Resolves when a node is not on its way back to Redis, after that was away: it may have more to say then. */
  whenBack(node: string): Promise<void>;
  /** Resolves when no node is: Redis may have lost what one of them wrote, which it writes again. */
  whenAllBack(): Promise<void>;
  /** Whether a node can be asked at all. */
  canHear(nsp: string, node: string): Promise<boolean>;
}

export interface TakeOptions {
  /** Milliseconds for which the client can come back when it is gone. */
  duration: number;
  /**
   * Whether the client cannot have been anywhere but here since this node had it, as far as can be known without Redis: it
   * was given nothing that this node has not delivered.
   */
  wasOnlyHere(): boolean;
}

/**
 * Why there is no claim: no session is known (there was none, it has expired, or Redis has lost it); others claimed it at
 * the same time; Redis cannot be reached.
 */
export type TakeRefusal = 'unknown' | 'taken' | 'redis-away';

/** What Redis has of sessions, as far as it is needed to take one. */
type TakeoverRecords = Pick<
  SessionRecords,
  'find' | 'claim' | 'claimsOf' | 'removeClaims' | 'removeStored' | 'removeLiveOf' | 'forgetNodes'
>;

export interface SessionTakeoverOptions {
  nodeId: string;
  retry<T>(run: () => Promise<T>): Promise<T>;
  peers: SessionPeers;
  onError(operation: 'take', error: Error): void;
  /** Whether commands can be sent. */
  isReady(): boolean;
  /** Whether all commands can be; not while a master of a cluster is away. */
  isWhole(): boolean;
  /** How often the connection has been made: what is asked from one to the next may not be answered. */
  connections(): number;
  /** Resolves when this node has written again what Redis may have lost, or cannot do so. */
  whenWritten(): Promise<void>;
  /** The claims of this node. */
  claims: ReadonlyMap<string, SessionClaim>;
  /** Those that it had before. */
  former: Pick<FormerClaims, 'since' | 'before'>;
  keeper: ClaimKeeper;
  /** Puts a claim in the place of an earlier one, which is released. */
  add(claim: SessionClaim): void;
  /** Forgets a claim to a session that is not known. */
  end(claim: SessionClaim): void;
  /** Another node has claimed the session of this claim. */
  yield(claim: SessionClaim): void;
  write(operation: 'save', write: Promise<unknown>): void;
  writeNow(claim: SessionClaim): Promise<void>;
}

/** A session that is being taken by this node. */
interface Take extends TakeOptions {
  readonly pid: string;
  readonly nsp: string;
  done: Promise<SessionClaim | TakeRefusal>;
  /** Resolves when it is known whether this node has got the epoch that it has claimed; undefined if it has claimed none. */
  decided?: Promise<void>;
  /** Resolves {@link decided}. */
  markDecided?: () => void;
  /** What was claimed when the connection was lost: whether this node has got it is not known. */
  claimed?: Found;
  /** The node where the client seems connected, and what is given its answer. */
  asked?: { node: string; onAnswer(answer: string | null): void };
}

/** What was found of a session, and decided. */
interface Found {
  readonly decision: Exclude<Decision<SessionRecord>, { kind: 'none' }>;
  readonly records: readonly SessionRecord[];
  /** What the claim contains. */
  readonly encoded: string | undefined;
}

/**
 * How a session moves to this node, from wherever it is, though other nodes may want it at the same time:
 *
 * 1. Look: read what Redis has of it and who has claimed it, and decide which record is the session (ownership.ts).
 * 2. Claim the next epoch. Redis gives it to one node; the others look again. The claim holds the session, so from here on
 *    it is with this node, whatever happens to its answer.
 * 3. Complete: if the client seems connected elsewhere, that node is asked for the session as it is now, and closes what
 *    it still has of the client. Records of before are deleted.
 */
export class SessionTakeover {
  /** Of each session the take that came last; those before it have their turn first. */
  private readonly takes = new Map<string, Take>();
  /** Of each session the take whose turn it is. */
  private readonly active = new Map<string, Take>();
  /** Takes that wait for what Redis has of their session. */
  private looks: { take: Take; resolve: (found: FoundSession) => void; reject: (error: Error) => void }[] = [];
  /** Whether batches of them are being read. */
  private isLooking = false;

  constructor(
    private readonly records: TakeoverRecords,
    private readonly options: SessionTakeoverOptions,
  ) {}

  take(pid: string, nsp: string, options: TakeOptions): Promise<SessionClaim | TakeRefusal> {
    const before = this.takes.get(pid)?.done;
    const take: Take = { pid, nsp, ...options, done: Promise.resolve('unknown') };
    take.done = this.takeInTurn(take, before).finally(() => {
      if (this.takes.get(pid) === take) {
        this.takes.delete(pid);
      }
    });
    this.takes.set(pid, take);
    return take.done;
  }

  /** Resolves when it is known whether this node has got the epoch that it is claiming, if it is. */
  async whenClaimed(pid: string): Promise<void> {
    await this.active.get(pid)?.decided;
  }

  /** @param node - that answers: all hear what one is asked, and others may have an older state */
  onReleased(pid: string, answer: string | null, node: string): void {
    const asked = this.active.get(pid)?.asked;
    if (asked?.node === node) {
      asked.onAnswer(answer);
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.takes.values()].map(({ done }) => done));
  }

  private async takeInTurn(take: Take, before: Promise<unknown> | undefined): Promise<SessionClaim | TakeRefusal> {
    await before;
    this.active.set(take.pid, take);
    try {
      for (let attempts = 1; attempts <= MAX_ATTEMPTS; attempts++) {
        if (!this.options.isReady() && this.claimHere(take) && take.wasOnlyHere()) {
          return this.takeWithoutRedis(take);
        }
        const outcome = await this.attempt(take, attempts === 1);
        if (outcome !== 'again') {
          return outcome;
        }
      }
      return 'taken';
    } catch (error) {
      if (this.claimHere(take) && take.wasOnlyHere()) {
        return this.takeWithoutRedis(take);
      }
      this.options.onError('take', error as Error);
      return 'redis-away';
    } finally {
      this.active.delete(take.pid);
      take.markDecided?.();
    }
  }

  /** What this node has of the session. */
  private claimHere({ pid, nsp }: Take): SessionClaim | undefined {
    const claim = this.options.claims.get(pid);
    return claim?.nsp === nsp && claim.isUsable ? claim : undefined;
  }

  private async attempt(take: Take, isFirst: boolean): Promise<SessionClaim | TakeRefusal | 'again'> {
    const { pid, nsp } = take;
    const { nodeId } = this.options;
    const { records, claims, connections } = await this.lookWhenAllAreBack(take);
    const { claimed } = take;
    delete take.claimed;
    if (claimed && this.isWon(take, claims, claimed.decision.epoch)) {
      return this.complete(take, claimed);
    }
    take.markDecided?.();
    const here = this.claimHere(take);
    if (here && standingOf(claims, here.confirmedEpoch, nodeId) === 'superseded') {
      this.options.yield(here);
    } else if (here) {
      const session = here.current();
      records.push({ kind: 'memory', epoch: here.confirmedEpoch, owner: nodeId, session, node: undefined });
    }
    const decision = decide(records, claims);
    if (decision.kind !== 'claim' && isFirst) {
      this.records.forgetNodes(); // one may be new
      return 'again';
    }
    if (decision.kind === 'none') {
      return 'unknown';
    }
    const { epoch } = decision;
    const encoded =
      decision.kind === 'claim'
        ? encodeIfPossible({ ...takenOver(decision.record.session), epoch, owner: nodeId })
        : undefined;
    const found = { decision, records, encoded };
    const claiming = this.options.retry(() => {
      if (this.options.connections() !== connections) {
        return Promise.resolve(undefined); // Redis may have lost what was found: it is not claimed any more
      }
      take.claimed = found;
      return this.records.claim(pid, nsp, epoch, encoded);
    });
    take.decided = new Promise((resolve) => (take.markDecided = resolve));
    const current = await claiming;
    if (!current) {
      return 'again';
    }
    delete take.claimed;
    if (!this.isWon(take, current, epoch)) {
      take.markDecided?.();
      return 'again'; // another was faster
    }
    const old = [...claims.keys()].filter((at) => at < epoch - 1);
    if (old.length > 0) {
      this.options.write('save', this.records.removeClaims(pid, old));
    }
    return this.complete(take, found);
  }

  /** Whether this node has got an epoch, and had it not already, when it took the session without Redis. */
  private isWon(take: Take, claims: FoundSession['claims'], epoch: number): boolean {
    const here = this.claimHere(take);
    const hadIt = (here && here.confirmedEpoch >= epoch) || this.options.former.since(epoch, take.pid) !== undefined;
    return !hadIt && standingOf(claims, epoch, this.options.nodeId) === 'current';
  }

  /** The epoch is this node's: what is known of the session is made the newest there is. */
  private async complete(take: Take, { decision, records, encoded }: Found): Promise<SessionClaim | TakeRefusal> {
    const { pid, nsp, duration } = take;
    const { epoch } = decision;
    const record = decision.kind === 'claim' ? decision.record : undefined;
    const here = record?.kind === 'memory' ? this.latestHere(take, epoch - 1) : undefined;
    const known = here ?? record?.session;
    const claim = new SessionClaim(this.options.keeper, {
      ...{ pid, epoch, nsp, duration, owner: this.options.nodeId, isConfirmed: true, isCopyDropped: false },
      session: known ? takenOver(known) : UNKNOWN,
    });
    claim.isCompleting = true;
    this.options.add(claim);
    take.markDecided?.();
    const isNewer = here !== undefined && encodeIfPossible(claim.current()) !== encoded;
    const found = isNewer
      ? this.handOver(claim).then(() => this.findCurrent(take, claim, decision, records))
      : this.findCurrent(take, claim, decision, records);
    const completed = found.finally(() => (claim.isCompleting = false));
    claim.completed = completed.catch(() => undefined);
    try {
      switch (await completed) {
        case 'missing':
          claim.discard();
          return record ? 'taken' : 'unknown';
        case 'superseded':
          this.options.yield(claim);
          return 'taken';
        case 'found':
      }
    } catch (error) {
      if (claim.isKnown) {
        claim.giveBack(); // it is this node's, and is written when Redis is back
      } else {
        this.options.end(claim);
      }
      throw error;
    }
    return claim.isReleased ? 'taken' : claim;
  }

  /** What this node has of the session, also if it has saved or yielded that since it looked. */
  private latestHere(take: Take, epoch: number): Session | undefined {
    const former = this.options.former.since(epoch, take.pid);
    return this.claimHere(take)?.current() ?? (former?.isKnown ? former.current() : undefined);
  }

  /**
   * `missing`: there is no session, or a node of the reference has it. `superseded`: another node has claimed it again while
   * this one waited for an answer.
   */
  private async findCurrent(
    take: Take,
    claim: SessionClaim,
    decision: Exclude<Decision<SessionRecord>, { kind: 'none' }>,
    records: readonly SessionRecord[],
  ): Promise<'found' | 'missing' | 'superseded'> {
    const { pid } = take;
    const record = decision.kind === 'claim' ? decision.record : undefined;
    if (record?.kind === 'stored') {
      claim.touch();
      // A node of the reference takes a session by deleting it: whoever has deleted it has it.
      return this.removeFound(claim);
    }
    const since = performance.now();
    const node = decision.kind === 'ask' ? decision.node : decision.record.node;
    const isElsewhere = node !== undefined && node !== this.options.nodeId;
    const answer = isElsewhere ? await this.askForCurrent(take, node, claim.epoch) : this.remembered(claim, node);
    claim.isAnswered = answer !== 'silent';
    // If it does not say, it may have written more than was found before the claim, or be writing what its client left.
    const found = isElsewhere && typeof answer !== 'object' ? await this.lookAgain(take, claim.epoch) : undefined;
    const current = typeof answer === 'object' ? answer : found?.session;
    if (current) {
      claim.session = takenOver(current); // also for another that has claimed it since: it may be nowhere else
    }
    if (
      found?.isSuperseded ||
      (isElsewhere && performance.now() - since > LATE_MS && !(await this.isStillOurs(claim)))
    ) {
      return 'superseded'; // and what is written now is not this node's to delete
    }
    this.options.write('save', this.removeStale(claim));
    for (const { kind, node } of records) {
      if (kind === 'live') {
        this.options.write('save', this.records.removeLiveOf(node!, pid));
      }
    }
    if (!record && !current) {
      return 'missing';
    }
    if (current) {
      return this.handOver(claim);
    }
    claim.touch();
    return 'found';
  }

  /** What this node remembers of a client that has left, if it was the last to claim the session: what it stored is not there. */
  private remembered({ pid, epoch }: SessionClaim, node: string | undefined): Session | 'gone' {
    const former = node === undefined ? undefined : this.options.former.before(epoch, pid);
    return former?.isKnown ? former.current() : 'gone';
  }

  /** Deletes what was stored before the epoch that this node has claimed. */
  private async removeStale(claim: SessionClaim): Promise<void> {
    // Once its client has left again, what is stored is what it has left.
    if ((await this.isStillOurs(claim)) && claim.mode === 'held') {
      await this.records.removeStored(claim.pid, claim.epoch);
    }
  }

  private async isStillOurs({ pid, epoch }: SessionClaim): Promise<boolean> {
    const claims = await this.options.retry(() => this.records.claimsOf(pid));
    return standingOf(claims, epoch, this.options.nodeId) === 'current';
  }

  /** What is handed out, and is not in the claim, is written before, so that nobody hands out an older one later. */
  private async handOver(claim: SessionClaim): Promise<'found'> {
    await this.options.writeNow(claim).catch(() => undefined);
    return 'found';
  }

  /** The session as it was written before the epoch that this node has claimed, if it has that still. */
  private async lookAgain(take: Take, epoch: number): Promise<{ session: Session | undefined; isSuperseded: boolean }> {
    this.records.forgetNodes(); // one may be new
    const { records, claims } = await this.options.retry(() => this.look(take));
    const isSuperseded = standingOf(claims, epoch, this.options.nodeId) === 'superseded';
    return { session: decideBefore(epoch, records, claims)?.session, isSuperseded };
  }

  /** Deletes what was found. It is this node's if it was this node that deleted it, as far as it can know. */
  private async removeFound(claim: SessionClaim): Promise<'found' | 'missing' | 'superseded'> {
    let tries = 0;
    const removal = await this.options.retry(() => {
      tries++;
      return this.records.removeStored(claim.pid, claim.epoch);
    });
    if (removal === 'missing' && tries > 1) {
      return (await this.isStillOurs(claim)) ? 'found' : 'superseded'; // the first answer was lost
    }
    return removal === 'removed' ? 'found' : removal === 'later' ? 'superseded' : 'missing';
  }

  /**
   * The session as the node knows it on which its client seems connected. `gone`: the client is not there. `silent`: that
   * node does not answer. If Redis, or part of a cluster, is lost meanwhile, it is asked again.
   *
   * @throws if Redis stays away
   */
  private async askForCurrent(take: Take, node: string, epoch: number): Promise<Session | 'gone' | 'silent'> {
    const { options } = this;
    const answer = this.answerOf(take, node, epoch);
    try {
      return await options.retry(async () => {
        const before = options.connections();
        await options.peers.whenBack(node);
        const said = await this.askOnce(take, { node, epoch, answer });
        if (said === 'silent' && (options.connections() !== before || !options.isWhole())) {
          throw new RedisClientError('Redis, or part of it, was away while a node was asked'); // that may be why
        }
        return said;
      });
    } catch (error) {
      if (!options.isReady()) {
        throw error;
      }
      return 'silent'; // what was read is good enough
    }
  }

  /** Resolves to the first answer of a node, whichever time it was asked: it may have let the session go. */
  private answerOf(take: Take, node: string, epoch: number): Promise<string | null> {
    return new Promise((resolve) => {
      const onAnswer = (answer: string | null): void => {
        const session = decodeSession(answer, take.pid);
        if (answer === null || (session?.epoch ?? 0) === epoch - 1) {
          resolve(answer);
        } // else it is what that node had still earlier
      };
      take.asked = { node, onAnswer };
    });
  }

  /** @throws if Redis is away, and the node has not answered */
  private async askOnce(
    { pid, nsp }: Take,
    { node, epoch, answer }: { node: string; epoch: number; answer: Promise<string | null> },
  ): Promise<Session | 'gone' | 'silent'> {
    const { peers } = this.options;
    const answered = within(RELEASE_TIMEOUT_MS, answer);
    const asking = Promise.all([peers.canHear(nsp, node), peers.askRelease(pid, node, epoch)]);
    const canHear = await asking.then(
      ([is]) => is,
      async (error: Error) => {
        if ((await arrived(answer)) === undefined) {
          throw error;
        }
        return true;
      },
    );
    const said = (canHear ? await answered : undefined) ?? (await arrived(answer));
    return said === null ? 'gone' : (decodeSession(said, pid) ?? 'silent');
  }

  /**
   * Redis cannot be asked, but the client was here and seems not to have been elsewhere. Redis is asked later
   * ({@link SessionStore.verify}); until then nothing is written, and if it says that the session is another node's, the
   * client is sent away.
   */
  private takeWithoutRedis(take: Take): SessionClaim {
    const { pid, nsp, duration } = take;
    const here = this.claimHere(take)!;
    const claim = new SessionClaim(this.options.keeper, {
      ...{ pid, nsp, duration, owner: this.options.nodeId, isConfirmed: false, isCopyDropped: true },
      session: here.current(),
      epoch: here.isConfirmed ? here.epoch + 1 : here.epoch,
    });
    this.options.add(claim);
    return claim;
  }

  // ── looking ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * What Redis has of it, once no node, nor this one, is on its way back that may have to write again what Redis has lost; and
   * how often the connection had been made then.
   */
  private async lookWhenAllAreBack(take: Take): Promise<FoundSession & { connections: number }> {
    const { options } = this;
    for (let looks = 1; ; looks++) {
      await Promise.all([options.whenWritten(), options.peers.whenAllBack()]);
      const connections = options.connections();
      const found = await options.retry(() => this.look(take));
      if (options.connections() === connections) {
        return { ...found, connections };
      }
      // Redis was away meanwhile, and may have lost what another node writes again.
      if (looks === MAX_ATTEMPTS) {
        throw new RedisClientError('Redis was away, again and again, while a session was looked for');
      }
    }
  }

  private look(take: Take): Promise<FoundSession> {
    return new Promise((resolve, reject) => {
      this.looks.push({ take, resolve, reject });
      void this.lookInBatches();
    });
  }

  /** When many come at once, others have turns between the batches. */
  private async lookInBatches(): Promise<void> {
    if (this.isLooking) {
      return;
    }
    this.isLooking = true;
    while (this.looks.length > 0) {
      await nextTurn();
      const batch = this.looks.splice(0, BATCH_SESSIONS);
      try {
        const found = await this.records.find(batch.map(({ take }) => take));
        batch.forEach(({ resolve, reject }, i) => {
          const outcome = found[i]!;
          if (outcome instanceof Error) {
            reject(outcome);
          } else {
            resolve(outcome);
          }
        });
      } catch (error) {
        batch.forEach(({ reject }) => reject(error as Error));
      }
    }
    this.isLooking = false;
  }
}

/** What a promise resolves to, if what has arrived up to now does resolve it: a process that was suspended has not read it yet. */
async function arrived<T>(promise: Promise<T>): Promise<T | undefined> {
  const read = new Promise<undefined>((resolve) => afterArrivals(() => resolve(undefined)));
  return Promise.race([promise, read]);
}

/** A session whose data cannot be serialized is claimed without being kept with the claim. */
function encodeIfPossible(session: Session): string | undefined {
  try {
    return encodeSession(session);
  } catch {
    return undefined;
  }
}
