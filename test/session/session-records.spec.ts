import { afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { driverFor } from '../../lib/redis/driver-for.js';
import type { RedisConnection } from '../../lib/redis/driver.js';
import { RedisTimeoutError } from '../../lib/redis/errors.js';
import { NOBODY } from '../../lib/session/ownership.js';
import { SessionRecords, type FoundSession, type SessionRecordsOptions } from '../../lib/session/session-records.js';
import { encodeClaim, encodeSession, type Session } from '../../lib/wire/session.js';
import { closeAfterwards, RedisServer, until } from '../kit/index.js';

const LIFETIME = 60_000;
const HOUR = 60 * 60 * 1_000;

const sessionOf = (pid: string, more: Partial<Session> = {}): Session => ({
  ...{ sid: `sid of ${pid}`, pid, rooms: [], data: {}, nsp: '/' },
  ...more,
});

describe('SessionRecords', () => {
  let redis: RedisServer;
  let connection: RedisConnection;

  beforeAll(async () => {
    redis = await RedisServer.start();
    let isReady = false;
    const listener = { onReady: () => (isReady = true), onLost: () => undefined };
    const client = new Redis({ port: redis.port, lazyConnect: true });
    connection = driverFor(client).open({ role: 'commands', connectionName: 'records', sharded: false, listener });
    closeAfterwards(connection);
    await until(() => isReady, { what: 'the connection' });
  });
  beforeEach(() => redis.command('FLUSHALL'));
  afterEach(() => void jest.restoreAllMocks());

  /** The records as a node sees them. */
  const recordsOf = (nodeId: string, more: Partial<SessionRecordsOptions> = {}): SessionRecords =>
    new SessionRecords(connection, {
      ...{ nodeId, keyPrefix: 's:', checkpoints: true, commandTimeout: 2_000, grace: 1_000 },
      lifetime: () => LIFETIME,
      ...more,
    });

  const live = (records: SessionRecords, ...sessions: Session[]): Promise<void> =>
    records.writeLive(new Map(sessions.map((session) => [session.pid, encodeSession(session)])));

  async function findOne(records: SessionRecords, pid: string, nsp = '/'): Promise<FoundSession> {
    const [found] = await records.find([{ pid, nsp }]);
    if (found instanceof Error) throw found;
    return found!;
  }

  const kinds = ({ records }: FoundSession): unknown[] => records.map(({ kind, node }) => [kind, node]);

  /** Expects the lifetime of a key to be this, or some seconds less. */
  async function expectLifetime(key: string, lifetime: number): Promise<void> {
    const left = Number(await redis.command('PTTL', key));
    expect([key, left <= lifetime, left > lifetime - 20_000]).toEqual([key, true, true]);
  }

  describe('find', () => {
    test('has what is claimed, what other nodes have written of it while connected, and what is stored', async () => {
      const [a, b, c] = ['a', 'b', 'c'].map((node) => recordsOf(node)) as [SessionRecords, ...SessionRecords[]];
      await live(b!, sessionOf('x', { epoch: 1, owner: 'b' }), sessionOf('y'));
      await live(c!, sessionOf('z'));
      await live(a, sessionOf('x', { data: 'its own: it knows better' }));
      await b!.claim('x', '/', 1, encodeSession(sessionOf('x', { epoch: 1 })));
      await b!.store({ pid: 'x', epoch: 0 }, encodeSession(sessionOf('x', { epoch: 0, owner: 'old' })), 1_000);

      const [x, y, none] = (await a.find(['x', 'y', 'none'].map((pid) => ({ pid, nsp: '/' })))) as FoundSession[];
      expect(kinds(x!).sort()).toEqual([['claim', 'b'], ['live', 'b'], ['stored', undefined]]); // prettier-ignore
      expect(x!.records.map(({ epoch, owner }) => [epoch, owner])).toEqual([[1, 'b'], [1, 'b'], [0, 'old']]); // prettier-ignore
      expect([...x!.claims]).toEqual([[1, 'b']]);
      expect([kinds(y!), none]).toEqual([[['live', 'b']], { records: [], claims: new Map() }]);
    });

    test('has nothing of a session of another namespace, whatever says that it is', async () => {
      const a = recordsOf('a');
      await a.store({ pid: 'stored', epoch: 0 }, encodeSession(sessionOf('stored', { nsp: '/admin' })), 1_000);
      await a.claim('claimed', '/admin', 1);
      for (const pid of ['stored', 'claimed']) {
        expect(await findOne(a, pid)).toEqual({ records: [], claims: new Map() });
        const { records, claims } = await findOne(a, pid, '/admin');
        expect([pid, records.length + claims.size]).toEqual([pid, 1]);
      }
    });

    test('passes over a key of another kind, and what is no session', async () => {
      const a = recordsOf('a');
      await redis.command('LPUSH', 's:x', '1');
      await redis.command('SET', 's:claims:x', '1');
      await redis.command('SET', 's:y', 'no session');
      await redis.command('HSET', 's:claims:y', 'one', encodeClaim('b', '/'), '2', 'no claim');
      for (const pid of ['x', 'y']) {
        expect(await findOne(a, pid)).toEqual({ records: [], claims: new Map() });
      }
    });

    test('does not look at the nodes if no node writes sessions of connected clients', async () => {
      await live(recordsOf('b'), sessionOf('x'));
      expect(kinds(await findOne(recordsOf('a', { checkpoints: false }), 'x'))).toEqual([]);
    });

    test('knows the nodes for a second, or until it is told to ask again', async () => {
      const now = jest.spyOn(performance, 'now').mockReturnValue(performance.now());
      const [a, b] = [recordsOf('a'), recordsOf('b')];
      expect(kinds(await findOne(a, 'x'))).toEqual([]);
      await live(b, sessionOf('x'));
      expect(kinds(await findOne(a, 'x'))).toEqual([]);
      a.forgetNodes();
      expect(kinds(await findOne(a, 'x'))).toEqual([['live', 'b']]);
      await live(recordsOf('c'), sessionOf('y'));
      expect(kinds(await findOne(a, 'y'))).toEqual([]);
      now.mockReturnValue(performance.now() + 1_001);
      expect(kinds(await findOne(a, 'y'))).toEqual([['live', 'c']]);
    });

    test('says of a session that it could not be asked for, and has the others', async () => {
      const a = recordsOf('a');
      await a.store({ pid: 'x', epoch: 0 }, encodeSession(sessionOf('x')), 1_000);
      const call = connection.call.bind(connection);
      jest
        .spyOn(connection, 'call')
        .mockImplementation((command, timeout) =>
          command[1] === 's:y' ? Promise.reject(new Error('NOPERM no')) : call(command, timeout),
        );
      const [x, y] = await a.find(['x', 'y'].map((pid) => ({ pid, nsp: '/' })));
      expect([kinds(x as FoundSession), (y as Error).message]).toEqual([[['stored', undefined]], 'NOPERM no']);
    });

    test('is rejected if Redis does not answer in time', async () => {
      const silence = new RedisTimeoutError('Redis did not answer');
      jest
        .spyOn(connection, 'call')
        .mockImplementation(({ length }) => (length === 2 ? Promise.reject(silence) : Promise.resolve([])));
      await expect(recordsOf('a').find([{ pid: 'x', nsp: '/' }])).rejects.toBe(silence);
    });
  });

  describe('claims', () => {
    test('give an epoch to one of the nodes that want it at once, and all learn which', async () => {
      const nodes = Array.from({ length: 8 }, (_, i) => recordsOf(`n${i}`));
      const answers = await Promise.all(nodes.map((node) => node.claim('x', '/', 1)));
      expect(new Set(answers.map((claims) => claims.get(1))).size).toBe(1);
      expect([...(await nodes[0]!.claimsOf('x'))]).toEqual([...answers[7]!]);
      await expectLifetime('s:claims:x', LIFETIME + HOUR); // longer than any record of before
    });

    test('hold the session until it is written elsewhere, and the claim before until then', async () => {
      const [a, b] = [recordsOf('a'), recordsOf('b')];
      await a.claim('x', '/', 1);
      await b.claim('x', '/', 2, encodeSession(sessionOf('x', { epoch: 2 })));
      expect(await findOne(a, 'x')).toMatchObject({ records: [{ kind: 'claim', epoch: 2, owner: 'b', node: 'b' }] });
      await b.dropCopy('x', '/', 2);
      const { records, claims } = await findOne(a, 'x');
      expect([records, [...claims]]).toEqual([[], [[2, 'b']]]);
    });

    test('end with one for nobody, unless another node has claimed that epoch', async () => {
      const [a, b] = [recordsOf('a'), recordsOf('b')];
      await a.claim('x', '/', 1);
      expect([...(await a.endClaims('x', '/', 2))]).toEqual([[1, 'a'], [2, NOBODY]]); // prettier-ignore
      expect([...(await a.claimsOf('x'))]).toEqual([[2, NOBODY]]);
      await a.claim('y', '/', 1);
      await b.claim('y', '/', 2);
      expect((await a.endClaims('y', '/', 2)).get(2)).toBe('b');
    });

    test('are removed by their epochs', async () => {
      const a = recordsOf('a');
      for (const epoch of [1, 2, 3]) await a.claim('x', '/', epoch);
      await a.removeClaims('x', [1, 2]);
      expect([...(await a.claimsOf('x'))]).toEqual([[3, 'a']]);
    });
  });

  describe('a disconnected client', () => {
    test('has its session for as long as it is said, in whole milliseconds, and removed once', async () => {
      const a = recordsOf('a');
      for (const [pid, lifetime, left] of [
        ['x', 30_000.4, 30_001],
        ['y', Infinity, Number.MAX_SAFE_INTEGER],
      ] as const) {
        await a.store({ pid, epoch: 0 }, 'encoded', lifetime);
        await expectLifetime(`s:${pid}`, left);
      }
      await a.store({ pid: 'z', epoch: 0 }, 'encoded', -5); // it is over at once, and no error
      expect([await a.removeStored('x', 1), await a.removeStored('x', 1)]).toEqual(['removed', 'missing']);
    });

    test('has what it left in a later epoch, though what is of an earlier one comes late', async () => {
      const [a, b] = [recordsOf('a'), recordsOf('b')];
      const later = sessionOf('x', { epoch: 3, owner: 'b' });
      await b.store({ pid: 'x', epoch: 3 }, encodeSession(later), 30_000);
      await a.store({ pid: 'x', epoch: 2 }, encodeSession(sessionOf('x', { epoch: 2, owner: 'a' })), 30_000);
      expect(await findOne(a, 'x')).toMatchObject({ records: [{ epoch: 3, session: later }] });
      expect(await a.removeStored('x', 3)).toBe('later');
      expect(await findOne(a, 'x')).toMatchObject({ records: [{ epoch: 3, session: later }] });
      await expectLifetime('s:x', LIFETIME);
      expect(await a.removeStored('x', 4)).toBe('removed');
    });

    test('has what it left last, though what it left in the same epoch is written again', async () => {
      const a = recordsOf('a');
      for (const name of ['first', 'again']) {
        const session = sessionOf('x', { epoch: 2, owner: 'a', data: { name } });
        await a.store({ pid: 'x', epoch: 2 }, encodeSession(session), 30_000);
      }
      expect(await findOne(a, 'x')).toMatchObject({ records: [{ session: { data: { name: 'again' } } }] });
    });
  });

  describe('connected clients', () => {
    test('are in the hash of their node, which is listed with its first session and expires as a whole', async () => {
      const a = recordsOf('a');
      expect([a.hasLive, await a.live()]).toEqual([false, undefined]);
      await live(a, sessionOf('x'), sessionOf('y'));
      await live(a, sessionOf('z'));
      expect([a.hasLive, await redis.command('ZRANGE', 's:live:nodes', 0, -1)]).toEqual([true, ['a']]);
      await a.removeLive('y');
      expect([...(await a.live())!].sort()).toEqual(['x', 'z']);
      await expectLifetime('s:live:a', LIFETIME);
    });

    test('are there when the last one has gone, and not when the hash has expired', async () => {
      const a = recordsOf('a');
      await live(a, sessionOf('x'));
      await a.removeLive('x');
      expect(await a.live()).toEqual(new Set());
      expect(await a.keepAlive()).toEqual({ isThere: true, count: 0 });
      await redis.command('DEL', 's:live:a');
      expect(await a.keepAlive()).toMatchObject({ isThere: false });
      await live(a, sessionOf('y'));
      expect([await a.live(), await a.keepAlive()]).toEqual([new Set(['y']), { isThere: true, count: 1 }]);
    });

    test('are written as a whole when a write has failed', async () => {
      const a = recordsOf('a');
      await redis.command('SET', 's:live:a', 'something else');
      await expect(live(a, sessionOf('x'))).rejects.toThrow('WRONGTYPE');
      expect(a.hasLive).toBe(false);
      await redis.command('DEL', 's:live:a');
      await live(a, sessionOf('x'));
      expect([await a.live(), a.hasLive]).toEqual([new Set(['x']), true]);
    });

    test('of another node are removed there', async () => {
      const [a, b] = [recordsOf('a'), recordsOf('b')];
      await live(b, sessionOf('x'), sessionOf('y'));
      await a.removeLiveOf('b', 'x');
      expect(await b.live()).toEqual(new Set(['y']));
    });

    test('leave nothing when their node is removed', async () => {
      const [a, never] = [recordsOf('a'), recordsOf('never')];
      await live(a, sessionOf('x'));
      await a.removeNode();
      await never.removeNode();
      expect(await redis.command('KEYS', '*')).toEqual([]);
    });
  });

  test('the directory loses nodes without a hash that were silent between two looks, and no others', async () => {
    const a = recordsOf('a', { grace: 0 });
    const [silent, gone, back] = [recordsOf('silent'), recordsOf('gone'), recordsOf('back')];
    for (const node of [a, silent, gone, back]) await live(node, sessionOf('x'));
    await redis.command('DEL', 's:live:gone', 's:live:back');
    await a.keepAlive(); // the first look
    const nodes = (): Promise<unknown> => redis.command('ZRANGE', 's:live:nodes', 0, -1);
    expect(await nodes()).toEqual(expect.arrayContaining(['a', 'back', 'gone', 'silent']));
    await redis.command('ZINCRBY', 's:live:nodes', 1, 'back'); // a sign of life
    await a.keepAlive();
    expect(((await nodes()) as string[]).toSorted()).toEqual(['a', 'back', 'silent']);
  });
});
