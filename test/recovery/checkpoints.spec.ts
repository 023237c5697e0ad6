import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import { type Member, RedisServer, TcpProxy, until } from '../kit/index.js';
import { socketsOf, startNode } from './recovery-node.js';
import { receives, visit, Visitor, visits } from './visitor.js';

const CLIENTS = 200;

/** How often each command was called, and how many bytes Redis was sent, since the last time. */
class Usage {
  private before: Record<string, number> = {};

  constructor(private readonly redis: RedisServer) {}

  async since(): Promise<Record<string, number>> {
    const stats = await this.redis.info('commandstats');
    const now: Record<string, number> = { bytes: Number((await this.redis.info('stats'))['total_net_input_bytes']) };
    for (const [name, value] of Object.entries(stats)) {
      now[name.replace('cmdstat_', '')] = Number(/calls=(\d+)/.exec(value)![1]);
    }
    const used = Object.entries(now).map(([name, value]) => [name, value - (this.before[name] ?? 0)]);
    this.before = now;
    return Object.fromEntries(used) as Record<string, number>;
  }
}

async function connectAll(node: Member, rooms: string[] = []): Promise<Visitor[]> {
  const visitors = Array.from({ length: CLIENTS }, () => new Visitor(node.url, { rooms }));
  await until(() => visitors.every(({ isConnected }) => isConnected), { what: 'all clients to connect' });
  return visitors;
}

async function stored(redis: RedisServer, node: Member): Promise<number> {
  return Number(await redis.command('HLEN', `sio:session:live:${node.node.id}`)) - 1;
}

/** The keys of sessions; that one is over is kept for longer than anybody may write it late. */
async function sessionKeys(redis: RedisServer): Promise<string[]> {
  const keys = (await redis.command('KEYS', 'sio:session:*')) as string[];
  return keys.filter((key) => !/^sio:session:(live|claims):/.test(key));
}

describe('what checkpoints cost', () => {
  test('is one small write a connection, one a batch of room changes, and none to keep them', async () => {
    const redis = await RedisServer.start();
    const node = await startNode({ port: redis.port, adapter: { heartbeatInterval: 100, heartbeatTimeout: 300 } });
    const usage = new Usage(redis);
    await usage.since();

    const visitors = await connectAll(node, ['red']);
    await until(async () => (await stored(redis, node)) === CLIENTS, { what: 'all to be written' });
    const connecting = await usage.since();
    expect(connecting['hset']).toBeLessThanOrEqual(CLIENTS);
    expect(connecting['bytes']! / CLIENTS).toBeLessThan(1_000);

    const { length } = await Promise.all(visitors.map(({ socket }) => socket.emitWithAck('join', 'blue')));
    expect(length).toBe(CLIENTS);
    const record = (): Promise<string> =>
      redis
        .command('HVALS', `sio:session:live:${node.node.id}`)
        .then((values) =>
          (values as string[]).map((value) => Buffer.from(value, 'base64').toString('latin1')).join('\n'),
        );
    await until(async () => (await record()).split('blue').length > CLIENTS, { what: 'the room to be written' });
    const joining = await usage.since();
    expect(joining['hset']).toBeLessThan(CLIENTS / 2);

    const beats = (): number => node.node.status().streams.length;
    expect(beats()).toBe(1);
    const { publish } = await usage.since();
    let idle: Record<string, number> = {};
    let total = publish ?? 0;
    await until(
      async () => {
        const used = await usage.since();
        total += used['publish'] ?? 0;
        idle = Object.fromEntries(
          [...Object.keys({ ...idle, ...used })].map((k) => [k, (idle[k] ?? 0) + (used[k] ?? 0)]),
        );
        return total >= 10;
      },
      { what: 'ten heartbeats' },
    );
    expect(idle['hset'] ?? 0).toBe(0);
    expect(idle['pexpire']).toBeLessThanOrEqual(12);
    expect(idle['zadd']).toBeLessThanOrEqual(12);
  });

  test('is nothing when they are switched off', async () => {
    const redis = await RedisServer.start();
    const adapter = { sessionCheckpoints: false, heartbeatInterval: 50, heartbeatTimeout: 200 };
    const node = await startNode({ port: redis.port, adapter });
    const usage = new Usage(redis);
    await usage.since();
    await connectAll(node, ['red']);
    let beats = 0;
    let used: Record<string, number> = {};
    await until(
      async () => {
        used = await usage.since();
        beats += used['publish'] ?? 0;
        expect([used['hset'] ?? 0, used['pexpire'] ?? 0, used['zadd'] ?? 0]).toEqual([0, 0, 0]);
        return beats > 5;
      },
      { what: 'some heartbeats' },
    );
    expect(await redis.command('KEYS', '*')).toEqual([]);
  });
});

describe('a client that says goodbye', () => {
  test.each([
    ['by itself', (visitor: Visitor) => visitor.socket.disconnect()],
    ['because its server says so', (visitor: Visitor, node: Member) => socketsOf(node, visitor)[0]!.disconnect()],
    ['because all are disconnected', (_visitor: Visitor, node: Member) => node.io.disconnectSockets()],
  ])('%s leaves no session behind, and does not recover', async (_how, goodbye) => {
    const redis = await RedisServer.start();
    const [a, b] = [await startNode({ port: redis.port }), await startNode({ port: redis.port })];
    const visitor = await visit(a);
    a.io.emit('msg', 0);
    await receives(visitor, 1);
    visitor.goTo(b.url);
    visitor.cut();
    await visits(visitor, 2); // its session has been in both places
    await until(async () => (await stored(redis, b)) === 1, { what: 'the checkpoint' });

    goodbye(visitor, b);

    await until(async () => (await stored(redis, b)) === 0, { what: 'the session to be gone' });
    expect(await stored(redis, a)).toBe(0);
    expect(await sessionKeys(redis)).toEqual([]);
    await until(() => !visitor.isConnected, { what: 'the client to be disconnected' });
    visitor.socket.connect();
    await visits(visitor, 3);
    expect(visitor.socket.recovered).toBe(false);
  });

  test('while Redis is away leaves no session behind when it is back', async () => {
    const redis = await RedisServer.start({ appendonly: true });
    const node = await startNode({ port: redis.port });
    const visitor = await visit(node);
    await until(async () => (await stored(redis, node)) === 1, { what: 'the checkpoint' });
    await redis.kill();
    await until(() => node.node.status().state === 'degraded', { what: 'the loss to be noticed' });

    visitor.socket.disconnect();
    await until(() => node.io.of('/').sockets.size === 0, { what: 'the goodbye' });
    await redis.restart();

    await until(async () => (await stored(redis, node)) === 0, { what: 'the session to be gone' });
    expect(await sessionKeys(redis)).toEqual([]);
  });
});

describe('while Redis is away', () => {
  test('sessions of clients that disconnect are kept, and written when it is back', async () => {
    const redis = await RedisServer.start({ appendonly: true });
    const [a, b] = [await startNode({ port: redis.port }), await startNode({ port: redis.port })];
    const visitors = [await visit(a, { rooms: ['red'] }), await visit(a, { rooms: ['blue'] })];
    a.io.emit('msg', 0);
    await Promise.all(visitors.map((visitor) => receives(visitor, 1)));
    await visitors[0]!.socket.emitWithAck('join', 'late');
    await redis.kill();
    await until(() => [a, b].every(({ node }) => node.status().state === 'degraded'), { what: 'the loss' });

    a.io.to('late').emit('msg', 1);
    await Promise.all(visitors.map((visitor) => visitor.stayAway()));
    await until(() => a.io.of('/').sockets.size === 0, { what: 'the disconnections to be noticed' });
    await redis.restart();
    await until(async () => (await sessionKeys(redis)).length === 2, { what: 'the sessions to be written' });
    await until(async () => (await stored(redis, a)) === 0, {
      what: 'what was written while they were connected to go',
    });
    b.io.to('blue').emit('msg', 1);
    visitors.forEach((visitor) => visitor.comeBack(b.url));

    await Promise.all(visitors.map((visitor) => receives(visitor, 2)));
    expect(visitors.map(({ values, refused }) => ({ values, refused }))).toEqual([
      { values: [0, 1], refused: 0 },
      { values: [0, 1], refused: 0 },
    ]);
  });

  test('a client that comes back to the node that it left recovers', async () => {
    const redis = await RedisServer.start({ appendonly: true });
    const [a, b] = [await startNode({ port: redis.port }), await startNode({ port: redis.port })];
    const visitor = await visit(a, { rooms: ['red'] });
    a.io.emit('msg', 0);
    await receives(visitor, 1);
    await redis.kill();
    await until(() => a.node.status().state === 'degraded', { what: 'the loss' });
    visitor.cut();
    await visits(visitor, 2);
    expect(visitor.refused).toBe(0);
    await redis.restart();
    b.io.to('red').emit('msg', 1);

    await receives(visitor, 2);
    await until(async () => (await stored(redis, a)) === 1, { what: 'the checkpoint' });
    expect(await sessionKeys(redis)).toEqual([]);
  });

  test('a client that comes to another node recovers when that is back', async () => {
    const redis = await RedisServer.start();
    const proxy = await TcpProxy.start(redis.port);
    const [a, b] = [await startNode({ port: redis.port }), await startNode({ port: proxy.port })];
    const visitor = await visit(a, { rooms: ['red'] });
    a.io.emit('msg', 0);
    await receives(visitor, 1);
    proxy.refuse();
    proxy.cut();
    await until(() => b.node.status().state === 'degraded', { what: 'the loss to be noticed' });

    await visitor.stayAway();
    visitor.comeBack(b.url);
    a.io.to('red').emit('msg', 1);
    await until(() => b.io.engine.clientsCount === 1, { what: 'the client to come' });
    expect(visitor.isConnected).toBe(false);
    await proxy.accept();

    await receives(visitor, 2);
    expect(visitor.refused).toBe(0);
    expect(visitor.values).toEqual([0, 1]);
  });

  test('a client that comes to another node connects anew if that does not come back', async () => {
    const redis = await RedisServer.start();
    const [a, b] = [await startNode({ port: redis.port }), await startNode({ port: redis.port })];
    const visitor = await visit(a, { rooms: ['red'] });
    a.io.emit('msg', 0);
    await receives(visitor, 1);
    await redis.kill();
    await until(() => b.node.status().state === 'degraded', { what: 'the loss to be noticed' });

    await visitor.stayAway();
    visitor.comeBack(b.url);

    await until(() => visitor.isConnected, { what: 'the client to connect', timeout: 20_000 });
    expect(visitor.refused).toBe(1);
  });

  test.each([
    ['', () => Promise.resolve(0)],
    [', which loses Redis again meanwhile', (redis: RedisServer) => redis.killClients()],
  ])('a client has its latest rooms, though its old node is back later than its new one%s', async (_, meanwhile) => {
    const redis = await RedisServer.start({ appendonly: true });
    const proxy = await TcpProxy.start(redis.port);
    const [a, b] = [await startNode({ port: proxy.port }), await startNode({ port: redis.port })];
    const visitor = await visit(a);
    a.io.emit('msg', 0);
    await receives(visitor, 1);
    await until(async () => (await stored(redis, a)) === 1, { what: 'the checkpoint' });
    await redis.kill();
    await until(() => [a, b].every(({ node }) => node.status().state === 'degraded'), { what: 'the loss' });
    await visitor.socket.emitWithAck('join', 'late');
    await visitor.stayAway();
    proxy.refuse();
    await redis.restart();
    await until(() => b.node.status().state === 'running', { what: 'the new node to be back' });
    b.io.to('late').emit('msg', 1);

    visitor.comeBack(b.url);
    await until(() => b.io.engine.clientsCount === 1, { what: 'the client to come' });
    await sleep(200); // its session is looked for, and not taken
    expect(await redis.command('EXISTS', `sio:session:claims:${visitor.pid}`)).toBe(0);
    await meanwhile(redis);
    await until(() => b.node.status().state === 'running', { what: 'the new node to be back' });
    await proxy.accept();

    await receives(visitor, 2);
    expect(visitor.refused).toBe(0);
  });
});
