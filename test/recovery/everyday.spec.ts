import { describe, expect, test } from '@jest/globals';
import { decodeSession } from '../../lib/wire/session.js';
import { numbers, RedisServer, until } from '../kit/index.js';
import { socketsOf, startNode } from './recovery-node.js';
import { receives, visit, visits } from './visitor.js';

describe('a client in many rooms', () => {
  /** Milliseconds for which a node is busy while a client joins so many rooms, one at a time. */
  async function joinOneByOne(count: number): Promise<number> {
    const redis = await RedisServer.start();
    const [a, b] = [await startNode({ port: redis.port }), await startNode({ port: redis.port })];
    const visitor = await visit(a);
    a.io.to(visitor.sid).emit('msg', 0);
    await receives(visitor, 1);
    const [socket] = socketsOf(a, visitor);
    const since = performance.now();
    for (let i = 0; i < count; i++) {
      void socket!.join(`room ${i}`);
    }
    const busy = performance.now() - since;
    await visitor.stayAway();
    b.io.to(`room ${count - 1}`).emit('msg', 1);
    visitor.comeBack(b.url);
    await visits(visitor, 2);
    await receives(visitor, 2);
    expect(socketsOf(b, visitor)[0]!.rooms.size).toBe(count + 1);
    expect(visitor.refused).toBe(0);
    return busy;
  }

  test('joins ten times as many in about ten times the time, and is recovered in all of them', async () => {
    await joinOneByOne(1_000); // until the code is compiled
    expect(await joinOneByOne(10_000)).toBeLessThan(500);
  });

  test('costs little while it asks for one room after the other', async () => {
    const redis = await RedisServer.start();
    const a = await startNode({ port: redis.port });
    const visitor = await visit(a);
    const cpu = process.cpuUsage();
    const before = Number((await redis.info('stats'))['total_net_input_bytes']);
    for (let i = 0; i < 100; i++) {
      await Promise.all(numbers(100).map((n) => visitor.socket.emitWithAck('join', `room ${i} ${n}`)));
    }
    const used = process.cpuUsage(cpu);
    const written = Number((await redis.info('stats'))['total_net_input_bytes']) - before;
    // Measured: 740 ms of both sides together, and 1.5 MB.
    expect((used.user + used.system) / 1_000).toBeLessThan(4_000);
    expect(written).toBeLessThan(15_000_000);
  });
});

describe('a client that has never received a packet', () => {
  test('is recovered by its private session id alone, with all that was sent to it since it connected', async () => {
    const redis = await RedisServer.start();
    const [a, b] = [await startNode({ port: redis.port }), await startNode({ port: redis.port })];
    a.io.emit('msg', 'before it connected');
    const visitor = await visit(a, { rooms: ['red'] });
    await visitor.socket.emitWithAck('join', 'late');
    await visitor.stayAway();
    b.io.to('late').emit('msg', 'while it was away');
    await until(() => b.counters.read === 2, { what: 'all to be read' });

    const restored = await b.io.of('/').adapter.restoreSession(visitor.pid!, undefined as never);
    expect(restored).toMatchObject({ sid: visitor.sid, rooms: expect.arrayContaining(['red', 'late']) });
  });

  test('is recovered so even if all that is of before it connected was trimmed', async () => {
    const redis = await RedisServer.start();
    const adapter = { maxLen: 10, replayMaxEntries: 10 };
    const [a, b] = [await startNode({ port: redis.port, adapter }), await startNode({ port: redis.port, adapter })];
    a.io.emit('msg', 'before it connected');
    const visitor = await visit(a, { rooms: ['red'] });
    for (let i = 0; i < 1_000; i++) {
      a.io.to(`nobody ${i}`).emit('msg', i);
    }
    await until(() => [a, b].every(({ counters }) => counters.read === 1_001), { what: 'all to be read' });
    await visitor.stayAway();
    expect(await b.io.of('/').adapter.restoreSession(visitor.pid!, undefined as never)).toMatchObject({
      sid: visitor.sid,
    });
  });
});

describe('maxDisconnectionDuration', () => {
  test('that is Infinity keeps sessions as long as Redis can', async () => {
    const redis = await RedisServer.start();
    const recovery = { maxDisconnectionDuration: Infinity, skipMiddlewares: false };
    const [a, b] = [await startNode({ port: redis.port, recovery }), await startNode({ port: redis.port, recovery })];
    const visitor = await visit(a);
    a.io.emit('msg', 0);
    await receives(visitor, 1);
    await visitor.stayAway();
    const key = `sio:session:${visitor.pid}`;
    await until(async () => Number(await redis.command('PTTL', key)) > 1e15, { what: 'the session' });
    visitor.comeBack(b.url);
    await visits(visitor, 2);
    expect(visitor.refused).toBe(0);
    expect([a, b].flatMap((node) => node.eventsOf('session-refused'))).toEqual([]);
  });
});

describe('a socket whose data cannot all be kept', () => {
  test('is recovered with what can be, which is reported once by its name; the others are not concerned', async () => {
    const redis = await RedisServer.start();
    const adapter = { heartbeatInterval: 50, heartbeatTimeout: 500 };
    const [a, b] = [await startNode({ port: redis.port, adapter }), await startNode({ port: redis.port, adapter })];
    const [odd, usual] = [await visit(a), await visit(a)];
    a.io.emit('msg', 0);
    await Promise.all([receives(odd, 1), receives(usual, 1)]);
    const circle: { self?: unknown } = {};
    circle.self = circle;
    socketsOf(a, odd)[0]!.data = { circle, name: 'Eve', big: 1n };
    socketsOf(a, usual)[0]!.data = { name: 'Ada' };
    await until(() => a.eventsOf('data-left-out').length > 0, { what: 'the report' });
    socketsOf(a, odd)[0]!.data = { circle, name: 'Eve', big: 2n }; // a change is noticed all the same
    const live = async (): Promise<string> => {
      const record = await redis.command('HGET', `sio:session:live:${a.node.id}`, odd.pid!);
      return JSON.stringify(decodeSession(record, odd.pid!)?.data, (_key, value: unknown) =>
        typeof value === 'bigint' ? String(value) : value,
      );
    };
    await until(async () => (await live()).includes('"2"'), { what: 'the change to be written' });
    await Promise.all([odd.stayAway(), usual.stayAway()]);
    a.io.emit('msg', 1);
    odd.comeBack(b.url);
    usual.comeBack(b.url);
    await Promise.all([receives(odd, 2), receives(usual, 2)]);
    expect([odd.refused, usual.refused]).toEqual([0, 0]);
    expect(socketsOf(b, odd)[0]!.data).toEqual({ circle: {}, name: 'Eve', big: 2n });
    expect(socketsOf(b, usual)[0]!.data).toEqual({ name: 'Ada' });
    const reported = a.eventsOf('data-left-out').map(({ namespace, path }) => ({ namespace, path }));
    expect(reported).toEqual([{ namespace: '/', path: 'data.circle.self' }]);
    expect(a.node.status().reasons).toEqual([]);
  });
});

describe('a socket whose data are changed when it is disconnected', () => {
  test('is recovered with the changes that listeners of disconnecting and disconnect have made', async () => {
    const redis = await RedisServer.start();
    const [a, b] = [await startNode({ port: redis.port }), await startNode({ port: redis.port })];
    a.io.on('connection', (socket) => {
      const data = socket.data as Record<string, unknown>;
      socket.on('disconnecting', (reason) => (data['disconnecting'] = reason));
      socket.on('disconnect', async (reason) => {
        data['disconnect'] = reason;
        await Promise.resolve();
        data['afterwards'] = true;
      });
    });
    const visitor = await visit(a);
    a.io.emit('msg', 0);
    await receives(visitor, 1);
    await visitor.stayAway('close');
    visitor.comeBack(b.url);
    await visits(visitor, 2);
    expect(socketsOf(b, visitor)[0]!.data).toEqual({
      ...{ disconnecting: 'transport close', disconnect: 'transport close', afterwards: true },
    });
  });
});

describe('an offset that is not in the log', () => {
  test.each([
    ['of another history', (id: string) => `${BigInt(id.split('-')[0]!) - 5n}-0`],
    ['that was never reached', (id: string) => `${BigInt(id.split('-')[0]!) + 100_000n}-0`],
  ])('%s is refused', async (_what, another) => {
    const redis = await RedisServer.start();
    const [a, b] = [await startNode({ port: redis.port }), await startNode({ port: redis.port })];
    a.io.emit('msg', 'first');
    await until(() => b.counters.read === 1, { what: 'the first entry' });
    await new Promise((resolve) => setTimeout(resolve, 20));
    const visitor = await visit(a);
    a.io.emit('msg', 0);
    await receives(visitor, 1);
    await until(() => b.counters.read === 2, { what: 'the entry to be read' });
    await visitor.stayAway();
    visitor.offset = another(b.node.status().streams[0]!.position!);
    visitor.comeBack(b.url);
    await visits(visitor, 2);
    expect(visitor.refused).toBe(1);
    expect(b.node.status().refusedRecoveries.offset).toBe(1);
  });
});
