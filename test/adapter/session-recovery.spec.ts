import { beforeEach, describe, expect, test } from '@jest/globals';
import { decodeCut } from '../../lib/wire/cut.js';
import { type Member, RedisServer, TcpProxy, until } from '../kit/index.js';
import { Gate, haveReadAll, socketsOf, startNode } from '../recovery/recovery-node.js';
import { receives, visit, Visitor } from '../recovery/visitor.js';

describe('SessionRecovery', () => {
  let redis: RedisServer;
  beforeEach(async () => {
    redis = await RedisServer.start();
  });

  /** Why a node has refused its clients, in the order of the events. */
  const refusals = (node: Member): string[] => node.eventsOf('recovery-refused').map(({ reason }) => reason);

  test('gives a client on another node what it missed, in order, with its rooms and data', async () => {
    const [a, b] = [await startNode({ port: redis.port }), await startNode({ port: redis.port })];
    const visitor = await visit(a, { rooms: ['red'] });
    a.io.emit('msg', 0);
    await receives(visitor, 1);
    socketsOf(a, visitor)[0]!.data = { name: 'x' };
    await visitor.stayAway();
    a.io.to('red').emit('msg', 1);
    a.io.to('blue').emit('msg', 'for others');
    b.io.emit('msg', 2);
    visitor.comeBack(b.url);
    await receives(visitor, 3);
    expect(visitor.visits[1]).toMatchObject({ recovered: true, sid: visitor.visits[0]!.sid });
    const values = visitor.values;
    expect(values[0]).toBe(0);
    expect(values.slice(1).sort()).toEqual([1, 2]); // two nodes sent them: the log has the order
    const [socket] = socketsOf(b, visitor);
    expect([[...socket!.rooms].sort(), socket!.data]).toEqual([[visitor.sid, 'red'].sort(), { name: 'x' }]);
    expect([b.node.status().counters.recoveries, refusals(b)]).toEqual([1, []]);
  });

  test('tells why a client is not recovered: its session is unknown, or its offset is none', async () => {
    const node = await startNode({ port: redis.port });
    const visitor = await visit(node, { rooms: ['red'] });
    node.io.emit('msg', 0);
    await receives(visitor, 1);
    const [pid, offset] = [visitor.pid!, visitor.offset];
    for (const [wrongPid, wrongOffset] of [
      ['never-heard-of', offset],
      ['no id: ä', offset],
      [pid, 'no offset'],
    ]) {
      await visitor.stayAway();
      [visitor.pid, visitor.offset] = [wrongPid, wrongOffset];
      visitor.comeBack();
      const { length } = visitor.visits;
      await until(() => visitor.visits.length > length && visitor.isConnected, { what: 'the client to be back' });
    }
    expect(visitor.recoveries).toBe(0);
    expect(refusals(node)).toEqual(['unknown', 'unknown', 'offset']);
    expect(node.node.status().refusedRecoveries).toMatchObject({ unknown: 2, offset: 1, trimmed: 0 });
    expect(node.node.status().counters.refusedRecoveries).toBe(3);
  });

  test('closes the earlier connection of a client that has come to another node, and writes nothing of it', async () => {
    const [a, b] = [await startNode({ port: redis.port }), await startNode({ port: redis.port })];
    const visitor = await visit(a, { rooms: ['red'] });
    a.io.emit('msg', 0);
    await receives(visitor, 1);
    const twin = new Visitor(b.url, { autoConnect: false });
    [twin.pid, twin.offset] = [visitor.pid, visitor.offset];
    visitor.socket.io.reconnection(false);
    twin.socket.connect();
    await until(() => twin.isConnected && !visitor.isConnected, { what: 'the client to be on the other node only' });
    expect(twin.visits[0]).toMatchObject({ recovered: true, sid: visitor.visits[0]!.sid });
    a.io.emit('msg', 1);
    await receives(twin, 1);
    expect([socketsOf(a, twin).length, socketsOf(b, twin).length]).toEqual([0, 1]);
    await twin.stayAway();
    twin.comeBack(a.url); // its session is that of its second connection
    await until(() => twin.visits.length === 2, { what: 'the client to be back' });
    expect(twin.visits[1]).toMatchObject({ recovered: true });
  });

  test('names in the offset of a client whose former node has not answered the node that has it now', async () => {
    const proxy = await TcpProxy.start(redis.port);
    const [a, b] = [await startNode({ port: proxy.port }), await startNode({ port: redis.port })];
    const visitor = await visit(a);
    a.io.emit('msg', 0);
    await receives(visitor, 1);
    await haveReadAll(redis, [a, b]);
    proxy.refuse();
    proxy.cut();
    await until(() => a.node.status().state === 'degraded', { what: 'the node to be cut off' });
    await visitor.stayAway();
    visitor.comeBack(b.url);
    await until(() => decodeCut(visitor.offset)?.ahead.some(({ node }) => node === b.node.id), {
      what: 'an offset that names the node',
    });
    expect(visitor.values).toEqual([0]);
  });

  test('gives a client back that is gone again while a middleware delays it: it is recovered later', async () => {
    const gate = new Gate();
    const [a, b] = [
      await startNode({ port: redis.port }),
      await startNode({ port: redis.port, middleware: () => gate.pass() }),
    ];
    const visitor = await visit(a, { rooms: ['red'] });
    a.io.emit('msg', 0);
    await receives(visitor, 1);
    await visitor.stayAway();
    visitor.comeBack(b.url);
    await until(() => gate.arrivals === 1, { what: 'the middleware to be reached' });
    a.io.emit('msg', 1);
    visitor.socket.io.reconnection(false);
    visitor.cut();
    visitor.socket.disconnect();
    const twin = new Visitor(a.url, { autoConnect: false });
    [twin.pid, twin.offset] = [visitor.pid, visitor.offset];
    twin.socket.connect();
    await receives(twin, 1);
    expect([twin.recoveries, twin.values]).toEqual([1, [1]]);
    gate.release();
  });

  test('recovers its own clients while Redis is away', async () => {
    const proxy = await TcpProxy.start(redis.port);
    const node = await startNode({ port: proxy.port });
    const visitor = await visit(node, { rooms: ['red'] });
    node.io.emit('msg', 0);
    await receives(visitor, 1);
    proxy.refuse();
    proxy.cut();
    await until(() => node.node.status().state === 'degraded', { what: 'the loss' });
    await visitor.stayAway();
    node.io.to('red').emit('msg', 1);
    visitor.comeBack();
    await receives(visitor, 2);
    expect([visitor.recoveries, visitor.values, refusals(node)]).toEqual([1, [0, 1], []]);
  });
});
