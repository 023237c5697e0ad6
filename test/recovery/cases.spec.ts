import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import { decodeCut } from '../../lib/wire/cut.js';
import { numbers, RedisServer, TcpProxy, until } from '../kit/index.js';
import { checkpointed, Gate, socketsOf, startNode } from './recovery-node.js';
import { receives, visit, Visitor, visits } from './visitor.js';

describe('a client that comes back', () => {
  test.each(['local-first', 'log'] as const)(
    'is given in order what its node sends to it until it arrives, and then (ordering %s)',
    async (ordering) => {
      const redis = await RedisServer.start();
      const gate = new Gate();
      const adapter = { ordering };
      const a = await startNode({ port: redis.port, adapter });
      const b = await startNode({ port: redis.port, adapter, middleware: () => gate.pass() });
      const visitor = await visit(a, { rooms: ['red'] });
      a.io.emit('msg', 0);
      await receives(visitor, 1);
      b.io.on('connection', (socket) => {
        socket.emit('msg', 'on arrival, 1');
        b.io.to(visitor.sid).emit('msg', 'on arrival, 2');
        socket.disconnect(true);
      });

      visitor.goTo(b.url);
      visitor.cut();
      b.io.to(visitor.sid).emit('msg', 'on its way, 1');
      await until(() => gate.arrivals === 1, { what: 'the middleware to be reached' });
      b.io.to(visitor.sid).emit('msg', 'on its way, 2');
      gate.release(); // before anything can be read back

      await until(() => visitor.visits[1]?.end, { what: 'the client to be disconnected' });
      expect(visitor.visits[1]).toMatchObject({ recovered: true, end: { reason: 'io server disconnect' } });
      expect(visitor.values).toEqual([0, 'on its way, 1', 'on its way, 2', 'on arrival, 1', 'on arrival, 2']);
    },
  );

  test.each(['local-first', 'log'] as const)(
    'has its connect event, then what it missed, then what its node sends (ordering %s)',
    async (ordering) => {
      const redis = await RedisServer.start();
      const adapter = { ordering };
      const a = await startNode({ port: redis.port, adapter });
      const b = await startNode({ port: redis.port, adapter });
      b.io.on('connection', (socket) => socket.emit('msg', 'on connection'));
      const visitor = await visit(a, { rooms: ['red'] });
      a.io.emit('msg', 0);
      await receives(visitor, 1);
      await visitor.stayAway();
      a.io.to('red').emit('msg', 1);
      a.io.emit('msg', 2);
      await until(() => b.counters.read === 3, { what: 'the node to have read all' });
      const order: unknown[] = [];
      visitor.socket.on('connect', () => order.push('connect'));
      visitor.socket.on('msg', (value: unknown) => order.push(value));

      visitor.comeBack(b.url);
      await receives(visitor, 4);
      expect(order).toEqual(['connect', 1, 2, 'on connection']);
      expect(visitor.refused).toBe(0);
    },
  );

  test('is given what is sent between its recovery and its place in the namespace', async () => {
    const redis = await RedisServer.start();
    const gate = new Gate();
    const a = await startNode({ port: redis.port });
    const b = await startNode({ port: redis.port, middleware: () => gate.pass() });
    const visitor = await visit(a, { rooms: ['red'] });
    a.io.emit('msg', 0);
    await receives(visitor, 1);

    visitor.goTo(b.url);
    visitor.cut();
    a.io.emit('msg', 1);
    await until(() => gate.arrivals === 1, { what: 'the middleware to be reached' });
    a.io.to('red').emit('msg', 2);
    a.io.to('blue').emit('msg', 'not for it');
    b.io.except('red').emit('msg', 'not for it');
    b.io.to(visitor.sid).emit('msg', 3);
    const { io, node } = b;
    io.emit('msg', 4);
    await until(() => node.status().streams[0]!.counters.read >= 7, { what: 'the node to have read all' });
    gate.release();
    await visits(visitor, 2);
    io.emit('msg', 5);

    await receives(visitor, 6);
    // What its node sends it is given at once, and may come before what another node sent earlier.
    expect((visitor.values as number[]).filter((value) => value < 3)).toEqual([0, 1, 2]);
    expect((visitor.values as number[]).filter((value) => value >= 3)).toEqual([3, 4, 5]);
    expect(visitor.visits[1]!.recovered).toBe(true);
  });

  test('is served by a node that was behind it', async () => {
    const redis = await RedisServer.start();
    const proxy = await TcpProxy.start(redis.port);
    const a = await startNode({ port: redis.port });
    const b = await startNode({ port: redis.port, readerPort: proxy.port });
    const c = await startNode({ port: redis.port });
    const visitor = await visit(a);
    proxy.blackhole('toClient');
    // Of another node, so that the client's offset is a position, which its new node has to come to.
    numbers(50).forEach((i) => c.io.emit('msg', i));
    await receives(visitor, 50);

    visitor.goTo(b.url);
    visitor.cut();
    c.io.emit('msg', 50);
    await until(() => b.io.engine.clientsCount === 1, { what: 'the client to be at the node that is behind' });
    expect(visitor.isConnected).toBe(false);
    proxy.heal();

    await visits(visitor, 2);
    await receives(visitor, 51);
    expect(visitor.values).toEqual(numbers(51));
    expect(visitor.refused).toBe(0);
  });

  test.each(['local-first', 'log'] as const)(
    'is served by a node that was behind it, after an outage in between (ordering %s)',
    async (ordering) => {
      const redis = await RedisServer.start({ appendonly: true });
      const proxy = await TcpProxy.start(redis.port);
      const node = { port: redis.port, adapter: { ordering, commandTimeout: 10_000 } };
      const [a, b, c] = [
        await startNode(node),
        await startNode({ ...node, readerPort: proxy.port }),
        await startNode(node),
      ];
      const visitor = await visit(a, { rooms: ['red'] });
      proxy.blackhole('toClient');
      numbers(50).forEach((i) => (i % 2 ? c.io : c.io.to('red')).emit('msg', i));
      await receives(visitor, 50);

      visitor.goTo(b.url);
      visitor.cut();
      c.io.to('red').emit('msg', 50);
      await until(() => b.io.engine.clientsCount === 1, { what: 'the client to be at the node that is behind' });
      await until(() => c.node.status().streams[0]!.outbox.entries === 0, { what: 'all to be in the stream' });
      await redis.kill();
      await until(() => [a, b, c].every(({ node }) => node.status().state === 'degraded'), { what: 'the loss' });
      c.io.emit('msg', 51);
      expect(visitor.isConnected).toBe(false);
      await redis.restart();
      proxy.heal();

      await visits(visitor, 2);
      await receives(visitor, 52);
      expect(visitor.values).toEqual(numbers(52));
      expect(visitor.refused).toBe(0);
    },
  );

  test('is served by a node that started after all that it missed', async () => {
    const redis = await RedisServer.start();
    const a = await startNode({ port: redis.port });
    const visitor = await visit(a, { rooms: ['red'] });
    a.io.emit('msg', 0);
    await receives(visitor, 1);
    await visitor.stayAway();
    for (let i = 1; i < 3_000; i++) {
      (i % 2 ? a.io.to('red') : a.io.except('blue')).emit('msg', i);
      a.io.to('blue').emit('msg', 'not for it');
    }
    await until(() => a.counters.read >= 5_999, { what: 'all to be in the stream' });
    const b = await startNode({ port: redis.port });

    visitor.comeBack(b.url);

    await receives(visitor, 3_000);
    expect(visitor.values).toEqual(numbers(3_000));
    expect(visitor.refused).toBe(0);
  });

  test('is given what is sent while older messages are still being fetched from Redis', async () => {
    const redis = await RedisServer.start();
    const proxy = await TcpProxy.start(redis.port);
    const a = await startNode({ port: redis.port });
    const visitor = await visit(a);
    a.io.emit('msg', 0);
    await receives(visitor, 1);
    await visitor.stayAway();
    let sent = 1;
    while (sent < 2_000) {
      a.io.emit('msg', sent++);
    }
    await until(() => a.counters.read === sent, { what: 'all to be in the stream' });
    const b = await startNode({ port: proxy.port, readerPort: redis.port, adapter: { commandTimeout: 10_000 } });
    proxy.latency(100); // on its commands, not on its reader
    const readBefore = b.counters.read;

    visitor.comeBack(b.url);
    await until(
      () => {
        a.io.emit('msg', sent++);
        return visitor.isConnected;
      },
      { what: 'the client to be back', interval: 5 },
    );

    await receives(visitor, sent);
    expect(b.counters.read - readBefore).toBeGreaterThan(20);
    expect(visitor.values).toEqual(numbers(sent));
    expect(visitor.refused).toBe(0);
  });

  test.each(['the same node', 'another node'])(
    'to %s before its session is written is in the rooms that it had joined just before',
    async (where) => {
      const redis = await RedisServer.start();
      const proxy = await TcpProxy.start(redis.port);
      const slow = await startNode({ port: proxy.port, readerPort: redis.port });
      const other = await startNode({ port: redis.port });
      const visitor = await visit(slow, { rooms: ['red'] });
      other.io.emit('msg', 0);
      await receives(visitor, 1);
      await checkpointed(redis, slow, visitor);
      proxy.latency(150);

      await visitor.socket.emitWithAck('join', 'late');
      await visitor.socket.emitWithAck('leave', 'red');
      if (where === 'another node') {
        visitor.goTo(other.url);
      }
      visitor.cut();
      other.io.to('late').emit('msg', 1);
      other.io.to('red').emit('msg', 'not for it');

      await visits(visitor, 2);
      other.io.to('late').emit('msg', 2);
      other.io.to('red').emit('msg', 'not for it');
      other.io.emit('msg', 3);
      await receives(visitor, 4);
      expect(visitor.values).toEqual(numbers(4));
      expect(visitor.refused).toBe(0);
    },
  );

  test('while the connection of its node to Redis is lost is recovered when it is back', async () => {
    const redis = await RedisServer.start();
    const proxy = await TcpProxy.start(redis.port);
    const a = await startNode({ port: redis.port });
    const b = await startNode({ port: proxy.port, readerPort: redis.port, adapter: { commandTimeout: 10_000 } });
    const visitor = await visit(a);
    a.io.emit('msg', 0);
    await receives(visitor, 1);
    await visitor.stayAway();
    proxy.refuse();
    proxy.cut();
    await until(() => b.node.status().state === 'degraded', { what: 'the loss to be noticed' });

    visitor.comeBack(b.url);
    await until(() => b.io.engine.clientsCount === 1, { what: 'the client to be at the node' });
    a.io.emit('msg', 1);
    await until(() => b.counters.read === 2, { what: 'the message to be read' });
    expect(visitor.isConnected).toBe(false);
    await proxy.accept();

    await receives(visitor, 2);
    expect(visitor.values).toEqual(numbers(2));
    expect(visitor.refused).toBe(0);
  });

  test('while Redis stays away is let in as a new client after a while', async () => {
    const redis = await RedisServer.start();
    const proxy = await TcpProxy.start(redis.port);
    const a = await startNode({ port: redis.port });
    const b = await startNode({ port: proxy.port, adapter: { commandTimeout: 300 } });
    const visitor = await visit(a);
    a.io.emit('msg', 0);
    await receives(visitor, 1);
    await visitor.stayAway();
    proxy.refuse();
    proxy.cut();

    visitor.comeBack(b.url);
    await visits(visitor, 2);
    expect(visitor.socket.recovered).toBe(false);
  });

  test.each([
    ['GET', 'looks for its session'],
    ['DEL', 'takes its session'],
    ['XREVRANGE', 'reads what it missed'],
  ])('is recovered although the answer to %s is lost, when a node that has just started %s', async (command) => {
    const redis = await RedisServer.start();
    const proxy = await TcpProxy.start(redis.port);
    const a = await startNode({ port: redis.port });
    const visitor = await visit(a, { rooms: ['red'] });
    a.io.emit('msg', 0);
    await receives(visitor, 1);
    await visitor.stayAway();
    numbers(200).forEach((i) => a.io.to('red').emit('msg', i + 1));
    await until(() => a.counters.read === 201, { what: 'all to be in the stream' });
    const b = await startNode({ port: proxy.port, readerPort: redis.port });
    const lost = proxy.loseReplyTo(`\r\n${command}\r\n`);

    visitor.comeBack(b.url);
    await lost;

    await receives(visitor, 201);
    expect(visitor.values).toEqual(numbers(201));
    expect(visitor.refused).toBe(0);
    expect(socketsOf(b, visitor)[0]!.rooms).toEqual(new Set([visitor.sid, 'red']));
  });

  test.each([0, 5, 20])(
    'whose claim has lost its answer, and whom another node claims %i ms later, is kept',
    async (pause) => {
      const redis = await RedisServer.start();
      const proxy = await TcpProxy.start(redis.port);
      const [a, c] = [await startNode({ port: redis.port }), await startNode({ port: redis.port })];
      const b = await startNode({ port: proxy.port, readerPort: redis.port });
      for (let round = 0; round < 3; round++) {
        const visitor = await visit(a, { rooms: ['red'] });
        a.io.to(visitor.sid).emit('msg', 0);
        await receives(visitor, 1);
        await visitor.stayAway();
        a.io.to(visitor.sid).emit('msg', 1);

        const lost = proxy.loseReplyTo('\r\nHSETNX\r\n');
        const again: Visitor[] = [];
        for (const { url } of [b, c]) {
          const one = new Visitor(url, { autoConnect: false, reconnection: false });
          [one.pid, one.offset] = [visitor.pid, visitor.offset];
          one.socket.connect();
          again.push(one);
          await sleep(pause);
        }
        await lost;
        await until(() => again.every(({ visits }) => visits.length === 1), { what: 'both to be connected' });
        await until(() => [a, b, c].flatMap((node) => socketsOf(node, visitor)).length === 1, {
          what: 'one to be left',
        });
        a.io.to(visitor.sid).emit('msg', 2);
        await until(() => again.some(({ values }) => values.length === 2), { what: 'the one to receive' });
        const winner = again.find(({ values }) => values.length === 2)!;
        expect(winner.values).toEqual([1, 2]);

        await winner.stayAway();
        a.io.to('red').emit('msg', 3);
        winner.comeBack(a.url);
        await receives(winner, 3);
        expect([winner.refused, winner.values]).toEqual([0, [1, 2, 3]]);
        [visitor, ...again].forEach((one) => one.close());
      }
    },
  );

  test('to a node that is closing is recovered by another', async () => {
    const redis = await RedisServer.start();
    const proxy = await TcpProxy.start(redis.port);
    const a = await startNode({ port: redis.port });
    const b = await startNode({ port: proxy.port });
    const visitor = await visit(a, { rooms: ['red'] });
    a.io.emit('msg', 0);
    await receives(visitor, 1);
    await visitor.stayAway();
    a.io.to('red').emit('msg', 1);
    proxy.latency(200); // its end takes a while

    const closed = b.close();
    visitor.comeBack(b.url);
    await until(() => b.io.engine.clientsCount === 1, { what: 'the client to be at the node' });
    visitor.goTo(a.url);
    await closed;

    await visits(visitor, 2);
    await receives(visitor, 2);
    expect(visitor.values).toEqual(numbers(2));
    expect(visitor.refused).toBe(0);
  });

  test.each(['the same node', 'two nodes'])('twice at once, to %s, is recovered on one connection', async (where) => {
    const redis = await RedisServer.start();
    const a = await startNode({ port: redis.port });
    const b = await startNode({ port: redis.port });
    for (let round = 0; round < 10; round++) {
      const visitor = await visit(a);
      a.io.to(visitor.sid).emit('msg', 0);
      await receives(visitor, 1);
      await visitor.stayAway();
      a.io.to(visitor.sid).emit('msg', 1);

      const again = [a, where === 'two nodes' ? b : a].map(({ url }) => {
        const one = new Visitor(url, { autoConnect: false, reconnection: false });
        one.pid = visitor.pid;
        one.offset = visitor.offset;
        one.socket.connect();
        return one;
      });
      await until(() => again.every(({ visits }) => visits.length === 1), { what: 'both to be connected' });
      await until(() => [a, b].flatMap((node) => socketsOf(node, visitor)).length === 1, {
        what: 'one to be left',
      });
      a.io.to(visitor.sid).emit('msg', 2);

      await until(() => again.some(({ values }) => values.length === 2), { what: 'the one to receive' });
      const winner = again.find(({ values }) => values.length === 2)!;
      const loser = again.find((one) => one !== winner)!;
      expect(winner.values).toEqual([1, 2]);
      expect(loser.values.includes(2)).toBe(false);
      again.forEach((one) => one.close());
    }
  });

  test.each([true, false])('with skipMiddlewares %s', async (skipMiddlewares) => {
    const redis = await RedisServer.start();
    let middlewares = 0;
    const start = () =>
      startNode({
        port: redis.port,
        recovery: { maxDisconnectionDuration: 60_000, skipMiddlewares },
        middleware: () => (middlewares++, 10),
      });
    const [a, b] = [await start(), await start()];
    const visitor = await visit(a);
    a.io.emit('msg', 0);
    await receives(visitor, 1);

    visitor.goTo(b.url);
    visitor.cut();
    a.io.emit('msg', 1);
    await visits(visitor, 2);
    a.io.emit('msg', 2);

    await receives(visitor, 3);
    expect(visitor.values).toEqual(numbers(3));
    expect(middlewares).toBe(skipMiddlewares ? 1 : 2);
  });

  test('and is refused by a middleware receives nothing, and everything when it is let in', async () => {
    const redis = await RedisServer.start();
    const a = await startNode({ port: redis.port });
    const letsIn = { answer: false };
    const b = await startNode({
      port: redis.port,
      middleware: async () => {
        if (!letsIn.answer) {
          throw new Error('the token has expired');
        }
      },
    });
    const visitor = await visit(a);
    a.io.emit('msg', 0);
    await receives(visitor, 1);

    visitor.goTo(b.url);
    visitor.cut();
    a.io.emit('msg', 1);
    await until(() => visitor.errors.some(({ message }) => message === 'the token has expired'), {
      what: 'the client to be refused',
    });
    a.io.emit('msg', 2);
    expect(visitor.values).toEqual([0]);
    expect((visitor.socket as any).receiveBuffer).toEqual([]); // not even kept for later

    letsIn.answer = true;
    visitor.socket.connect();
    await receives(visitor, 3);
    expect(visitor.values).toEqual(numbers(3));
    expect(visitor.refused).toBe(0);
  });

  test.each(['the same node', 'another node'])(
    'and is gone again during the middleware is recovered by %s',
    async (where) => {
      const redis = await RedisServer.start();
      const gate = new Gate();
      let held = true;
      const a = await startNode({ port: redis.port });
      const b = await startNode({ port: redis.port, middleware: () => (held ? gate.pass() : 0) });
      const visitor = await visit(a, { rooms: ['red'] });
      a.io.emit('msg', 0);
      await receives(visitor, 1);

      visitor.goTo(b.url);
      visitor.cut();
      a.io.emit('msg', 1);
      await until(() => gate.arrivals === 1, { what: 'the middleware to be reached' });
      a.io.to('red').emit('msg', 2);
      held = false;
      visitor.goTo(where === 'another node' ? a.url : b.url);
      visitor.cut();
      a.io.to('red').emit('msg', 3);
      if (where === 'the same node') {
        await until(() => b.io.engine.clientsCount === 1, { what: 'the client to be back' });
        gate.release(); // of the socket that is gone
      }

      await visits(visitor, 2);
      gate.release();
      b.io.to('red').emit('msg', 4);
      await receives(visitor, 5);
      expect(visitor.values).toEqual(numbers(5));
      expect(visitor.refused).toBe(0);
      expect([a, b].flatMap((node) => socketsOf(node, visitor))).toHaveLength(1);
    },
  );

  test('and is cut again right after it recovered, again and again, receives nothing twice', async () => {
    const redis = await RedisServer.start();
    const [a, b] = [await startNode({ port: redis.port }), await startNode({ port: redis.port })];
    const visitor = await visit(a);
    a.io.emit('msg', 0);
    await receives(visitor, 1);
    a.io.emit('msg', 1);

    for (let times = 2; times < 12; times++) {
      visitor.goTo(times % 3 ? b.url : a.url);
      visitor.cut(times % 2 ? 'close' : 'destroy');
      await visits(visitor, times);
    }
    b.io.emit('msg', 2);

    await receives(visitor, 3);
    expect(visitor.values).toEqual(numbers(3));
    expect(visitor.refused).toBe(0);
  });

  test('is given binary data as it was sent', async () => {
    const redis = await RedisServer.start();
    const [a, b] = [await startNode({ port: redis.port }), await startNode({ port: redis.port })];
    const gate = new Gate();
    const c = await startNode({ port: redis.port, middleware: () => gate.pass() });
    const visitor = await visit(a);
    const values = [Buffer.from([0, 255]), { deep: [Buffer.from('x'), 'ä', null, 1.5] }, [], new Uint8Array([7])];
    a.io.emit('msg', values[0]);
    await receives(visitor, 1);
    await visitor.stayAway();
    a.io.emit('msg', values[1]);
    await until(() => b.counters.read === 2, { what: 'the other node to have read it' });
    b.io.emit('msg', values[2]);
    visitor.comeBack(c.url);
    await until(() => gate.arrivals === 1, { what: 'the middleware to be reached' });
    b.io.emit('msg', values[3]);
    await until(() => c.counters.read === 4, { what: 'the node to have read all' });
    gate.release();

    await receives(visitor, 4);
    expect(visitor.values).toEqual([values[0], values[1], values[2], Buffer.from([7])]);
  });

  test.each(['/', '/ünï/cøde'])('in the namespace %s is given long messages as they were sent', async (namespace) => {
    const redis = await RedisServer.start();
    const start = () => startNode({ port: redis.port, namespaces: namespace === '/' ? [] : [namespace] });
    const [a, b] = [await start(), await start()];
    const visitor = await visit(a, { namespace });
    const long = (n: number): unknown => ({ n, text: '"ä😀\\\u2028'.repeat(300), at: new Date(n), nothing: undefined });
    a.io.of(namespace).emit('msg', long(0));
    b.io.of(namespace).emit('msg', long(1));
    await receives(visitor, 2);
    await visitor.stayAway();
    a.io.of(namespace).emit('msg', long(2));
    visitor.comeBack(b.url);
    await visits(visitor, 2);
    b.io.of(namespace).to(visitor.sid).emit('msg', long(3));
    await receives(visitor, 4);

    const sent = [0, 1, 2, 3].map((n) => JSON.parse(JSON.stringify(long(n))) as { n: number });
    expect((visitor.values as { n: number }[]).sort((one, other) => one.n - other.n)).toEqual(sent);
    expect(visitor.received.every(({ offset }) => decodeCut(offset))).toBe(true);
  });

  test.each([1, 4])('is recovered in each of its namespaces, with %d streams', async (streamCount) => {
    const redis = await RedisServer.start();
    const namespaces = ['/chat', '/ünï/cøde'];
    const start = () => startNode({ port: redis.port, adapter: { streamCount }, namespaces });
    const [a, b] = [await start(), await start()];
    const main = await visit(a, { rooms: ['red'] });
    const others = [];
    for (const namespace of namespaces) {
      others.push(await visit(a, { namespace, rooms: ['red'] }));
    }
    const all = [main, ...others];
    for (const name of ['/', ...namespaces]) {
      a.io.of(name).emit('msg', [name, 0]);
    }
    await Promise.all(all.map((visitor) => receives(visitor, 1)));

    for (const visitor of all) {
      visitor.goTo(b.url);
      visitor.cut();
    }
    for (const name of ['/', ...namespaces]) {
      a.io.of(name).to('red').emit('msg', [name, 1]);
    }
    await Promise.all(all.map((visitor) => visits(visitor, 2)));
    for (const name of ['/', ...namespaces]) {
      b.io.of(name).to('red').emit('msg', [name, 2]);
    }

    for (const [i, name] of ['/', ...namespaces].entries()) {
      await receives(all[i]!, 3);
      expect(all[i]!.values).toEqual(numbers(3).map((n) => [name, n]));
      expect(all[i]!.refused).toBe(0);
    }
  });

  test('over one connection for several namespaces is recovered in each', async () => {
    const redis = await RedisServer.start();
    const start = () => startNode({ port: redis.port, namespaces: ['/chat'] });
    const [a, b] = [await start(), await start()];
    const main = await visit(a);
    const chat = main.socket.io.socket('/chat', { auth: { rooms: [] } });
    const received: unknown[] = [];
    chat.on('msg', (value: unknown) => received.push(value));
    await until(() => chat.connected, { what: 'the second namespace to be connected' });
    a.io.emit('msg', 0);
    a.io.of('/chat').emit('msg', 0);
    await until(() => received.length === 1 && main.received.length === 1, { what: 'both to have an offset' });

    main.goTo(b.url);
    main.cut();
    a.io.emit('msg', 1);
    a.io.of('/chat').emit('msg', 1);

    await until(() => received.length === 2 && main.received.length === 2, { what: 'what both missed' });
    expect([main.values, received]).toEqual([numbers(2), numbers(2)]);
    expect([main.socket.recovered, chat.recovered]).toEqual([true, true]);
  });

  test('is given what was sent to each room while it was in it, and lost on the way', async () => {
    const redis = await RedisServer.start();
    const [a, b] = [await startNode({ port: redis.port }), await startNode({ port: redis.port })];
    const network = await TcpProxy.start(Number(new URL(a.url).port));
    const visitor = await visit({ url: `http://127.0.0.1:${network.port}` });
    const [socket] = socketsOf(a, visitor);
    const inOrder = async (run: () => unknown): Promise<void> => {
      const isRead = (): boolean => {
        const streams = [a, b].map(({ node }) => node.status().streams[0]!);
        const appended = streams.reduce((sum, { counters }) => sum + counters.appended, 0);
        return streams.every(({ outbox }) => outbox.entries === 0) && a.counters.read === appended;
      };
      await until(isRead, { what: 'the node to have read what was sent' });
      await run();
    };
    a.io.emit('msg', 0);
    await receives(visitor, 1);

    network.blackhole('toClient'); // the node still believes that the client receives
    b.io.to('red').emit('msg', 'before it joined');
    await inOrder(() => socket!.join(['red', 'blue']));
    b.io.to('red').emit('msg', 1);
    b.io.to('green').except('blue').emit('msg', 'not for it');
    await inOrder(() => socket!.leave('red'));
    b.io.to('red').emit('msg', 'after it left');
    await inOrder(() => socket!.join('red'));
    b.io.to('red').except('green').emit('msg', 2);
    await inOrder(() => socket!.leave('blue'));
    b.io.except('red').emit('msg', 'not for it');
    b.io.except('blue').emit('msg', 3);
    await inOrder(() => undefined);
    visitor.goTo(b.url);
    visitor.cut();

    await visits(visitor, 2);
    a.io.to('red').emit('msg', 4);
    await receives(visitor, 5);
    expect(visitor.values).toEqual(numbers(5));
    expect(visitor.refused).toBe(0);
    expect([...socketsOf(b, visitor)[0]!.rooms].sort()).toEqual([visitor.sid, 'red'].sort());
  });

  test('in the middle of what it missed goes on where it was cut', async () => {
    const redis = await RedisServer.start();
    const [a, b] = [await startNode({ port: redis.port }), await startNode({ port: redis.port })];
    const network = await TcpProxy.start(Number(new URL(b.url).port));
    const visitor = await visit(a);
    a.io.emit('msg', 0);
    await receives(visitor, 1);
    await visitor.stayAway();
    const text = 'x'.repeat(10_000);
    numbers(400).forEach((i) => a.io.emit('msg', i + 1, text));
    await until(() => b.counters.read === 401, { what: 'all to be read' });

    visitor.comeBack(`http://127.0.0.1:${network.port}`);
    for (let cuts = 0; visitor.received.length < 401;) {
      const before = visitor.received.length;
      await until(() => visitor.received.length > before, { what: 'some of it to arrive', interval: 1 });
      if (cuts++ < 10) {
        network.cut();
      }
    }

    expect(visitor.values).toEqual(numbers(401));
    expect(visitor.refused).toBe(0);
  });
});

describe('what the server sees of a client that comes back', () => {
  test('is its id, its rooms and its data', async () => {
    const redis = await RedisServer.start();
    const [a, b] = [await startNode({ port: redis.port }), await startNode({ port: redis.port })];
    const visitor = await visit(a, { rooms: ['red', 'blue'] });
    const [before] = socketsOf(a, visitor);
    before!.data = { user: { name: 'Zoë' }, photo: Buffer.from([1, 2, 3]), since: new Date(0) };
    a.io.emit('msg', 0);
    await receives(visitor, 1);

    visitor.goTo(b.url);
    visitor.cut();
    await visits(visitor, 2);

    const [after] = socketsOf(b, visitor);
    expect(after).toMatchObject({ id: before!.id, recovered: true });
    expect(after!.data).toEqual({
      user: { name: 'Zoë' },
      photo: Buffer.from([1, 2, 3]),
      since: new Date(0),
    });
    expect(after!.rooms).toEqual(new Set([visitor.sid, 'red', 'blue']));
    expect(visitor.visits.map(({ sid }) => sid)).toEqual([before!.id, before!.id]);
  });
});
