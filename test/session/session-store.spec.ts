import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { driverFor } from '../../lib/redis/driver-for.js';
import { ReconnectRetry } from '../../lib/redis/reconnect-retry.js';
import { type SessionClaim, type SessionHolder } from '../../lib/session/session-claim.js';
import { SessionStore } from '../../lib/session/session-store.js';
import { decodeClaims, decodeSession, encodeClaim, encodeSession, type Session } from '../../lib/wire/session.js';
import { closeAfterwards, RedisServer, TcpProxy, until } from '../kit/index.js';

function sessionOf(pid: string, more: Partial<Session> = {}): Session {
  return { sid: `sid of ${pid}`, pid, rooms: [], data: {}, nsp: '/', ...more };
}

class Holder implements SessionHolder {
  isReleased = false;

  constructor(public session: Session) {}

  get data(): unknown {
    return this.session.data;
  }

  current(): Session {
    return this.session;
  }

  release(): void {
    this.isReleased = true;
  }
}

/** Has a store keep the session of a client that is connected to its node. */
function connect(store: SessionStore, session: Session): { claim: SessionClaim; holder: Holder } {
  const holder = new Holder(session);
  return { holder, claim: store.open(session.pid, '/', 10_000, holder) };
}

/** Has a store take a session and hold it. Resolves to the claim; undefined if it was refused. */
async function take(store: SessionStore, pid: string, nsp = '/'): Promise<SessionClaim | undefined> {
  const claim = await store.take(pid, nsp, { duration: 10_000, wasOnlyHere: () => true });
  if (typeof claim === 'string') {
    return undefined;
  }
  claim.hold(new Holder(claim.session), false);
  return claim;
}

/** Stores of several nodes, which hear each other. */
async function startStores(port: number, count: number, checkpoints = true) {
  const client = new Redis({ port, lazyConnect: true });
  const stores: SessionStore[] = [];
  const errors: Error[] = [];
  for (let i = 0; i < count; i++) {
    let onReady!: () => void;
    const ready = new Promise<void>((resolve) => (onReady = resolve));
    const connection = driverFor(client).open({
      ...{ role: 'commands', connectionName: `store ${i}`, sharded: false },
      listener: {
        onReady: () => {
          reconnectRetry.onReady();
          onReady();
        },
        onLost: () => undefined,
      },
    });
    const reconnectRetry = new ReconnectRetry(() => connection, 500);
    closeAfterwards(connection);
    await ready;
    stores.push(
      new SessionStore(connection, {
        ...{ keyPrefix: 's:', nodeId: String(i), checkpoints, grace: 1_000, commandTimeout: 2_000 },
        retry: (run) => reconnectRetry.run(run),
        isWhole: () => connection.ready,
        peers: {
          whenBack: () => Promise.resolve(),
          whenAllBack: () => Promise.resolve(),
          canHear: () => Promise.resolve(true),
          askRelease: async (pid, at, epoch) => {
            for (const [n, other] of stores.entries()) {
              if (n !== i) {
                void other.release(pid, epoch).then((session) => {
                  if (session || String(n) === at) {
                    stores[i]!.onReleased(pid, session ?? null, String(n));
                  }
                });
              }
            }
            return Promise.resolve();
          },
        },
        onLeftOut: () => undefined,
        onError: (_operation, error) => errors.push(error),
      }),
    );
    stores[i]!.keepFor(10_000);
  }
  return { stores, errors };
}

describe('SessionStore', () => {
  test('that many nodes take at once, wherever they are, are handed out once each', async () => {
    const redis = await RedisServer.start();
    const { stores, errors } = await startStores(redis.port, 4);
    const pids = Array.from({ length: 300 }, (_, i) => `client-${i}`);
    const holders: Holder[] = [];
    for (const [i, pid] of pids.entries()) {
      const { claim, holder } = connect(stores[0]!, sessionOf(pid));
      if (i % 2) {
        claim.giveBack();
      } else {
        holders.push(holder);
      }
    }
    await until(async () => Number(await redis.command('HLEN', 's:live:0')) === 151, { what: 'all to be written' });

    const taken = await Promise.all(pids.flatMap((pid) => stores.slice(1).map((store) => take(store, pid))));

    // Who comes after another has finished takes the session from that one; nobody has it together with another.
    const holding = taken.flatMap((claim) => (claim && !claim.isReleased ? [claim.pid] : []));
    expect(holding.sort()).toEqual([...pids].sort());
    expect(holders.every(({ isReleased }) => isReleased)).toBe(true);
    expect(stores.map(({ liveCount }) => liveCount).reduce((a, b) => a + b)).toBe(300);
    expect(errors).toEqual([]);
    // Each is in the hash of its new node, and nowhere else.
    await until(
      async () => {
        const lengths = await Promise.all([0, 1, 2, 3].map((n) => redis.command('HLEN', `s:live:${n}`)));
        return lengths.reduce<number>((sum, length) => sum + Math.max(0, Number(length) - 1), 0) === 300;
      },
      { what: 'one record of each' },
    );
    expect(((await redis.command('KEYS', 's:client*')) as string[]).length).toBe(0);
  });

  test('are not lost when their node closes while they are being taken', async () => {
    const redis = await RedisServer.start();
    const { stores } = await startStores(redis.port, 3);
    const pids = Array.from({ length: 200 }, (_, i) => `client-${i}`);
    pids.forEach((pid) => connect(stores[0]!, sessionOf(pid)).claim.giveBack());
    await until(async () => ((await redis.command('KEYS', 's:client*')) as string[]).length === 200, {
      what: 'all to be written',
    });
    const taking = pids.map((pid) => take(stores[1]!, pid));
    await taking[0];
    await stores[1]!.close();
    await Promise.all(taking);

    const again = await Promise.all(pids.map((pid) => take(stores[2]!, pid)));
    expect(again.filter(Boolean)).toHaveLength(200);
  });

  test('are not found, and nothing else happens, while Redis is away from a node where many are looked for', async () => {
    const failures: unknown[] = [];
    const onFailure = (error: unknown): void => void failures.push(error);
    process.on('unhandledRejection', onFailure);
    const redis = await RedisServer.start();
    const { stores } = await startStores(redis.port, 1);
    await redis.kill();

    const taking = Array.from({ length: 200 }, (_, i) => take(stores[0]!, `client-${i}`));
    expect((await Promise.all(taking)).filter(Boolean)).toEqual([]);
    process.off('unhandledRejection', onFailure);
    expect(failures).toEqual([]);
  });

  test('are handed out although the answer to their deletion was lost, many at once', async () => {
    const redis = await RedisServer.start();
    const proxy = await TcpProxy.start(redis.port);
    const { stores } = await startStores(proxy.port, 1);
    const pids = Array.from({ length: 20 }, (_, i) => `client-${i}`);
    for (const pid of pids) {
      await redis.command('SET', `s:${pid}`, encodeSession(sessionOf(pid)));
    }
    const taking = pids.map((pid) => take(stores[0]!, pid));
    await proxy.loseReplyTo('DEL');
    await redis.command('SET', 's:another', encodeSession(sessionOf('another')));
    const another = take(stores[0]!, 'another'); // in one batch with them

    expect((await Promise.all([...taking, another])).map((claim) => claim?.pid)).toEqual([...pids, 'another']);
  });

  describe.each([
    ['that node', 1],
    ['another', 2],
  ])('whose client has left a node, and what it stored is lost, wanted by %s,', (_who, by) => {
    /** @param duration - milliseconds for which the client may stay away */
    async function leaveNoRecord(duration: number): Promise<SessionStore> {
      const redis = await RedisServer.start();
      const { stores } = await startStores(redis.port, 3);
      const isThere = async (...command: string[]): Promise<boolean> => (await redis.command(...command)) === 1;
      const moved = sessionOf('client', { data: { of: 'the client' } });
      connect(stores[0]!, moved).claim.giveBack();
      await until(() => isThere('EXISTS', 's:client'), { what: 'it to leave the first node' });
      const claim = await stores[1]!.take('client', '/', { duration, wasOnlyHere: () => true });
      (claim as SessionClaim).hold(new Holder(moved), true);
      await until(() => isThere('HEXISTS', 's:live:1', 'client'), { what: 'it to be written' });
      (claim as SessionClaim).giveBack();
      await until(async () => !(await isThere('HEXISTS', 's:live:1', 'client')), { what: 'it to leave' });
      await redis.command('DEL', 's:client');
      return stores[by]!;
    }

    test('are found as the node remembers them', async () => {
      const store = await leaveNoRecord(10_000);
      expect(await take(store, 'client')).toMatchObject({ epoch: 2, session: { data: { of: 'the client' } } });
    });

    test('are not found when their time is over', async () => {
      const store = await leaveNoRecord(300);
      await sleep(350);
      expect(await take(store, 'client')).toBeUndefined();
    });
  });

  test('are stored as their node says they are, though the node that asks for them is closed before', async () => {
    const redis = await RedisServer.start();
    const { stores } = await startStores(redis.port, 2);
    const [asked, asking] = stores as [SessionStore, SessionStore];
    const { holder } = connect(asked, sessionOf('client'));
    await until(async () => (await redis.command('HEXISTS', 's:live:0', 'client')) === 1, { what: 'it to be written' });
    const release = asked.release.bind(asked);
    asked.release = async (...of) => {
      holder.session = sessionOf('client', { rooms: ['joined just now'] });
      asking.saveAll();
      await sleep(50);
      return release(...of);
    };
    const taking = asking.take('client', '/', { duration: 10_000, wasOnlyHere: () => true });
    await until(async () => (await redis.command('EXISTS', 's:claims:client')) === 1, { what: 'it to be claimed' });
    await Promise.all([taking, asking.close()]);
    const stored = decodeSession(await redis.command('GET', 's:client'), 'client');
    expect(stored).toMatchObject({ epoch: 1, rooms: ['joined just now'] });
  });

  test('are not with their claims any more when their clients have joined, if nothing newer is written', async () => {
    const redis = await RedisServer.start();
    const { stores } = await startStores(redis.port, 2, false);
    connect(stores[0]!, sessionOf('client')).claim.giveBack();
    await until(async () => (await redis.command('EXISTS', 's:client')) === 1, { what: 'it to be stored' });
    const claim = (await take(stores[1]!, 'client'))!;
    const held = async (): Promise<unknown> => {
      const [epoch, value] = (await redis.command('HGETALL', 's:claims:client')) as [string, string];
      return decodeClaims(new Map([[epoch, value]]), 'client').get(1)?.session;
    };
    expect(await held()).toMatchObject({ sid: 'sid of client' }); // should this node be killed now
    stores[1]!.onJoined(claim);
    await until(async () => (await held()) === undefined, { what: 'the claim alone to be left' });
  });

  test('are found where they are written while their last record but one is being taken', async () => {
    const redis = await RedisServer.start();
    const proxy = await TcpProxy.start(redis.port);
    const { stores, errors } = await startStores(proxy.port, 1);
    await redis.command('ZADD', 's:live:nodes', String(Date.now()), 'other');
    await redis.command('HSET', 's:live:other', 'client', encodeSession(sessionOf('client', { epoch: 3 })));
    proxy.latency(200);

    const taken = take(stores[0]!, 'client');
    await until(async () => 'cmdstat_hmget' in (await redis.info('commandstats')), { what: 'the record to be found' });
    await redis.command('HSET', 's:claims:client', '4', encodeClaim('third', '/'));
    await redis.command('SET', 's:client', encodeSession(sessionOf('client', { epoch: 4, owner: 'third' })));
    await redis.command('HDEL', 's:live:other', 'client');

    expect(await taken).toMatchObject({ epoch: 5 });
    expect(await redis.command('EXISTS', 's:client')).toBe(0);
    expect(errors).toEqual([]);
  });

  test('writes and removes what a command has changed that came late from a connection that was lost', async () => {
    const redis = await RedisServer.start();
    const [store] = (await startStores(redis.port, 1)).stores;
    connect(store!, sessionOf('here'));
    const fields = async (): Promise<unknown> => ((await redis.command('HKEYS', 's:live:0')) as string[]).toSorted();
    await until(async () => (await redis.command('HEXISTS', 's:live:0', 'here')) === 1, { what: 'it to be written' });

    await redis.command('HSET', 's:live:0', 'gone', encodeSession(sessionOf('gone')));
    await redis.command('HSET', 's:live:0', 'gone too', encodeSession(sessionOf('gone too')));
    await redis.command('HDEL', 's:live:0', 'here');
    await store!.keepAlive();

    await until(async () => String(await fields()) === ',here', { what: 'it alone to be there' });
  });

  test('are removed from the hash of their node, if that could not be done when their clients went', async () => {
    const redis = await RedisServer.start();
    const { stores } = await startStores(redis.port, 1);
    connect(stores[0]!, sessionOf('here'));
    const fields = (): Promise<unknown> => redis.command('HKEYS', 's:live:0');
    await until(async () => ((await fields()) as string[]).includes('here'), { what: 'the session to be written' });
    await redis.command('HSET', 's:live:0', 'gone', encodeSession(sessionOf('gone')));

    await stores[0]!.verify();

    await until(async () => !((await fields()) as string[]).includes('gone'), { what: 'the other to be removed' });
    expect(await fields()).toEqual(expect.arrayContaining(['here']));
  });

  test('are found although a key of another kind has the name of one', async () => {
    const redis = await RedisServer.start();
    const { stores } = await startStores(redis.port, 1);
    await redis.command('LPUSH', 's:users', 'x');
    connect(stores[0]!, sessionOf('client')).claim.giveBack();
    const [user, client] = await Promise.all([take(stores[0]!, 'users'), take(stores[0]!, 'client')]);
    expect(user).toBeUndefined();
    expect(client).toMatchObject({ session: { sid: 'sid of client' }, epoch: 1 });
    expect(await redis.command('LLEN', 's:users')).toBe(1);
  });

  test('of another namespace stay where they are', async () => {
    const redis = await RedisServer.start();
    const { stores } = await startStores(redis.port, 1);
    stores[0]!.open('client', '/admin', 10_000, new Holder(sessionOf('client'))).giveBack();
    expect(await take(stores[0]!, 'client')).toBeUndefined();
    expect(await take(stores[0]!, 'client', '/admin')).toMatchObject({ nsp: '/admin' });
  });

  test('of connected clients and of those that are gone are written again when it is verified', async () => {
    const redis = await RedisServer.start();
    const { stores } = await startStores(redis.port, 1);
    const [store] = stores as [SessionStore];
    connect(store, sessionOf('here'));
    const { claim } = connect(store, sessionOf('going'));
    await until(async () => (await redis.command('HLEN', 's:live:0')) === 3, { what: 'the sessions to be written' });
    await redis.command('FLUSHALL'); // as if a failover had lost them
    claim.giveBack();
    store.onReady();
    await store.verify();
    expect(await redis.command('HEXISTS', 's:live:0', 'here')).toBe(1);
    expect(await redis.command('EXISTS', 's:going')).toBe(1);
    expect(store.isVerified).toBe(true);
  });

  test('let go of for a node that has claimed a later epoch are kept for the one that claimed in between', async () => {
    const redis = await RedisServer.start();
    const { stores } = await startStores(redis.port, 1);
    const [store] = stores as [SessionStore];
    const { holder } = connect(store, sessionOf('client', { data: { as: 'here' } }));
    expect(await store.release('client', 2)).toBeUndefined();
    expect(holder.isReleased).toBe(true);
    expect(decodeSession(await store.release('client', 1), 'client')).toMatchObject({ data: { as: 'here' } });
  });
});
