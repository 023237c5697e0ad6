import { describe, expect, test } from '@jest/globals';
import { type Member, numbers, RedisServer, TcpProxy, until } from '../kit/index.js';
import { socketsOf, startNode } from './recovery-node.js';
import { receives, visit, type Visitor, visits } from './visitor.js';

/** A client whose packets, both ways, disappear from now on, though its connection stays. */
async function halfOpen(network: TcpProxy, visitor: Visitor): Promise<void> {
  network.blackhole();
  const before = visitor.socket.io.engine;
  await visitor.stayAway('close'); // what it says does not arrive either
  expect(before.readyState).not.toBe('open');
}

describe('a client whose node has not noticed that its connection is gone', () => {
  const events: string[] = [];

  async function setUp(): Promise<{ redis: RedisServer; a: Member; b: Member; network: TcpProxy; visitor: Visitor }> {
    const redis = await RedisServer.start();
    const a = await startNode({ port: redis.port });
    const b = await startNode({ port: redis.port });
    events.length = 0;
    for (const [name, node] of Object.entries({ a, b })) {
      node.io.on('connection', (socket) => {
        events.push(`${name} connection`);
        socket.on('disconnecting', (reason) => events.push(`${name} disconnecting: ${reason}`));
        socket.on('disconnect', (reason) => events.push(`${name} disconnect: ${reason}`));
      });
    }
    const network = await TcpProxy.start(Number(new URL(a.url).port));
    const visitor = await visit({ url: `http://127.0.0.1:${network.port}` }, { rooms: ['red'] });
    a.io.emit('msg', 0);
    await receives(visitor, 1);
    return { redis, a, b, network, visitor };
  }

  test('recovers on another node at once; its old socket is closed, and writes and receives nothing more', async () => {
    const { redis, a, b, network, visitor } = await setUp();
    await halfOpen(network, visitor);
    a.io.to('red').emit('msg', 1);
    const [old] = socketsOf(a, visitor);
    old!.data = { as: 'it is now' };
    void old!.join('late');
    const outgoing: unknown[] = [];
    old!.onAnyOutgoing((_event, value) => outgoing.push(value));
    await until(() => b.counters.read >= 2, { what: 'the message to be read' });

    const since = performance.now();
    visitor.comeBack(b.url);
    await visits(visitor, 2);
    expect(performance.now() - since).toBeLessThan(1_000);
    await until(() => socketsOf(a, visitor).length === 0, { what: 'the old socket to be closed' });
    outgoing.length = 0;
    a.io.to('late').emit('msg', 2);

    await receives(visitor, 3);
    expect(visitor.values).toEqual(numbers(3));
    expect(visitor.refused).toBe(0);
    expect(socketsOf(b, visitor)[0]!.data).toEqual({ as: 'it is now' });
    expect(outgoing).toEqual([]);
    expect(events).toEqual([
      'a connection',
      'a disconnecting: transport close',
      'a disconnect: transport close',
      'b connection',
    ]);
    await until(() => a.io.engine.clientsCount === 0, { what: 'the old connection to be closed' });
    expect(await redis.command('KEYS', `sio:session:${visitor.pid}`)).toEqual([]);
    expect(await redis.command('HEXISTS', `sio:session:live:${a.node.id}`, visitor.pid!)).toBe(0);
    expect(events).toHaveLength(4);
  });

  test('recovers in a namespace that is deleted with its last socket', async () => {
    const redis = await RedisServer.start();
    const server = { cleanupEmptyChildNamespaces: true };
    const [a, b] = [await startNode({ port: redis.port, server }), await startNode({ port: redis.port, server })];
    for (const { io } of [a, b]) io.of(/^\/room-\d+$/);
    const network = await TcpProxy.start(Number(new URL(a.url).port));
    const visitor = await visit({ url: `http://127.0.0.1:${network.port}` }, { namespace: '/room-1' });
    a.io.of('/room-1').emit('msg', 0);
    await receives(visitor, 1);
    await halfOpen(network, visitor);
    a.io.of('/room-1').emit('msg', 1);

    visitor.comeBack(a.url);
    await visits(visitor, 2);
    a.io.of('/room-1').emit('msg', 2);
    await receives(visitor, 3);
    b.io.of('/room-1').emit('msg', 3);
    await receives(visitor, 4);
    expect([visitor.values, visitor.refused]).toEqual([numbers(4), 0]);
    expect(await b.io.of('/room-1').fetchSockets()).toHaveLength(1);
    visitor.close();
    await until(() => !a.io._nsps.has('/room-1'), { what: 'the namespace to be deleted' });
  });

  test('recovers on the same node, and its old socket is closed', async () => {
    const { a, network, visitor } = await setUp();
    await halfOpen(network, visitor);
    a.io.to('red').emit('msg', 1);
    const [old] = socketsOf(a, visitor);
    void old!.join('late');
    await until(() => a.counters.read === 2, { what: 'the message to be read' });

    visitor.comeBack(a.url);
    await visits(visitor, 2);
    a.io.to('late').emit('msg', 2);

    await receives(visitor, 3);
    expect(visitor.values).toEqual(numbers(3));
    expect(visitor.refused).toBe(0);
    expect(socketsOf(a, visitor)).toHaveLength(1);
    expect(socketsOf(a, visitor)[0]).not.toBe(old);
    expect(old!.connected).toBe(false);
    expect(events).toEqual([
      'a connection',
      'a disconnecting: transport close',
      'a disconnect: transport close',
      'a connection',
    ]);
  });

  test('recovers on the same node without checkpoints too', async () => {
    const redis = await RedisServer.start();
    const a = await startNode({ port: redis.port, adapter: { sessionCheckpoints: false } });
    const network = await TcpProxy.start(Number(new URL(a.url).port));
    const visitor = await visit({ url: `http://127.0.0.1:${network.port}` });
    a.io.emit('msg', 0);
    await receives(visitor, 1);
    await halfOpen(network, visitor);
    a.io.emit('msg', 1);

    visitor.comeBack(a.url);

    await receives(visitor, 2);
    expect(visitor.values).toEqual(numbers(2));
    expect(visitor.refused).toBe(0);
  });

  test('recovers although that node is frozen, which writes nothing of it when it thaws', async () => {
    const redis = await RedisServer.start();
    const proxy = await TcpProxy.start(redis.port);
    const a = await startNode({ port: proxy.port });
    const b = await startNode({ port: redis.port });
    const network = await TcpProxy.start(Number(new URL(a.url).port));
    const visitor = await visit({ url: `http://127.0.0.1:${network.port}` }, { rooms: ['red'] });
    b.io.emit('msg', 0);
    await receives(visitor, 1);
    const live = `sio:session:live:${a.node.id}`;
    await until(async () => (await redis.command('HEXISTS', live, visitor.pid!)) === 1, { what: 'the checkpoint' });
    await halfOpen(network, visitor);
    proxy.blackhole(); // it hears nothing from Redis, and is not heard
    b.io.to('red').emit('msg', 1);

    visitor.comeBack(b.url);
    await visits(visitor, 2);
    proxy.heal();
    await until(() => socketsOf(a, visitor).length === 0, { what: 'the old socket to be closed' });
    b.io.to('red').emit('msg', 2);

    await receives(visitor, 3);
    expect(visitor.values).toEqual(numbers(3));
    expect(visitor.refused).toBe(0);
    await until(async () => (await redis.command('HEXISTS', live, visitor.pid!)) === 0, {
      what: 'nothing to be left of it',
      timeout: 15_000, // what it wrote before it thawed is removed after 10 s, if that came late
    });
    expect(await redis.command('KEYS', `sio:session:${visitor.pid}`)).toEqual([]);
  });

  test('ten times in a row, from node to node, receives each message once', async () => {
    const redis = await RedisServer.start();
    const nodes = [await startNode({ port: redis.port }), await startNode({ port: redis.port })];
    const networks = await Promise.all(nodes.map(({ url }) => TcpProxy.start(Number(new URL(url).port))));
    const urls = networks.map(({ port }) => `http://127.0.0.1:${port}`);
    const visitor = await visit({ url: urls[0]! });
    let sent = 0;
    nodes[0]!.io.emit('msg', sent++);
    await receives(visitor, 1);

    for (let round = 0; round < 10; round++) {
      await halfOpen(networks[round % 2]!, visitor);
      nodes[0]!.io.emit('msg', sent++);
      nodes[1]!.io.to(visitor.sid).emit('msg', sent++);
      networks[(round + 1) % 2]!.heal();
      visitor.comeBack(urls[(round + 1) % 2]);
      await visits(visitor, round + 2);
    }

    await receives(visitor, sent);
    const byNumber = (one: number, other: number): number => one - other;
    const fromNode = (node: number): number[] => visitor.values.filter((value) => value > 0 && value % 2 !== node);
    expect(visitor.values.toSorted(byNumber)).toEqual(numbers(sent)); // two nodes that emit at once have no order
    expect(fromNode(0)).toEqual(fromNode(0).toSorted(byNumber));
    expect(fromNode(1)).toEqual(fromNode(1).toSorted(byNumber));
    expect(visitor.refused).toBe(0);
    expect(nodes.flatMap((node) => socketsOf(node, visitor))).toHaveLength(1);
  });
});
