import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { RedisClientError } from '../../lib/redis/errors.js';
import { FormerClaims } from '../../lib/session/former-claims.js';
import { SessionClaim, type SessionHolder } from '../../lib/session/session-claim.js';
import type { FoundSession, Removal, SessionRecord } from '../../lib/session/session-records.js';
import { SessionTakeover, type TakeRefusal } from '../../lib/session/session-takeover.js';
import { decodeSession, encodeSession, type Session } from '../../lib/wire/session.js';

const SELF = 'self';

const sessionOf = (pid: string, more: Partial<Session> = {}): Session => ({
  ...{ sid: `sid of ${pid}`, pid, rooms: [], data: {}, nsp: '/' },
  ...more,
});

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** What Redis has of sessions. */
class Records {
  readonly claims = new Map<string, Map<number, string>>();
  readonly stored = new Map<string, Session>();
  /** By node and session. */
  readonly live = new Map<string, Map<string, Session>>();
  /** With each claim, the session that it holds. */
  readonly copies = new Map<string, Session | undefined>();
  /** What was asked, and done. */
  readonly log: string[] = [];
  /** Called before a session is claimed. */
  onClaim = (): void => undefined;
  /** Called when something is asked, and throws if Redis is away. */
  onCall = (): void => undefined;

  find(sessions: readonly { pid: string }[]): Promise<FoundSession[]> {
    return this.reply(`find ${sessions.length}`, () =>
      sessions.map(({ pid }) => {
        const records: SessionRecord[] = [];
        for (const [node, live] of this.live) {
          const session = live.get(pid);
          if (session) records.push({ kind: 'live', epoch: session.epoch, owner: session.owner, session, node });
        }
        const session = this.stored.get(pid);
        if (session)
          records.push({ kind: 'stored', epoch: session.epoch, owner: session.owner, session, node: undefined });
        return { records, claims: new Map(this.claims.get(pid)) };
      }),
    );
  }

  claim(pid: string, _nsp: string, epoch: number, encoded?: string): Promise<Map<number, string>> {
    return this.reply(`claim ${pid} ${epoch}`, () => {
      this.onClaim();
      const claims = this.claims.get(pid) ?? new Map<number, string>();
      if (!claims.has(epoch)) {
        claims.set(epoch, SELF);
        this.copies.set(pid, decodeSession(encoded, pid));
      }
      this.claims.set(pid, claims);
      return new Map(claims);
    });
  }

  claimsOf(pid: string): Promise<Map<number, string>> {
    return this.reply(`claimsOf ${pid}`, () => new Map(this.claims.get(pid)));
  }

  removeClaims(pid: string, epochs: number[]): Promise<void> {
    return this.reply(`removeClaims ${pid} ${epochs.join()}`, () => undefined);
  }

  removeStored(pid: string, epoch: number): Promise<Removal> {
    return this.reply(`removeStored ${pid}`, () => {
      const isLater = (this.stored.get(pid)?.epoch ?? 0) >= epoch;
      return isLater ? 'later' : this.stored.delete(pid) ? 'removed' : 'missing';
    });
  }

  removeLiveOf(node: string, pid: string): Promise<void> {
    return this.reply(`removeLiveOf ${node} ${pid}`, () => void this.live.get(node)?.delete(pid));
  }

  forgetNodes(): void {
    this.log.push('forgetNodes');
  }

  connected(node: string, session: Session): void {
    this.live.set(
      node,
      (this.live.get(node) ?? new Map<string, Session>()).set(session.pid, { ...session, owner: node }),
    );
  }

  private async reply<T>(what: string, run: () => T): Promise<T> {
    this.log.push(what);
    await Promise.resolve();
    this.onCall();
    return run();
  }
}

describe('SessionTakeover', () => {
  let records: Records;
  let claims: Map<string, SessionClaim>;
  let yielded: SessionClaim[];
  let isReady: boolean;
  /** Whether no master of a cluster is away. */
  let isWhole: boolean;
  let connections: number;
  let isHeard: boolean;
  /** Resolves when no other node is on its way back to Redis. */
  let allBack: Promise<void>;
  /** Resolves when this node has written again what Redis may have lost. */
  let written: Promise<void>;
  /** What this node had before. */
  let former: FormerClaims;
  /** What other nodes do when they are asked. */
  let onAsked: (pid: string, at: string, epoch: number) => void;
  let log: string[];
  let retry: <T>(run: () => Promise<T>) => Promise<T>;
  let takeover: SessionTakeover;

  beforeEach(() => {
    // Turns of the event loop are real, time is not.
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] });
    records = new Records();
    ({ log } = records);
    claims = new Map();
    yielded = [];
    isReady = isWhole = isHeard = true;
    connections = 1;
    allBack = written = Promise.resolve();
    former = new FormerClaims();
    onAsked = () => undefined;
    retry = (run) => run();
    takeover = new SessionTakeover(records, {
      ...{ nodeId: SELF, claims, former, keeper, retry: (run) => retry(run), whenWritten: () => written },
      isReady: () => isReady,
      isWhole: () => isWhole,
      connections: () => connections,
      peers: {
        whenBack: () => Promise.resolve(),
        whenAllBack: () => allBack,
        canHear: () => Promise.resolve(isHeard),
        askRelease: async (pid, at, epoch) => {
          log.push(`ask ${at} for ${pid} ${epoch}`);
          await Promise.resolve();
          onAsked(pid, at, epoch);
        },
      },
      add: (claim) => {
        claims.get(claim.pid)?.end();
        claims.set(claim.pid, claim);
      },
      yield: (claim) => {
        log.push(`yield ${claim.pid}`);
        yielded.push(claim);
        claim.yield();
        claims.delete(claim.pid);
      },
      end: ({ pid }) => void claims.delete(pid),
      write: (_operation, write) => void write.catch(() => undefined),
      writeNow: (claim) => Promise.resolve(void log.push(`write ${claim.pid}`)),
      onError: (operation, { message }) => log.push(`${operation} failed: ${message}`),
    });
  });
  afterEach(() => void jest.useRealTimers());

  const keeper = {
    touch: ({ pid }: SessionClaim) => void log.push(`touch ${pid}`),
    finish: ({ mode, pid }: SessionClaim) => void log.push(`${mode} ${pid}`),
  };

  function take(pid: string, { nsp = '/', wasOnlyHere = true } = {}): Promise<SessionClaim | TakeRefusal> {
    return takeover.take(pid, nsp, { duration: 1_000, wasOnlyHere: () => wasOnlyHere });
  }

  async function taken(pid: string): Promise<SessionClaim> {
    const claim = await take(pid);
    expect(claim).toBeInstanceOf(SessionClaim);
    return claim as SessionClaim;
  }

  /** A client that is connected to this node. */
  function connect(
    session: Session,
    { epoch = 0, isConfirmed = true } = {},
  ): { claim: SessionClaim; released: boolean } {
    const { pid } = session;
    const claim = new SessionClaim(keeper, {
      ...{ pid, session, epoch, isConfirmed, nsp: '/', owner: SELF, duration: 1_000, isCopyDropped: true },
    });
    const connected = { claim, released: false };
    const holder: SessionHolder = {
      current: () => session,
      data: session.data,
      release: () => (connected.released = true),
    };
    claim.hold(holder, false);
    claims.set(pid, claim);
    return connected;
  }

  const loses = (message: string) => (): void => {
    throw new RedisClientError(message);
  };

  describe('of a client that had left', () => {
    test('claims the next epoch, keeps the session with the claim, and removes what was stored', async () => {
      records.stored.set('c', sessionOf('c', { epoch: 2, owner: 'old', data: { name: 'Ann' } }));
      records.claims.set('c', new Map([[0, 'x'], [1, 'y'], [2, 'old']])); // prettier-ignore
      const claim = await taken('c');
      expect(claim).toMatchObject({ pid: 'c', epoch: 3, isConfirmed: true, isAnswered: true, isCopyDropped: false });
      expect(claim.session).toMatchObject({ sid: 'sid of c', data: { name: 'Ann' }, owners: ['old'] });
      expect(records.copies.get('c')).toMatchObject({ epoch: 3, owner: SELF, data: { name: 'Ann' }, owners: ['old'] });
      expect(claims.get('c')).toBe(claim);
      expect(log).toEqual(['find 1', 'claim c 3', 'removeClaims c 0,1', 'touch c', 'removeStored c']);
    });

    test('finds nothing if a node of the reference, which takes by deleting, was faster', async () => {
      records.stored.set('c', sessionOf('c'));
      records.onClaim = () => records.stored.clear();
      expect(await take('c')).toBe('taken');
      expect(log.slice(-2)).toEqual(['removeStored c', 'discarding c']);
    });

    test('has lost it again if its client has left elsewhere since it was claimed here', async () => {
      const since = sessionOf('c', { epoch: 5, owner: 'b' });
      records.stored.set('c', sessionOf('c'));
      records.onClaim = () => records.stored.set('c', since);
      expect(await take('c')).toBe('taken');
      expect([records.stored.get('c'), log.at(-1)]).toEqual([since, 'yield c']);
    });

    test('has it although the answer to the deletion was lost', async () => {
      records.stored.set('c', sessionOf('c'));
      retry = async (run) => {
        const first = await run();
        return first === 'removed' ? run() : first;
      };
      await taken('c');
      expect(log.filter((what) => what === 'removeStored c')).toHaveLength(2);
    });
  });

  describe('of a client that left this node last', () => {
    const leave = (pid: string, more: Partial<Session> = {}): SessionClaim => {
      const { claim } = connect(sessionOf(pid, more), { epoch: 1 });
      claim.giveBack();
      claims.delete(pid);
      claim.end();
      former.addLeft(claim);
      records.claims.set(pid, new Map([[1, SELF]]));
      return claim;
    };

    test('is remembered if what was stored of it is lost', async () => {
      leave('c', { data: { name: 'Ann' } });
      expect(await taken('c')).toMatchObject({ epoch: 2, isAnswered: true, session: { data: { name: 'Ann' } } });
      expect(log).not.toContain(`ask ${SELF} for c 2`);
    });

    test('is unknown when its time is over', async () => {
      leave('c').until = performance.now();
      expect(await take('c')).toBe('unknown');
    });
  });

  describe('of a client that is nowhere', () => {
    test('is refused as unknown, once the nodes were asked for again: one may be new', async () => {
      expect(await take('c')).toBe('unknown');
      expect(log).toEqual(['find 1', 'forgetNodes', 'find 1']);
    });

    test('asks who has claimed it last, and is unknown if that node does not have it', async () => {
      records.claims.set('c', new Map([[1, 'b']]));
      onAsked = (pid) => takeover.onReleased(pid, null, 'b');
      expect(await take('c')).toBe('unknown');
      expect(log).toContain('ask b for c 2');
      expect(log.at(-1)).toBe('discarding c');
    });

    test('is lost again, and nothing is kept of it, if another has claimed it before that node has answered', async () => {
      records.claims.set('c', new Map([[1, 'b']]));
      isHeard = false;
      onAsked = (pid) => records.claims.get(pid)!.set(3, 'third');
      expect(await take('c')).toBe('taken');
      expect(yielded.map(({ isKnown }) => isKnown)).toEqual([false]);
    });

    test('is what that node says it is', async () => {
      records.claims.set('c', new Map([[1, 'b']]));
      onAsked = (pid) => takeover.onReleased(pid, encodeSession(sessionOf(pid, { epoch: 1, data: { on: 'b' } })), 'b');
      expect(await taken('c')).toMatchObject({ epoch: 2, session: { data: { on: 'b' } } });
    });
  });

  describe('of a client that seems connected elsewhere', () => {
    beforeEach(() => records.connected('b', sessionOf('c', { epoch: 1, data: { as: 'written' } })));

    const answer = (epoch: number, data: unknown = { as: 'now' }): string =>
      encodeSession(sessionOf('c', { epoch, owner: 'b', data }));

    test('has the session as that node says it is now, writes it, and removes its record there', async () => {
      onAsked = (pid) => takeover.onReleased(pid, answer(1), 'b');
      const claim = await taken('c');
      expect(claim).toMatchObject({ epoch: 2, isAnswered: true, session: { data: { as: 'now' }, owners: ['b'] } });
      expect(log).toEqual(expect.arrayContaining(['ask b for c 2', 'removeLiveOf b c', 'write c']));
    });

    test('passes over the answer of a node that had the client earlier', async () => {
      onAsked = (pid) => {
        takeover.onReleased(pid, answer(0, { as: 'long ago' }), 'b');
        takeover.onReleased(pid, answer(1), 'b');
      };
      expect((await taken('c')).session.data).toEqual({ as: 'now' });
    });

    test('does not believe another node, which may have an older state of the same epoch', async () => {
      onAsked = (pid) => {
        takeover.onReleased(pid, answer(1, { as: 'recovered without Redis' }), 'x');
        takeover.onReleased(pid, answer(1), 'b');
      };
      expect((await taken('c')).session.data).toEqual({ as: 'now' });
    });

    test('has what was written meanwhile if that node had it no more', async () => {
      onAsked = (pid) => {
        records.live.clear();
        records.stored.set(pid, sessionOf(pid, { epoch: 1, owner: 'b', data: { as: 'it left' } }));
        takeover.onReleased(pid, null, 'b');
      };
      const claim = await taken('c');
      expect(claim).toMatchObject({ isAnswered: true, session: { data: { as: 'it left' } } });
      await turn();
      expect(records.stored.size).toBe(0); // it is of an epoch before
    });

    test('has what was read if that node does not answer within a second, and says so', async () => {
      const taking = taken('c');
      await turn();
      await turn();
      await jest.advanceTimersByTimeAsync(999);
      expect(claims.get('c')?.isAnswered).toBe(true);
      await jest.advanceTimersByTimeAsync(1);
      expect(await taking).toMatchObject({ isAnswered: false, session: { data: { as: 'written' } } });
    });

    test('does not wait for a node that cannot hear it', async () => {
      isHeard = false;
      expect(await taken('c')).toMatchObject({ isAnswered: false, session: { data: { as: 'written' } } });
    });

    test('is lost again to a node that claims it while this one waits for the answer', async () => {
      onAsked = (pid) => records.claims.get(pid)!.set(3, 'third');
      isHeard = false;
      expect(await take('c')).toBe('taken');
      expect(log).toContain('yield c');
      expect(log).not.toContain('removeLiveOf b c'); // it is not this node's to delete any more
    });

    test('is lost again though the answer came, if that took long and another has claimed it meanwhile', async () => {
      onAsked = (pid) =>
        void setTimeout(() => {
          records.claims.get(pid)!.set(3, 'third');
          takeover.onReleased(pid, answer(1), 'b');
        }, 200);
      const taking = take('c');
      await turn();
      await turn();
      await jest.advanceTimersByTimeAsync(200);
      expect(await taking).toBe('taken');
      expect(log).toContain('yield c');
      // Whoever has claimed it asks this node, which alone has what the other one said.
      expect(yielded).toMatchObject([{ epoch: 2, session: { data: { as: 'now' } } }]);
    });

    test('is lost again, and what that node has left unsaid is kept for who has claimed it', async () => {
      isHeard = false;
      onAsked = (pid) => {
        records.claims.get(pid)!.set(3, 'third');
        records.stored.set(pid, sessionOf(pid, { epoch: 1, owner: 'b', data: { as: 'it left' } }));
      };
      expect(await take('c')).toBe('taken');
      expect(yielded).toMatchObject([{ epoch: 2, session: { data: { as: 'it left' } } }]);
    });

    test('is as that node has said though the question seems to have failed: it has let it go', async () => {
      onAsked = (pid) => {
        takeover.onReleased(pid, answer(1), 'b');
        throw new RedisClientError('the connection was lost');
      };
      expect((await taken('c')).session.data).toEqual({ as: 'now' });
    });

    test('is refused if it was released while this node asked', async () => {
      onAsked = (pid) => {
        claims.get(pid)!.end();
        takeover.onReleased(pid, answer(1), 'b');
      };
      expect(await take('c')).toBe('taken');
    });

    test('asks again if Redis was away while it asked', async () => {
      retry = async (run) => {
        try {
          return await run();
        } catch {
          return run();
        }
      };
      let asked = 0;
      onAsked = (pid) => {
        if (++asked > 1) {
          takeover.onReleased(pid, answer(1), 'b');
        } else {
          connections++;
          isHeard = true; // when it is asked again
        }
      };
      isHeard = false;
      expect((await taken('c')).session.data).toEqual({ as: 'now' });
      expect(asked).toBe(2);
    });

    test('asks again if part of Redis is away: that node may not have written what it knows', async () => {
      retry = async (run) => {
        try {
          return await run();
        } catch {
          isHeard = true;
          onAsked = (pid) => takeover.onReleased(pid, answer(1), 'b');
          return run();
        }
      };
      isHeard = isWhole = false;
      expect((await taken('c')).session.data).toEqual({ as: 'now' });
    });

    test('has what was read if that node does not answer as long as commands are tried again', async () => {
      isHeard = isWhole = false;
      expect(await taken('c')).toMatchObject({ isAnswered: false, session: { data: { as: 'written' } } });
    });
  });

  describe('of a client that was here', () => {
    test('has the session as it is here, and ends the earlier connection', async () => {
      const before = connect(sessionOf('c', { data: { as: 'here' } }));
      const claim = await taken('c');
      expect(claim).toMatchObject({ epoch: 1, session: { data: { as: 'here' } } });
      expect([before.released, before.claim.isReleased]).toEqual([true, true]);
      expect(log.join()).not.toMatch(/ask|write/); // the claim holds it
    });

    test('writes it first if it has changed since it was put into the claim', async () => {
      const session = sessionOf('c', { data: { n: 1 } });
      connect(session);
      records.onClaim = () => (session.data = { n: 2 });
      expect((await taken('c')).session.data).toEqual({ n: 2 });
      expect(log).toContain('write c');
    });

    test('has what was saved here since it was looked for', async () => {
      const { claim } = connect(sessionOf('c', { data: { as: 'found' } }));
      records.onClaim = () => {
        claims.delete('c');
        claim.giveBack({ sid: 'sid', rooms: [], data: { as: 'saved' } });
        former.addLeft(claim);
      };
      expect((await taken('c')).session.data).toEqual({ as: 'saved' });
      expect(log).toContain('write c');
    });

    test('is claimed once more if the epoch was its own already, confirmed meanwhile', async () => {
      const { claim } = connect(sessionOf('c'), { epoch: 1, isConfirmed: false });
      records.onClaim = () => (claim.isConfirmed = true);
      expect(await taken('c')).toMatchObject({ epoch: 2 });
      expect(log.filter((what) => what.startsWith('claim c'))).toEqual(['claim c 1', 'claim c 2']);
    });

    test('yields it if another node has claimed it since, and takes it from that one', async () => {
      const before = connect(sessionOf('c', { data: { as: 'here' } }));
      records.claims.set('c', new Map([[1, 'b']]));
      onAsked = (pid) =>
        takeover.onReleased(pid, encodeSession(sessionOf(pid, { epoch: 1, data: { as: 'on b' } })), 'b');
      expect(await taken('c')).toMatchObject({ epoch: 2, session: { data: { as: 'on b' } } });
      expect(before.claim.mode).toBe('yielded');
    });

    test('is not that of another namespace', async () => {
      connect(sessionOf('c'));
      expect(await take('c', { nsp: '/admin' })).toBe('unknown');
    });

    test.each([
      [true, 1],
      [false, 0],
    ])('is handed out without Redis, to be confirmed later (known to Redis: %s)', async (isConfirmed, epoch) => {
      const before = connect(sessionOf('c', { data: { as: 'here' } }), { isConfirmed });
      isReady = false;
      records.onCall = loses('away');
      const claim = await taken('c');
      expect(claim).toMatchObject({ epoch, isConfirmed: false, session: { data: { as: 'here' } } });
      expect([before.released, log]).toEqual([true, []]);
    });

    test('is handed out if Redis goes away while it is asked', async () => {
      connect(sessionOf('c'));
      records.onCall = loses('away');
      expect(await taken('c')).toMatchObject({ isConfirmed: false });
    });

    test('is refused without Redis if its client may have been elsewhere, or was not here', async () => {
      connect(sessionOf('c'));
      isReady = false;
      records.onCall = loses('away');
      expect(await take('c', { wasOnlyHere: false })).toBe('redis-away');
      expect(await take('d')).toBe('redis-away');
      expect(log).toEqual(['find 1', 'take failed: away', 'find 1', 'take failed: away']);
    });
  });

  describe('when the connection is lost while it is claimed', () => {
    beforeEach(() => {
      retry = async (run) => {
        try {
          return await run();
        } catch {
          connections++;
          return run();
        }
      };
      records.stored.set('c', sessionOf('c', { data: { as: 'before' } }));
    });

    /** The claim is executed, or is not, and its answer is lost. */
    function loseClaim(isExecuted: boolean, onLost = (): void => undefined): void {
      const claim = records.claim.bind(records);
      records.claim = async (...args) => {
        records.claim = claim;
        if (isExecuted) await claim(...args);
        onLost();
        throw new RedisClientError('lost');
      };
    }

    test('is looked for again, as what was found may be older than what others write again', async () => {
      loseClaim(false, () => records.stored.set('c', sessionOf('c', { epoch: 1, owner: 'b', data: { as: 'since' } })));
      expect(await taken('c')).toMatchObject({ epoch: 2, session: { data: { as: 'since' } } });
      expect(log.filter((what) => what.startsWith('claim'))).toEqual(['claim c 2']);
    });

    test('is this node\u2019s if Redis has the claim', async () => {
      loseClaim(true);
      expect(await taken('c')).toMatchObject({ epoch: 1, session: { data: { as: 'before' } } });
      expect(log.filter((what) => what.startsWith('claim'))).toEqual(['claim c 1']);
    });
  });

  test('is looked for when this node has written again what Redis may have lost', async () => {
    records.stored.set('c', sessionOf('c'));
    let resolve!: () => void;
    written = new Promise((resolved) => (resolve = resolved));
    const taking = taken('c');
    await turn();
    await turn();
    expect(log).toEqual([]);
    resolve();
    await taking;
    expect(log).toContain('find 1');
  });

  test('claimed, and lost from Redis before it is complete, is kept here to be written later', async () => {
    records.stored.set('c', sessionOf('c'));
    records.onCall = () => {
      if (log.at(-1) === 'removeStored c') throw new RedisClientError('away');
    };
    expect(await take('c', { wasOnlyHere: false })).toBe('redis-away');
    expect(log.slice(-2)).toEqual(['saving c', 'take failed: away']);
  });

  test('of which Redis did not say all is refused, and the others in the batch are not', async () => {
    const find = records.find.bind(records);
    ['c', 'd'].forEach((pid) => records.stored.set(pid, sessionOf(pid)));
    records.find = async (sessions) => {
      const found = await find(sessions);
      return sessions.map(({ pid }, i) => (pid === 'c' ? new Error('NOPERM') : found[i])) as FoundSession[];
    };
    const [c, d] = await Promise.all([take('c'), take('d')]);
    expect([c, d]).toEqual(['redis-away', expect.any(SessionClaim)]);
    expect(log).toContain('take failed: NOPERM');
  });

  test('given to the node that claims it first, the others look again, and give up after five times', async () => {
    records.stored.set('c', sessionOf('c'));
    let epoch = 1;
    records.onClaim = () => {
      records.claims.set('c', new Map([[epoch, 'b']]));
      records.stored.set('c', sessionOf('c', { epoch: epoch++, owner: 'b' }));
    };
    expect(await take('c')).toBe('taken');
    expect(log.filter((what) => what.startsWith('claim'))).toEqual([1, 2, 3, 4, 5].map((n) => `claim c ${n}`));
  });

  test('wanted here several times goes from one to the next, and the last has it', async () => {
    records.stored.set('c', sessionOf('c', { data: { name: 'Ann' } }));
    const all = await Promise.all(['c', 'c', 'c'].map(taken));
    expect(all.map(({ epoch, isReleased }) => [epoch, isReleased])).toEqual([
      [1, true],
      [2, true],
      [3, false],
    ]);
    expect(all[2]!.session.data).toEqual({ name: 'Ann' });
  });

  test('claimed by this node is waited for by who asks whether it is', async () => {
    records.stored.set('c', sessionOf('c'));
    let answer!: () => void;
    retry = async (run) => {
      const outcome = await run();
      if (outcome instanceof Map) await new Promise<void>((resolve) => (answer = resolve));
      return outcome;
    };
    let isKnown = false;
    await takeover.whenClaimed('c'); // nobody claims it yet
    const taking = take('c');
    for (let i = 0; i < 5; i++) await turn();
    void takeover.whenClaimed('c').then(() => (isKnown = true));
    await turn();
    expect(isKnown).toBe(false);
    answer();
    await turn();
    expect(isKnown).toBe(true);
    await taking;
  });

  test('looked for with 120 others is found in three reads', async () => {
    const pids = Array.from({ length: 120 }, (_, i) => `c${i}`);
    pids.forEach((pid) => records.stored.set(pid, sessionOf(pid)));
    const all = await Promise.all(pids.map(taken));
    expect(all.map(({ session }) => session.sid)).toEqual(pids.map((pid) => `sid of ${pid}`));
    expect(log.filter((what) => what.startsWith('find'))).toEqual(['find 50', 'find 50', 'find 20']);
  });

  test('that is being taken is waited for by close', async () => {
    records.stored.set('c', sessionOf('c'));
    let isTaken = false;
    void take('c').then(() => (isTaken = true));
    await takeover.close();
    expect(isTaken).toBe(true);
  });
});
