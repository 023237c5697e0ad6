import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import { io as connect, type Socket } from 'socket.io-client';
import { decodeSession } from '../../lib/wire/session.js';
import { closeAfterwards, type Member, numbers, RedisServer, TcpProxy, until } from '../kit/index.js';
import { checkpointed, haveReadAll, socketsOf, startNode } from './recovery-node.js';
import { startRecoveryProcess, type RecoveryProcessOptions } from './recovery-process.js';
import { receives, visit, type Visitor, visits } from './visitor.js';

const DETACHED = { what: 'the node to notice that Redis is away' };

/** A node whose connections to Redis can be cut while the others keep theirs. */
async function startDetachable(redis: RedisServer, more = {}): Promise<{ node: Member; proxy: TcpProxy }> {
  const proxy = await TcpProxy.start(redis.port);
  return { node: await startNode({ port: proxy.port, ...more }), proxy };
}

async function detach(node: Member, proxy: TcpProxy): Promise<void> {
  proxy.refuse();
  proxy.cut();
  await until(() => node.node.status().state === 'degraded', DETACHED);
}

async function reattach(node: Member, proxy: TcpProxy): Promise<void> {
  await proxy.accept();
  await until(() => node.node.status().state === 'running', { what: 'the node to be back' });
}

const stateOf = (node: Member, visitor: Visitor) => {
  const [socket] = socketsOf(node, visitor);
  return (
    socket && { rooms: [...socket.rooms].filter((room) => room !== socket.id).sort(), data: socket.data as unknown }
  );
};

describe('a session whose old node was cut off from Redis', () => {
  /** The client was on A, is recovered on B while A is cut off, and joins a room there. */
  async function moveFromDetached({ doesRead = false } = {}) {
    const redis = await RedisServer.start();
    const a = await startDetachable(redis, doesRead ? { readerPort: redis.port } : {});
    const [b, c] = [await startNode({ port: redis.port }), await startNode({ port: redis.port })];
    const network = await TcpProxy.start(Number(new URL(a.node.url).port));
    const visitor = await visit({ url: `http://127.0.0.1:${network.port}` }, { rooms: ['red'] });
    b.io.emit('msg', 0);
    await receives(visitor, 1);
    await checkpointed(redis, a.node, visitor);
    await detach(a.node, a.proxy);
    return { redis, a, b, c, network, visitor };
  }

  async function joinOnB(b: Member, visitor: Visitor): Promise<void> {
    visitor.comeBack(b.url);
    await visits(visitor, 2);
    expect(visitor.socket.recovered).toBe(true);
    await visitor.socket.emitWithAck('join', 'late');
    socketsOf(b, visitor)[0]!.data = { as: 'on B' };
    b.io.to('late').emit('msg', 1);
    await receives(visitor, 2);
  }

  async function comesToC(b: Member, c: Member, visitor: Visitor): Promise<void> {
    b.io.to('late').emit('msg', 2);
    visitor.comeBack(c.url);
    await visits(visitor, 3);
    await receives(visitor, 3);
    expect(visitor.values).toEqual(numbers(3));
    expect(visitor.refused).toBe(0);
    expect(stateOf(c, visitor)).toEqual({ rooms: ['late', 'red'], data: { as: 'on B' } });
  }

  test('is not overwritten by what that node had to write when it comes back', async () => {
    const { redis, a, b, c, visitor } = await moveFromDetached();
    await visitor.stayAway();
    await until(() => socketsOf(a.node, visitor).length === 0, { what: 'A to lose the client' });
    await joinOnB(b, visitor);
    await visitor.stayAway();
    const key = `sio:session:${visitor.pid}`;
    await until(async () => (await redis.command('EXISTS', key)) === 1, { what: 'the session of B' });
    const written = await redis.command('GET', key);

    await reattach(a.node, a.proxy);
    await sleep(300); // longer than anything takes that A has to write
    expect(await redis.command('GET', key)).toBe(written);
    await comesToC(b, c, visitor);
  });

  test('is not overwritten by a half-open socket of that node that ends late', async () => {
    const { a, b, c, network, visitor } = await moveFromDetached();
    network.blackhole();
    await visitor.stayAway('close');
    await joinOnB(b, visitor);
    await visitor.stayAway();
    await reattach(a.node, a.proxy);
    network.cut(); // only now A can know that its client is gone
    await until(() => socketsOf(a.node, visitor).length === 0, { what: 'A to lose the client' });
    await comesToC(b, c, visitor);
  });

  test('is asked for in Redis by that node when its client comes back to it', async () => {
    const { a, b, visitor } = await moveFromDetached();
    await visitor.stayAway();
    await until(() => socketsOf(a.node, visitor).length === 0, { what: 'A to lose the client' });
    await joinOnB(b, visitor);
    await visitor.stayAway();
    b.io.to('late').emit('msg', 2);
    await a.proxy.accept();
    visitor.comeBack(a.node.url); // at the same time as A's network
    await visits(visitor, 3);

    await receives(visitor, 3);
    expect(visitor.values).toEqual(numbers(3));
    expect(visitor.refused).toBe(0);
    expect(stateOf(a.node, visitor)).toEqual({ rooms: ['late', 'red'], data: { as: 'on B' } });
  });

  test('is not handed out by that node while it is still cut off', async () => {
    const { a, b, visitor } = await moveFromDetached();
    await visitor.stayAway();
    await until(() => socketsOf(a.node, visitor).length === 0, { what: 'A to lose the client' });
    visitor.comeBack(b.url); // nothing was sent meanwhile, and B gives it nothing
    await visits(visitor, 2);
    await visitor.socket.emitWithAck('join', 'late');
    await visitor.stayAway();
    visitor.comeBack(a.node.url);
    await until(() => visitor.visits.length === 3, { what: 'the client to connect', timeout: 20_000 });
    expect(visitor.socket.recovered).toBe(false);
    expect(a.node.node.status().refusedRecoveries['redis-away']).toBe(1);
    expect(a.node.eventsOf('recovery-refused')).toEqual([
      { type: 'recovery-refused', namespace: '/', reason: 'redis-away' },
    ]);
  });

  test('is not handed out by that node while it can only read, though it has read what its client received', async () => {
    const { redis, a, b, c, visitor } = await moveFromDetached({ doesRead: true });
    await visitor.stayAway();
    await until(() => socketsOf(a.node, visitor).length === 0, { what: 'A to lose the client' });
    await joinOnB(b, visitor);
    c.io.emit('msg', 2); // its offset says nothing of B then
    await receives(visitor, 3);
    await visitor.stayAway();
    b.io.to('late').emit('msg', 3);
    await haveReadAll(redis, [a.node]);
    visitor.comeBack(a.node.url);
    await sleep(300); // longer than it takes A to hand it out from memory
    c.io.emit('msg', 4);
    await sleep(100);
    visitor.goTo(c.url);
    visitor.cut();
    await receives(visitor, 5);
    expect(visitor.values).toEqual(numbers(5));
    expect(visitor.refused).toBe(0);
    expect(stateOf(c, visitor)).toEqual({ rooms: ['late', 'red'], data: { as: 'on B' } });
  });

  test('is handed out by that node if its client has only been there, and is this node’s when Redis is back', async () => {
    const { a, b, c, visitor } = await moveFromDetached();
    await visitor.stayAway();
    await until(() => socketsOf(a.node, visitor).length === 0, { what: 'A to lose the client' });
    const since = performance.now();
    visitor.comeBack(a.node.url);
    await visits(visitor, 2);
    expect(performance.now() - since).toBeLessThan(1_000);
    expect(visitor.refused).toBe(0);
    await visitor.socket.emitWithAck('join', 'late');
    await reattach(a.node, a.proxy);
    b.io.to('late').emit('msg', 1);
    await receives(visitor, 2);
    await visitor.stayAway();
    b.io.to('late').emit('msg', 2);
    visitor.comeBack(c.url);
    await receives(visitor, 3);
    expect(visitor.values).toEqual(numbers(3));
    expect(visitor.refused).toBe(0);
  });
});

describe('one session that two nodes want at once', () => {
  test.each([0, 20])(
    'is handed out once, %i ms from Redis',
    async (latency) => {
      const redis = await RedisServer.start();
      const a = await startDetachable(redis);
      const b = await startNode({ port: redis.port });
      a.proxy.latency(latency);
      for (let round = 0; round < 12; round++) {
        const network = await TcpProxy.start(Number(new URL(a.node.url).port));
        const visitor = await visit({ url: `http://127.0.0.1:${network.port}` });
        b.io.to(visitor.sid).emit('msg', 0);
        await receives(visitor, 1);
        await checkpointed(redis, a.node, visitor);
        network.blackhole();
        await visitor.stayAway('close');

        const attempts: Socket[] = [];
        const connected: boolean[] = [];
        for (const [i, { url }] of [b, a.node, b].entries()) {
          const auth = { pid: visitor.pid, offset: visitor.offset };
          const socket = connect(url, { transports: ['websocket'], forceNew: true, reconnection: false, auth });
          closeAfterwards({ close: () => socket.disconnect() });
          socket.on('connect', () => (connected[i] = true));
          socket.on('connect_error', () => (connected[i] = true));
          attempts.push(socket);
          await sleep(round % 4);
        }
        await until(() => connected.filter(Boolean).length === attempts.length, { what: 'all to have connected' });
        const owners = (): number => [a.node, b].flatMap((node) => socketsOf(node, visitor)).length;
        await until(() => owners() === 1, { what: 'one socket of the session' });
        await sleep(30 + 2 * latency);
        expect(owners()).toBe(1);
        expect(attempts.filter((socket) => socket.connected && socket.id === visitor.sid)).toHaveLength(1);
        attempts.forEach((socket) => socket.disconnect());
      }
    },
    60_000,
  );
});

/** A server with a replica, and a proxy through which nodes reach the one, and after a failover the other. */
async function startReplicated() {
  const redis = await RedisServer.start();
  const replica = await RedisServer.start({ replicaOf: redis });
  const proxy = await TcpProxy.start(redis.port);
  return {
    ...{ redis, replica, proxy },
    /** The replica has all up to now, and nothing from now on. */
    detach: async () => {
      await replica.inSync();
      await replica.command('REPLICAOF', 'NO', 'ONE');
    },
    /** To the replica, which lacks what was written since it was detached. */
    failOver: async () => {
      proxy.target(replica.port);
      proxy.cut();
      await redis.kill();
    },
  };
}

describe('a failover that lost writes', () => {
  test('keeps connected clients, and their sessions are written again', async () => {
    const { replica, proxy, detach, failOver } = await startReplicated();
    const [a, b] = [await startNode({ port: proxy.port }), await startNode({ port: proxy.port })];
    await detach();
    const visitors: Visitor[] = [];
    for (let i = 0; i < 20; i++) {
      visitors.push(await visit(i % 2 ? a : b, { rooms: ['red'] }));
    }
    a.io.emit('msg', 0);
    await Promise.all(visitors.map((visitor) => receives(visitor, 1)));
    for (const visitor of visitors.slice(0, 10)) {
      visitor.goTo(a.url);
      visitor.cut();
      await visits(visitor, 2);
    }
    await failOver();
    await until(() => [a, b].every(({ node }) => node.status().state === 'running'), { what: 'the failover' });

    const written = async (): Promise<unknown[]> => {
      const hashes = await Promise.all(
        [a, b].map(({ node }) => replica.command('HKEYS', `sio:session:live:${node.id}`)),
      );
      return (hashes as string[][]).flat();
    };
    await until(async () => visitors.every((_, i) => i >= 0) && (await written()).filter(Boolean).length === 20, {
      what: 'all to be written again',
    });
    expect(visitors.map(({ visits }) => visits.length)).toEqual(visitors.map((_, i) => (i < 10 ? 2 : 1)));
    expect(visitors.every(({ isConnected }) => isConnected)).toBe(true);
    // They can be recovered elsewhere, and none of an earlier epoch is.
    for (const visitor of visitors.slice(0, 2)) {
      const claims = `sio:session:claims:${visitor.pid}`;
      await until(async () => (await replica.command('HEXISTS', claims, '1')) === 1, { what: 'the claim again' });
    }
    b.io.emit('msg', 1);
    await Promise.all(visitors.map((visitor) => receives(visitor, 2)));
    const before = visitors.map(({ visits }) => visits.length);
    for (const visitor of visitors) {
      visitor.goTo(b.url);
      visitor.cut();
    }
    await Promise.all(visitors.map((visitor, i) => visits(visitor, before[i]! + 1)));
    expect(visitors.map(({ refused }) => refused)).toEqual(visitors.map(() => 0));
  });
});

test('a failover that lost changes of rooms: sessions are written again as they are', async () => {
  const { redis, replica, proxy, detach, failOver } = await startReplicated();
  const a = await startNode({ port: proxy.port });
  const visitor = await visit(a, { rooms: ['before'] });
  const key = `sio:session:live:${a.node.id}`;
  const rooms = async (server: RedisServer): Promise<string[] | undefined> =>
    decodeSession(await server.command('HGET', key, visitor.pid!), visitor.pid!)?.rooms.slice(1);
  await until(async () => (await rooms(replica))?.includes('before'), { what: 'the replica to have the session' });
  await detach();
  await visitor.socket.emitWithAck('leave', 'before');
  await visitor.socket.emitWithAck('join', 'after');
  await until(async () => (await rooms(redis))?.includes('after'), { what: 'the change to be written' });
  await failOver();
  await until(async () => (await rooms(replica))?.join() === 'after', { what: 'the change to be written again' });
});

test('a client whose last stored session a failover lost is recovered from it, not from an older one', async () => {
  const { redis, replica, proxy, detach, failOver } = await startReplicated();
  const a = await startNode({ port: proxy.port });
  const visitor = await visit(a, { rooms: ['before'] });
  a.io.emit('msg', 0);
  await receives(visitor, 1);
  const key = `sio:session:live:${a.node.id}`;
  const written = async (server: RedisServer): Promise<unknown> => server.command('HGET', key, visitor.pid!);
  await until(async () => (await written(replica)) !== null, { what: 'the replica to have the session' });
  await detach();
  const old = String(await written(replica));
  await visitor.socket.emitWithAck('leave', 'before');
  await visitor.socket.emitWithAck('join', 'after');
  await visitor.stayAway();
  await until(async () => (await redis.command('EXISTS', `sio:session:${visitor.pid}`)) === 1, { what: 'a session' });
  await failOver();
  await until(() => a.node.status().state === 'running', { what: 'the failover' });
  await sleep(300);
  await replica.command('HSET', key, visitor.pid!, old); // as if the node had not looked there yet
  const b = await startNode({ port: replica.port });
  await until(async () => (await b.io.of('/').adapter.serverCount()) === 2, { what: 'the nodes to hear each other' });
  a.io.to('after').emit('msg', 1);
  a.io.to('before').emit('msg', 2);
  visitor.comeBack(b.url);
  await visits(visitor, 2);
  await receives(visitor, 2);
  expect([visitor.refused, visitor.values]).toEqual([0, [0, 1]]);
  expect(socketsOf(b, visitor)[0]!.rooms).toEqual(new Set([visitor.sid, 'after']));
});

describe('a node whose clock is wrong', () => {
  test.each([1, -1])(
    'by two days (times %i) does not hide the sessions of others',
    async (direction) => {
      const redis = await RedisServer.start();
      const adapter = { heartbeatInterval: 100, heartbeatTimeout: 300 };
      const [a, b] = [await startNode({ port: redis.port, adapter }), await startNode({ port: redis.port, adapter })];
      const clockAhead = direction * 2 * 24 * 60 * 60 * 1_000;
      const options: RecoveryProcessOptions = { kind: 'ours', port: redis.port, adapter, clockAhead };
      const child = await startRecoveryProcess(options, { name: 'clock' });
      const url = await child.call<string>('url');
      await visit({ url }); // it writes sessions too
      for (let round = 0; round < 5; round++) {
        const network = await TcpProxy.start(Number(new URL(a.url).port));
        const visitor = await visit({ url: `http://127.0.0.1:${network.port}` });
        b.io.to(visitor.sid).emit('msg', 0);
        await receives(visitor, 1);
        await checkpointed(redis, a, visitor);
        network.blackhole();
        await visitor.stayAway('close');
        visitor.comeBack(round % 2 ? b.url : url);
        await visits(visitor, 2);
        expect(visitor.refused).toBe(0);
        visitor.close();
      }
    },
    60_000,
  );
});

test('what only an offset said of a node that is cut off is known to the node after the next, too', async () => {
  const redis = await RedisServer.start();
  const [a, b] = [await startDetachable(redis), await startDetachable(redis)];
  const c = await startNode({ port: redis.port });
  const visitor = await visit(a.node);
  c.io.emit('msg', 0);
  await receives(visitor, 1);
  await checkpointed(redis, a.node, visitor);
  await detach(a.node, a.proxy);
  a.node.io.emit('msg', 1); // its own client has it, and the log has it when A is back
  await receives(visitor, 2);
  visitor.goTo(b.node.url);
  visitor.cut();
  await visits(visitor, 2);
  c.io.emit('msg', 2); // its offset names A no more
  await receives(visitor, 3);
  await checkpointed(redis, b.node, visitor);
  await sleep(100); // by when a change of its session is written
  await detach(b.node, b.proxy);
  visitor.goTo(c.url);
  visitor.cut();
  await visits(visitor, 3);
  await reattach(a.node, a.proxy);
  a.node.io.emit('msg', 3);
  await receives(visitor, 4);
  expect([visitor.refused, visitor.values]).toEqual([0, numbers(4)]);
});
