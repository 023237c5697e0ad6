import { describe, expect, test } from '@jest/globals';
import { type Member, numbers, RedisServer, TcpProxy, until } from '../kit/index.js';
import { startNode } from './recovery-node.js';
import { startRecoveryProcess, type RecoveryProcessOptions } from './recovery-process.js';
import { receives, visit, visits } from './visitor.js';

const MAX_LEN = 200;
const ADAPTER = { maxLen: MAX_LEN, replayMaxEntries: 100, heartbeatInterval: 200, heartbeatTimeout: 600 };

/** Appends entries for others until all that there was is trimmed. */
async function trimAll(redis: RedisServer, nodes: Member[]): Promise<void> {
  const before = nodes.map(({ counters }) => counters.read);
  const [last] = ((await redis.command('XREVRANGE', 'socket.io', '+', '-', 'COUNT', '1')) as [string][])[0]!;
  for (let i = 0; i < 5 * MAX_LEN; i++) {
    nodes[0]!.io.to(`nobody ${i}`).emit('msg', 'not for it');
  }
  await until(() => nodes.every(({ counters }, i) => counters.read >= before[i]! + 5 * MAX_LEN), {
    what: 'all to be read',
  });
  expect(await redis.command('XRANGE', 'socket.io', last, last)).toEqual([]);
}

describe('a client that was quiet until its last offset was trimmed', () => {
  test.each(['cleanly', 'half-open'])('recovers if nothing for it is missing, disconnected %s', async (how) => {
    const redis = await RedisServer.start();
    const [a, b] = [
      await startNode({ port: redis.port, adapter: ADAPTER }),
      await startNode({ port: redis.port, adapter: ADAPTER }),
    ];
    const network = await TcpProxy.start(Number(new URL(a.url).port));
    const visitor = await visit({ url: `http://127.0.0.1:${network.port}` }, { rooms: ['red'] });
    a.io.emit('msg', 0);
    await receives(visitor, 1);
    await trimAll(redis, [a, b]);
    if (how === 'half-open') {
      network.blackhole();
    }
    await visitor.stayAway('close');
    await trimAll(redis, [a, b]);
    expect(a.io.of('/').sockets.size).toBe(how === 'half-open' ? 1 : 0);
    a.io.to('red').emit('msg', 1);
    await until(() => b.counters.read === a.counters.read, { what: 'both to have read all' });

    visitor.comeBack(b.url);
    await visits(visitor, 2);

    await receives(visitor, 2);
    expect(visitor.values).toEqual(numbers(2));
    expect(visitor.refused).toBe(0);
  });

  test('recovers on a node that has just started, after a clean disconnect', async () => {
    const redis = await RedisServer.start();
    const a = await startNode({ port: redis.port, adapter: ADAPTER });
    const visitor = await visit(a, { rooms: ['red'] });
    a.io.emit('msg', 0);
    await receives(visitor, 1);
    await trimAll(redis, [a]);
    await visitor.stayAway();
    await until(() => a.io.of('/').sockets.size === 0, { what: 'its node to notice' });
    a.io.to('red').emit('msg', 1);
    a.io.to('blue').emit('msg', 'not for it');
    const b = await startNode({ port: redis.port, adapter: ADAPTER });

    visitor.comeBack(b.url);
    await visits(visitor, 2);
    b.io.to('red').emit('msg', 2);

    await receives(visitor, 3);
    expect(visitor.values).toEqual(numbers(3));
    expect(visitor.refused).toBe(0);
  });

  test('recovers again and again, each time on a node that has just started', async () => {
    const redis = await RedisServer.start();
    let node = await startNode({ port: redis.port, adapter: ADAPTER });
    const visitor = await visit(node, { rooms: ['red'] });
    node.io.emit('msg', 0);
    await receives(visitor, 1);
    for (let round = 0; round < 3; round++) {
      await trimAll(redis, [node]);
      const next = await startNode({ port: redis.port, adapter: ADAPTER });
      visitor.goTo(next.url);
      visitor.cut();
      await visits(visitor, round + 2);
      node = next;
    }
    node.io.to('red').emit('msg', 1);
    await receives(visitor, 2);
    expect(visitor.values).toEqual([0, 1]);
    expect(visitor.refused).toBe(0);
  });

  test('recovers after a crash of its node if nothing for it is missing', async () => {
    const redis = await RedisServer.start();
    const options: RecoveryProcessOptions = { kind: 'ours', port: redis.port, adapter: ADAPTER };
    const a = await startRecoveryProcess(options);
    const b = await startNode({ port: redis.port, adapter: ADAPTER });
    const visitor = await visit({ url: await a.call<string>('url') }, { rooms: ['red'] });
    b.io.to('red').emit('msg', 0);
    await receives(visitor, 1);
    await trimAll(redis, [b]);
    visitor.goTo(b.url);
    await a.kill();
    await visits(visitor, 2);
    b.io.to('red').emit('msg', 1);

    await receives(visitor, 2);
    expect(visitor.values).toEqual([0, 1]);
    expect(visitor.refused).toBe(0);
  });

  test.each([
    ['to all', (io: Member['io']) => io.emit('msg', 'gone')],
    ['to its room', (io: Member['io']) => io.to(['blue', 'red']).emit('msg', 'gone')],
    ['to it', (io: Member['io'], sid: string) => io.to(sid).emit('msg', 'gone')],
  ])('does not recover if a message %s is gone', async (_what, emit) => {
    const redis = await RedisServer.start();
    const [a, b] = [
      await startNode({ port: redis.port, adapter: ADAPTER }),
      await startNode({ port: redis.port, adapter: ADAPTER }),
    ];
    const visitor = await visit(a, { rooms: ['red'] });
    a.io.emit('msg', 0);
    await receives(visitor, 1);
    await visitor.stayAway();
    emit(a.io, visitor.sid);
    await trimAll(redis, [a, b]);

    visitor.comeBack(b.url);
    await visits(visitor, 2);

    expect(visitor.socket.recovered).toBe(false);
    expect(visitor.values).toEqual([0]);
    expect(b.node.status().counters).toMatchObject({ recoveries: 0, refusedRecoveries: 1 });
  });

  test('does not recover if a message is gone that was sent while a node that knows of it did not run', async () => {
    const redis = await RedisServer.start();
    const a = await startNode({ port: redis.port, adapter: ADAPTER });
    const visitor = await visit(a);
    a.io.emit('msg', 0);
    await receives(visitor, 1);
    await visitor.stayAway();
    a.io.emit('msg', 'gone');
    await trimAll(redis, [a]);
    const b = await startNode({ port: redis.port, adapter: ADAPTER });

    visitor.comeBack(b.url);
    await visits(visitor, 2);

    expect(visitor.socket.recovered).toBe(false);
  });
});
