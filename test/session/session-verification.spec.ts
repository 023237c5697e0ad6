import { beforeEach, describe, expect, test } from '@jest/globals';
import { NOBODY, type Claims } from '../../lib/session/ownership.js';
import { SessionClaim } from '../../lib/session/session-claim.js';
import { SessionVerification } from '../../lib/session/session-verification.js';

describe('SessionVerification', () => {
  let claims: Map<string, SessionClaim>;
  let touched: string[];
  let yielded: string[];
  let removed: string[];
  let claimed: [pid: string, epoch: number][];
  /** The claims of clients that have left, and what was written of them, or deleted. */
  let left: SessionClaim[];
  let stored: [pid: string, encoded: string, lifetime: number][];
  let ended: string[];
  /** Of which connected clients sessions were written at once. */
  let written: string[];
  /** Resolves when what is being written of clients that are gone is. */
  let finished: Promise<void>;
  /** Whether Redis refuses to say who has claimed what. */
  let failing: boolean;
  /** What Redis says: the claims, and which sessions of connected clients of this node it has. */
  let owners: Record<string, Claims>;
  let present: Set<string> | undefined;
  let isReady: boolean;
  let asked: number;
  let verification: SessionVerification;

  const open = (pid: string, { epoch = 1, isConfirmed = true, wasWritten = true } = {}): SessionClaim => {
    const keeper = { touch: () => void touched.push(pid), finish: () => undefined };
    const session = { sid: 'sid', pid, rooms: [], data: {} };
    const claim = new SessionClaim(keeper, {
      ...{ pid, epoch, session, isConfirmed, nsp: '/', owner: 'self', duration: 1_000, isCopyDropped: true },
    });
    claim.written = wasWritten ? '{}' : undefined;
    claims.set(pid, claim);
    return claim;
  };

  beforeEach(() => {
    claims = new Map();
    touched = [];
    yielded = [];
    removed = [];
    claimed = [];
    left = [];
    stored = [];
    ended = [];
    written = [];
    failing = false;
    finished = Promise.resolve();
    owners = {};
    present = new Set();
    isReady = true;
    asked = 0;
    verification = new SessionVerification({
      ...{ nodeId: 'self', claims, isReady: () => isReady },
      former: {
        hasYielded: (pid) => pid === 'yielded',
        get ofThoseWhoLeft() {
          return left;
        },
      },
      records: {
        hasLive: true,
        live: () => Promise.resolve(present),
        removeLive: (pid) => Promise.resolve(void removed.push(pid)),
        claimsOf: (pid) => {
          asked++;
          if (failing) return Promise.reject(new Error('CLUSTERDOWN'));
          return Promise.resolve(owners[pid] ?? new Map());
        },
        claim: (pid, _nsp, epoch) => {
          claimed.push([pid, epoch]);
          return Promise.resolve(new Map([[epoch, 'self']]));
        },
        store: ({ pid }, ...what) => Promise.resolve(void stored.push([pid, ...what])),
      },
      endSession: ({ pid }) => Promise.resolve(void ended.push(pid)),
      writeAll: (claims) => {
        written.push(...claims.map(({ pid }) => pid));
        return Promise.resolve();
      },
      whenFinished: () => finished,
      encoder: { encode: () => 'encoded' },
      writes: { add: (_operation, write) => void write },
      yield: (claim) => {
        yielded.push(claim.pid);
        claims.delete(claim.pid);
      },
    });
  });

  test('yields what another node has claimed, and keeps what is this node\u2019s', async () => {
    open('ours');
    open('theirs');
    owners = {
      ours: new Map([[1, 'self']]),
      theirs: new Map([
        [1, 'self'],
        [2, 'other'],
      ]),
    };
    present = new Set(['ours']);
    await verification.run();
    expect([yielded, touched]).toEqual([['theirs'], []]);
  });

  test('looks at the records only if there are more or fewer than there should be, and not again at once', async () => {
    open('ours').isRecorded = true;
    open('new', { wasWritten: false });
    present = new Set(['gone']);

    await verification.onCount(1);
    expect([removed, touched]).toEqual([[], []]);

    await verification.onCount(2);
    expect([removed, touched]).toEqual([['gone'], ['ours']]);

    await verification.onCount(2);
    expect([removed, touched]).toEqual([['gone'], ['ours']]);
  });

  test('writes a session that Redis has just confirmed', async () => {
    const claim = open('a', { isConfirmed: false, wasWritten: false });
    owners = { a: new Map([[1, 'self']]) };
    await verification.run();
    expect([claim.isConfirmed, touched]).toEqual([true, ['a']]);
  });

  test('writes all that was written again when Redis may have an earlier state, once', async () => {
    open('a');
    open('unwritten', { wasWritten: false });
    owners = { a: new Map([[1, 'self']]), unwritten: new Map([[1, 'self']]) };
    present = new Set(['a']);
    verification.scheduleWriting();
    await verification.run();
    expect(touched).toEqual(['a']);
    await verification.run();
    expect(touched).toEqual(['a']);
  });

  describe('when Redis may have lost writes, is done', () => {
    const release = (): { promise: Promise<void>; resolve: () => void } => {
      let resolve!: () => void;
      const promise = new Promise<void>((resolved) => (resolve = resolved));
      return { promise, resolve };
    };

    test('after all connected clients\u2019 sessions were written, also those that never were', async () => {
      open('a');
      open('unwritten', { wasWritten: false });
      open('theirs');
      owners = { theirs: new Map([[2, 'other']]) };
      await verification.run();
      expect(written).toEqual([]);
      verification.scheduleWriting();
      expect(verification.isDone).toBe(false);
      await verification.run();
      expect([written, verification.isDone]).toEqual([['a', 'unwritten'], true]);
    });

    test('after what is being written of clients that are gone', async () => {
      const { promise, resolve } = release();
      finished = promise;
      verification.scheduleWriting();
      const run = verification.run();
      let isWritten = false;
      void verification.whenWritten().then(() => (isWritten = true));
      await new Promise((turn) => setImmediate(turn));
      expect([verification.isDone, isWritten]).toEqual([false, false]);
      resolve();
      await run;
      expect(verification.isDone).toBe(true);
    });

    test('not if that failed, until it is tried again', async () => {
      open('a');
      failing = true;
      verification.scheduleWriting();
      await expect(verification.run()).rejects.toThrow('CLUSTERDOWN');
      await verification.whenWritten(); // it is not tried again for everybody who waits
      expect([verification.isDone, written]).toEqual([false, []]);
      failing = false;
      await verification.catchUp();
      expect([verification.isDone, written]).toEqual([true, ['a']]);
      const before = asked;
      await verification.catchUp();
      expect(asked).toBe(before);
    });
  });

  describe('of clients that have left, when Redis may have an earlier state,', () => {
    /** The claim of a client that has left, `ago` milliseconds ago. */
    function leave(pid: string, { epoch = 1, isDiscarded = false, ago = 0 } = {}): void {
      const claim = open(pid, { epoch });
      claims.delete(pid);
      Object.assign(claim, { isDiscarded, until: performance.now() + 1_000 - ago });
      left.push(claim);
    }

    async function verifyAfterLoss(): Promise<void> {
      verification.scheduleWriting();
      await verification.run();
    }

    test('stores again what is still this node\u2019s, for as long as it was to be kept, and only then', async () => {
      leave('kept');
      leave('first', { epoch: 0 });
      owners = { kept: new Map([[1, 'self']]) };
      await verification.run();
      expect(stored).toEqual([]);
      await verifyAfterLoss();
      expect(stored.map(([pid, encoded]) => [pid, encoded])).toEqual([['kept', 'encoded'], ['first', 'encoded']]); // prettier-ignore
      for (const [, , lifetime] of stored) {
        expect(lifetime).toBeGreaterThan(0);
        expect(lifetime).toBeLessThanOrEqual(1_000);
      }
      await verification.run();
      expect(stored).toHaveLength(2);
    });

    test('claims and stores again what Redis has lost the claim of', async () => {
      leave('lost', { epoch: 3 });
      await verifyAfterLoss();
      expect([claimed, stored.length]).toEqual([[['lost', 3]], 1]);
    });

    test('leaves alone what another node has claimed, what has come back here, and what has expired', async () => {
      leave('theirs');
      leave('here', { epoch: 0 });
      leave('old', { ago: 1_001 });
      claims.set('here', left[1]!);
      owners = { theirs: new Map([[2, 'other']]), old: new Map([[1, 'self']]) };
      await verifyAfterLoss();
      expect([stored, ended]).toEqual([[], []]);
    });

    test('ends again the session of one that said goodbye, unless that is known', async () => {
      leave('gone', { isDiscarded: true });
      leave('known', { isDiscarded: true });
      owners = { gone: new Map([[1, 'self']]), known: new Map([[2, NOBODY]]) };
      await verifyAfterLoss();
      expect([ended, stored]).toEqual([['gone'], []]);
    });

    test('is done when that is done', async () => {
      leave('kept', { epoch: 0 });
      const verified = verifyAfterLoss();
      expect(verification.isDone).toBe(false);
      await verified;
      expect([verification.isDone, stored.length]).toEqual([true, 1]);
    });
  });

  test('claims again what Redis has lost the claim of, but for a first connection, which has none', async () => {
    const claim = open('lost', { epoch: 3 });
    expect(await verification.isOurs(claim)).toBe(true);
    expect([claimed, claim.isCopyDropped]).toEqual([[['lost', 3]], false]);
    expect(await verification.isOurs(open('first', { epoch: 0 }))).toBe(true);
    expect(claimed).toHaveLength(1);
  });

  test('writes what Redis has lost, and removes records of clients that are neither here nor yielded', async () => {
    open('lost', { epoch: 0 });
    present = new Set(['gone', 'yielded']);
    await verification.run();
    expect([touched, removed]).toEqual([['lost'], ['gone']]);
  });

  test('verifies once more for all calls that come while it is under way', async () => {
    open('a', { epoch: 0 });
    await Promise.all([verification.run(), verification.run(), verification.run()]);
    expect(asked).toBe(2);
  });

  test('asks nothing while Redis is away', async () => {
    isReady = false;
    open('a');
    await verification.run();
    expect(asked).toBe(0);
  });
});
