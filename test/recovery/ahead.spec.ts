import { describe, expect, test } from '@jest/globals';
import { type Member, numbers, RedisServer, TcpProxy, until } from '../kit/index.js';
import { checkpointed, socketsOf, startNode, type NodeOptions } from './recovery-node.js';
import { startRecoveryProcess, type RecoveryProcessOptions } from './recovery-process.js';
import { receives, visit, type Visitor, visits } from './visitor.js';

/** A node that can be kept from Redis without its noticing, and its clients that can be cut off without its noticing. */
async function start(redis: RedisServer, options: Omit<NodeOptions, 'port'> = {}) {
  const proxy = await TcpProxy.start(redis.port);
  const node = await startNode({
    port: proxy.port,
    ...options,
    adapter: { commandTimeout: 20_000, ...options.adapter },
  });
  const network = await TcpProxy.start(Number(new URL(node.url).port));
  return { node, proxy, io: node.io, url: `http://127.0.0.1:${network.port}`, network };
}

/** A second client of a node, which sees what the node gives its others. */
const witnessOf = (node: { url: string }): Promise<Visitor> => visit(node, { rooms: ['red'] });

async function settled(...nodes: { node: Member }[]): Promise<void> {
  await until(
    () => {
      const streams = nodes.map(({ node }) => node.node.status().streams[0]!);
      return (
        streams.every(({ outbox, backlog }) => outbox.entries + backlog === 0) &&
        new Set(streams.map(({ position }) => position)).size === 1
      );
    },
    { what: 'all nodes to have read all' },
  );
}

type Ordering = 'log' | 'local-first';

/** Gives a client two messages at once: in the order of the log, only what is for the client itself is not waited for. */
const giveAtOnce: Record<Ordering, (node: Member, visitor: Visitor) => void> = {
  'local-first': ({ io }) => {
    io.emit('msg', 1);
    io.to('red').emit('msg', 2);
  },
  log: (node, visitor) => {
    const [socket] = socketsOf(node, visitor);
    socket!.emit('msg', 1);
    socket!.emit('msg', 2);
  },
};

describe.each<Ordering>(['local-first', 'log'])('a client that was given what is not appended yet (%s)', (ordering) => {
  /** How many of those two others are given too. */
  const shared = ordering === 'log' ? 0 : 2;

  async function setUp() {
    const redis = await RedisServer.start();
    const adapter = { ordering };
    const [a, b, c] = [
      await start(redis, { adapter }),
      await start(redis, { adapter }),
      await start(redis, { adapter }),
    ];
    const visitor = await visit(a, { rooms: ['red'] });
    const witness = await witnessOf(b);
    b.io.emit('msg', 0);
    await Promise.all([receives(visitor, 1), receives(witness, 1)]);
    await checkpointed(redis, a.node, visitor);
    a.proxy.blackhole();
    giveAtOnce[ordering](a.node, visitor);
    await receives(visitor, 3);
    expect(visitor.offset).toContain(`,${a.node.node.id}`);
    expect(visitor.offset).toContain(':2');
    await visitor.stayAway();
    return { redis, a, b, c, visitor, witness };
  }

  test('is not given it again on its new node, which reads it later', async () => {
    const { a, b, visitor, witness } = await setUp();
    visitor.comeBack(b.url);
    await visits(visitor, 2);
    b.io.emit('msg', 3);
    await receives(visitor, 4);
    a.proxy.heal();
    await receives(witness, 2 + shared);
    a.io.emit('msg', 4);
    await Promise.all([receives(visitor, 5), receives(witness, 3 + shared)]);
    expect(visitor.values).toEqual(numbers(5));
    expect([...(witness.values as number[])].sort()).toEqual(shared > 0 ? numbers(5) : [0, 3, 4]);
    expect(visitor.refused).toBe(0);
  });

  test('is not given it again when it is cut again before its new node has read it, and moves on', async () => {
    const { a, b, c, visitor } = await setUp();
    visitor.comeBack(b.url);
    await visits(visitor, 2);
    b.io.emit('msg', 3);
    await receives(visitor, 4); // its offset names the first node no more
    await settled(b, c);
    await visitor.stayAway();
    b.io.to('red').emit('msg', 4);
    visitor.comeBack(c.url);
    await visits(visitor, 3);
    await receives(visitor, 5);
    a.proxy.heal();
    await settled(a, b, c);
    a.io.emit('msg', 5);
    await receives(visitor, 6);
    expect(visitor.values).toEqual(numbers(6));
    expect(visitor.refused).toBe(0);
  });

  test('is not given it again when it comes back to the node that has sent it', async () => {
    const { a, b, visitor } = await setUp();
    visitor.comeBack(b.url);
    await visits(visitor, 2);
    b.io.emit('msg', 3);
    await receives(visitor, 4);
    await visitor.stayAway();
    a.proxy.heal();
    visitor.comeBack(a.url);
    await visits(visitor, 3);
    await settled(a, b);
    a.io.emit('msg', 4);
    await receives(visitor, 5);
    expect(visitor.values).toEqual(numbers(5));
    expect(visitor.refused).toBe(0);
  });

  test('is not given it again when it came back in a middleware’s time', async () => {
    const { redis, a, visitor } = await setUp();
    let pass!: () => void;
    const gate = new Promise<void>((resolve) => (pass = resolve));
    const d = await start(redis, { middleware: () => gate, adapter: { ordering } });
    visitor.comeBack(d.url);
    await until(() => d.io.engine.clientsCount === 1, { what: 'the client to come' });
    a.proxy.heal();
    await settled(a, d);
    d.io.emit('msg', 3);
    pass();
    await receives(visitor, 4);
    await settled(a, d);
    expect(visitor.values).toEqual(numbers(4));
    expect(visitor.refused).toBe(0);
  });
});

test('a client whose node is killed with what it was given and nobody else will be, goes on', async () => {
  const redis = await RedisServer.start();
  const proxy = await TcpProxy.start(redis.port);
  const options: RecoveryProcessOptions = { kind: 'ours', port: proxy.port };
  const a = await startRecoveryProcess(options, { name: 'a' });
  const [b, c] = [await start(redis), await start(redis)];
  const visitor = await visit({ url: await a.call('url') }, { rooms: ['red'] });
  b.io.emit('msg', 0);
  await receives(visitor, 1);
  const live = `sio:session:live:${await a.call<string>('id')}`;
  await until(async () => (await redis.command('HEXISTS', live, visitor.pid!)) === 1, { what: 'the checkpoint' });
  proxy.blackhole();
  await a.call('emit', 1);
  await a.call('emit', 2, ['red']);
  await receives(visitor, 3);
  visitor.goTo(b.url);
  await a.kill();
  proxy.cut();
  b.io.to('red').emit('msg', 3);
  await visits(visitor, 2);
  await receives(visitor, 4);
  await visitor.stayAway();
  c.io.emit('msg', 4);
  visitor.comeBack(c.url);
  await receives(visitor, 5);
  expect(visitor.values).toEqual(numbers(5));
  expect(visitor.refused).toBe(0);
}, 60_000);

describe('a node that has not read back what it has sent', () => {
  async function setUp() {
    const redis = await RedisServer.start();
    const reader = await TcpProxy.start(redis.port);
    const b = await start(redis, { readerPort: reader.port });
    const a = await start(redis);
    const visitor = await visit(a, { rooms: ['red'] });
    a.io.emit('msg', 0);
    await receives(visitor, 1);
    await settled(a, b);
    reader.blackhole();
    return { redis, reader, a, b, visitor };
  }

  test('gives it to a client that comes to it, once', async () => {
    const { reader, a, b, visitor } = await setUp();
    await visitor.stayAway();
    b.io.to('red').emit('msg', 1);
    b.io.to('blue').emit('msg', 'not for it');
    b.io.to(visitor.sid).emit('msg', 2);
    // Where it is behind: the client is not, for its offset is of before.
    visitor.comeBack(b.url);
    await visits(visitor, 2);
    await receives(visitor, 3);
    b.io.emit('msg', 3);
    await receives(visitor, 4);
    reader.heal();
    await settled(a, b);
    a.io.emit('msg', 4);
    await receives(visitor, 5);
    expect(visitor.values).toEqual(numbers(5));
    expect(visitor.refused).toBe(0);
  });

  test('does not give it again to a client that has read it elsewhere', async () => {
    const { reader, a, b, visitor } = await setUp();
    b.io.to('red').emit('msg', 1);
    await receives(visitor, 2); // by way of the log, on the other node
    await visitor.stayAway();
    setTimeout(() => reader.heal(), 300); // it has to come to where the client is first
    visitor.comeBack(b.url);
    await visits(visitor, 2);
    b.io.to('red').emit('msg', 2);
    await settled(a, b);
    await receives(visitor, 3);
    expect(visitor.values).toEqual(numbers(3));
    expect(visitor.refused).toBe(0);
  });

  test('knows of each entry whether it came before its client joined or left a room', async () => {
    const { reader, a, b } = await setUp();
    const visitor = await visit(b, { rooms: ['red'] });
    b.io.to(visitor.sid).emit('msg', 0);
    await receives(visitor, 1);
    b.network.blackhole();
    await visitor.stayAway('close');
    const [socket] = socketsOf(b.node, visitor);
    b.io.to('blue').emit('msg', 'before it joined');
    b.io.to('red').emit('msg', 1);
    void socket!.join('blue');
    b.io.to('blue').emit('msg', 2);
    void socket!.leave('red');
    b.io.to('red').emit('msg', 'after it left');
    void socket!.leave('blue');
    b.io.to('blue').emit('msg', 'after it left');
    void socket!.join('blue');
    b.io.to('blue').emit('msg', 3);
    b.io.except('blue').emit('msg', 'while it was in');
    visitor.comeBack(a.url);
    await visits(visitor, 2);
    await receives(visitor, 4);
    reader.heal();
    await settled(a, b);
    expect([...socketsOf(a.node, visitor)[0]!.rooms].sort()).toEqual([visitor.sid, 'blue'].sort());
    a.io.to('red').emit('msg', 'not for it');
    a.io.to('blue').emit('msg', 4);
    await receives(visitor, 5);
    expect(visitor.values).toEqual(numbers(5));
    expect(visitor.refused).toBe(0);
  });
});

test('a client that returns to its node while Redis is away receives what is sent then, before and after', async () => {
  const redis = await RedisServer.start({ appendonly: true });
  const [a, b] = [await startNode({ port: redis.port }), await startNode({ port: redis.port })];
  const visitor = await visit(a, { rooms: ['red'] });
  b.io.emit('msg', 0);
  await receives(visitor, 1);
  a.io.emit('msg', 1);
  await receives(visitor, 2);
  await until(() => a.node.status().streams[0]!.outbox.entries === 0, { what: 'the entry to be appended' });
  await checkpointed(redis, a, visitor);
  await redis.kill();
  await until(() => [a, b].every(({ node }) => node.status().state === 'degraded'), { what: 'the loss' });
  a.io.emit('msg', 2);
  await receives(visitor, 3);
  for (let round = 0; round < 3; round++) {
    await visitor.stayAway();
    a.io.to('red').emit('msg', visitor.received.length);
    a.io.to('blue').emit('msg', 'not for it');
    visitor.comeBack(a.url);
    await visits(visitor, round + 2);
    await receives(visitor, round + 4);
  }
  await visitor.stayAway();
  const count = visitor.received.length;
  a.io.to('red').emit('msg', count);
  await redis.restart();
  await until(() => [a, b].every(({ node }) => node.status().state === 'running'), { what: 'Redis to be back' });
  visitor.comeBack(b.url);
  await receives(visitor, count + 1);
  b.io.to('red').emit('msg', count + 1);
  await receives(visitor, count + 2);
  expect(visitor.values).toEqual(numbers(count + 2));
  expect(visitor.refused).toBe(0);
});

test('local clients receive what an overflowing outbox drops, once, and are recovered nevertheless', async () => {
  const redis = await RedisServer.start();
  const a = await start(redis, { adapter: { outboxMaxEntries: 5, commandTimeout: 1_500 } });
  const b = await start(redis);
  const visitors = [await witnessOf(a), await witnessOf(a), await witnessOf(b)];
  a.io.emit('msg', 0);
  await Promise.all(visitors.map((visitor) => receives(visitor, 1)));
  await settled(a, b);
  a.proxy.refuse();
  a.proxy.cut();
  await until(() => a.node.node.status().state === 'degraded', { what: 'the loss' });
  for (let i = 1; i <= 20; i++) {
    a.io.to('red').emit('msg', i);
  }
  await Promise.all(visitors.slice(0, 2).map((visitor) => receives(visitor, 21)));
  await a.proxy.accept();
  await settled(a, b);
  expect(a.node.node.status().streams[0]!.counters.dropped).toBe(15);
  await receives(visitors[2]!, 6);
  for (const [i, visitor] of visitors.entries()) {
    visitor.goTo(i === 1 ? a.url : b.url);
    visitor.cut();
    await visits(visitor, 2);
  }
  a.io.emit('msg', 21);
  await Promise.all(visitors.map((visitor, i) => receives(visitor, i < 2 ? 22 : 7)));
  expect(visitors.map(({ values }) => values)).toEqual([numbers(22), numbers(22), [0, ...numbers(22).slice(16)]]);
  expect(visitors.map(({ refused }) => refused)).toEqual([0, 0, 0]);
});

test.each(['before', 'after'] as const)(
  'an overflowed outbox, appended %s a second move, repeats nothing: binary, dynamic namespaces',
  async (when) => {
    const redis = await RedisServer.start();
    const a = await start(redis, { adapter: { outboxMaxEntries: 4 } });
    const [b, c] = [await start(redis), await start(redis)];
    const names = ['/tenant-1', '/tenant-2'];
    [a, b, c].forEach(({ io }) => io.of(/^\/tenant-\d+$/));
    const visitAll = (node: { url: string }): Promise<Visitor[]> =>
      Promise.all(names.map((namespace) => visit(node, { namespace })));
    const [visitors, atB, atC] = [await visitAll(a), await visitAll(b), await visitAll(c)];
    const send = (io: Member['io'], n: number): void =>
      names.forEach((name) => io.of(name).emit('msg', { name, bytes: Buffer.from([n]) }));
    const expected = (values: number[]) => names.map((name) => values.map((n) => ({ name, bytes: Buffer.from([n]) })));
    const haveAll = (all: Visitor[], count: number) => Promise.all(all.map((visitor) => receives(visitor, count)));
    const moveTo = async ({ url }: { url: string }, times: number): Promise<void> => {
      await Promise.all(visitors.map((visitor) => visitor.stayAway()));
      visitors.forEach((visitor) => visitor.comeBack(url));
      await Promise.all(visitors.map((visitor) => visits(visitor, times)));
    };
    send(a.io, 0);
    await haveAll([...visitors, ...atB, ...atC], 1);
    await Promise.all(visitors.map((visitor) => checkpointed(redis, a.node, visitor)));

    a.proxy.refuse();
    a.proxy.cut();
    await until(() => a.node.node.status().state === 'degraded', { what: 'the loss' });
    numbers(5).forEach((n) => send(a.io, n + 1)); // ten entries, of which the last four stay
    await haveAll(visitors, 6);
    await moveTo(b, 2);
    send(b.io, 6);
    await haveAll(visitors, 7);
    if (when === 'after') {
      await settled(b, c);
      await moveTo(c, 3);
    }
    await a.proxy.accept();
    await settled(a, b, c);
    if (when === 'before') {
      await moveTo(c, 3);
    }
    send(c.io, 7);
    await Promise.all([haveAll(visitors, 8), haveAll([...atB, ...atC], 5)]);
    expect(a.node.node.status().streams[0]!.counters.dropped).toBe(6);
    expect(visitors.map(({ values }) => values)).toEqual(expected(numbers(8)));
    expect(visitors.map(({ refused }) => refused)).toEqual([0, 0]);
    for (const others of [atB, atC]) {
      expect(others.map(({ values }) => values)).toEqual(expected([0, 6, 4, 5, 7]));
    }
  },
  60_000,
);

test.each([1, 4])(
  'binary values, dynamic namespaces and %i streams change nothing of that',
  async (streamCount) => {
    const redis = await RedisServer.start();
    const [a, b] = [await start(redis, { adapter: { streamCount } }), await start(redis, { adapter: { streamCount } })];
    const names = ['/tenant-1', '/tenant-2', '/tenant-3'];
    for (const { io } of [a, b]) {
      io.of(/^\/tenant-\d+$/);
    }
    const visitors: Visitor[] = [];
    for (const namespace of names) {
      visitors.push(await visit(a, { namespace }));
    }
    const everywhere = await Promise.all(names.map((namespace) => visit(b, { namespace }))); // else B has no such namespace
    const send = (io: Member['io'], n: number): void =>
      names.forEach((name) => io.of(name).emit('msg', { name, bytes: Buffer.from([n]) }));
    const expected = (count: number) =>
      names.map((name) => numbers(count).map((n) => ({ name, bytes: Buffer.from([n]) })));
    send(a.io, 0);
    await Promise.all([...visitors, ...everywhere].map((visitor) => receives(visitor, 1)));
    await until(
      async () => Number(await redis.command('HLEN', `sio:session:live:${a.node.node.id}`)) === 1 + names.length,
      { what: 'the checkpoints' },
    );
    a.proxy.blackhole();
    send(a.io, 1);
    await Promise.all(visitors.map((visitor) => receives(visitor, 2)));
    await Promise.all(visitors.map((visitor) => visitor.stayAway()));
    send(b.io, 2);
    visitors.forEach((visitor) => visitor.comeBack(b.url));
    await Promise.all(visitors.map((visitor) => receives(visitor, 3)));
    a.proxy.heal();
    await Promise.all(everywhere.map((visitor) => receives(visitor, 3)));
    send(b.io, 3);
    await Promise.all(visitors.map((visitor) => receives(visitor, 4)));
    expect(visitors.map(({ values }) => values)).toEqual(expected(4));
    expect(visitors.map(({ refused }) => refused)).toEqual(names.map(() => 0));
  },
  60_000,
);
