import { EventEmitter } from 'node:events';
import { inspect } from 'node:util';
import { deserialize, serialize } from 'node:v8';
import { describe, expect, test } from '@jest/globals';
import { encode } from '@msgpack/msgpack';
import { Redis } from 'ioredis';
import { Server } from 'socket.io';
import { io as connectClient } from 'socket.io-client';
import { createAdapter } from '../../lib/adapter/index.js';
import { RedisStreamsEmitter } from '../../lib/emitter/index.js';
import { closeAfterwards, RedisServer, until } from '../kit/index.js';
import type { RedisClientKind } from '../kit/redis-client.js';
import { SocketServer } from '../kit/socket-server.js';
import { TestClient } from '../kit/test-client.js';

const FAST = { heartbeatInterval: 200, heartbeatTimeout: 2_000, blockTimeInMs: 200 };
const silent = { log() {}, warn() {}, error() {} };

async function startServers(
  redis: RedisServer,
  count = 2,
  server = {},
  client: RedisClientKind = 'ioredis 6',
): Promise<SocketServer[]> {
  const address = { topology: 'single' as const, port: redis.port };
  const settings = { adapter: 'ours' as const, client, address, options: FAST, server };
  const servers = await Promise.all(Array.from({ length: count }, () => SocketServer.start(settings)));
  servers.forEach((one) => closeAfterwards(one));
  await until(async () => (await servers[0]!.io.of('/').adapter.serverCount()) === count, { what: 'all servers' });
  return servers;
}

async function connect(server: SocketServer, options = {}): Promise<TestClient> {
  return closeAfterwards(await TestClient.connect(server.url, options));
}

describe('fetchSockets', () => {
  test('gives dates, maps, sets, BigInts and binary data of sockets of other nodes as they are', async () => {
    const [a, b] = (await startServers(await RedisServer.start())) as [SocketServer, SocketServer];
    await connect(b);
    const data = { since: new Date(5), seen: new Map([['a', new Set([1])]]), sum: 5n, image: Buffer.from('a') };
    [...b.io.sockets.sockets.values()].forEach((socket) => Object.assign(socket.data as object, data));
    const [remote] = await a.io.fetchSockets();
    expect(remote!.data).toEqual(data);
  });

  test('gives a socket whose data hold a circle without that, at once, and reports it once', async () => {
    const [a, b] = (await startServers(await RedisServer.start())) as [SocketServer, SocketServer];
    await Promise.all([connect(b, { data: { name: 'one' } }), connect(b, { data: { name: 'two' } })]);
    const [first] = [...b.io.sockets.sockets.values()];
    const session: Record<string, unknown> = { save: () => 1 };
    session['owner'] = session;
    Object.assign(first!.data as object, { session });
    for (let i = 0; i < 3; i++) {
      const before = performance.now();
      const sockets = await a.io.fetchSockets();
      expect(performance.now() - before).toBeLessThan(2_000);
      expect(sockets.map(({ data }) => (data as { name: string }).name).sort()).toEqual(['one', 'two']);
    }
    const leftOut = b.events.filter(({ type }) => type === 'data-left-out');
    expect(leftOut).toMatchObject([{ path: 'data.session.save' }, { path: 'data.session.owner' }]);
  });

  test('gives at once what can be read of sockets whose data or handshake cannot', async () => {
    const [a, b] = (await startServers(await RedisServer.start())) as [SocketServer, SocketServer];
    const fromUser = JSON.parse('{"__proto__":{"admin":true}}') as object;
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    const odd: ((socket: { data: unknown; handshake: unknown }) => unknown)[] = [
      (socket) => (socket.data = { name: 'a', fromUser }),
      (socket) => (socket.data = { name: 'a', proxy }),
      (socket) =>
        (socket.data = { name: 'a', tag: Object.assign(Object.create(null), { [Symbol.toStringTag]: 'Promise' }) }),
      (socket) => Object.defineProperty(socket, 'data', { get: () => Object.keys(proxy) }),
      (socket) => Object.defineProperty(socket, 'handshake', { get: () => Object.keys(proxy) }),
    ];
    for (const make of odd) {
      const client = await connect(b, { data: { name: 'b' } });
      make(b.io.sockets.sockets.get(client.id)!);
    }
    const before = performance.now();
    const sockets = await a.io.fetchSockets();
    expect(performance.now() - before).toBeLessThan(2_000);
    expect(sockets.map(({ data }) => data)).toEqual([
      { name: 'a', fromUser },
      { name: 'a' },
      { name: 'a' },
      null,
      { name: 'b' },
    ]);
    expect(
      new Set(b.events.filter(({ type }) => type === 'data-left-out').map((event) => 'path' in event && event.path)),
    ).toEqual(new Set(['data.proxy', 'data.tag', 'data', 'handshake']));
  });

  test('gives 300 sockets of 20 kB each although Redis lets a subscriber wait for 1 MB only', async () => {
    const redis = await RedisServer.start({ config: ['client-output-buffer-limit pubsub 1mb 512kb 1'] });
    const [a, b] = (await startServers(redis)) as [SocketServer, SocketServer];
    const clients = await Promise.all(Array.from({ length: 300 }, () => connect(b)));
    [...b.io.sockets.sockets.values()].forEach((socket, i) => {
      Object.assign(socket.data as object, { i, text: 'x'.repeat(20_000) });
    });
    const sockets = await a.io.fetchSockets();
    expect(new Set(sockets.map(({ data }) => (data as { i: number }).i)).size).toBe(clients.length);
    expect(a.events.filter(({ type }) => type === 'redis-lost')).toEqual([]);
  });
});

describe('fetchSockets', () => {
  test('asks again for the last piece of an answer if Redis cuts the subscriber that it is for', async () => {
    const redis = await RedisServer.start({ config: ['client-output-buffer-limit pubsub 100kb 0 0'] });
    const [a, b] = (await startServers(redis)) as [SocketServer, SocketServer];
    await connect(b, { data: { text: 'x'.repeat(500_000) } });
    const since = performance.now();
    const fetching = a.io.fetchSockets();
    await until(() => a.events.some(({ type }) => type === 'redis-lost'), { what: 'the loss', interval: 1 });
    await redis.command('CONFIG', 'SET', 'client-output-buffer-limit', 'pubsub 32mb 0 0');
    expect(await fetching).toHaveLength(1);
    expect(performance.now() - since).toBeLessThan(4_000); // what is not asked again takes 5 s
  });
});

test('allSockets gives the ids of the sockets of all servers, in a room or in all', async () => {
  const [a, b] = (await startServers(await RedisServer.start())) as [SocketServer, SocketServer];
  const clients = await Promise.all([a, a, b, b].map((server, i) => connect(server, { rooms: i % 2 ? ['odd'] : [] })));
  const ids = clients.map(({ id }) => id);
  expect([...(await a.io.allSockets())].sort()).toEqual([...ids].sort());
  expect([...(await b.io.in('odd').allSockets())].sort()).toEqual([ids[1], ids[3]].sort());
  expect(await a.io.in('nobody').allSockets()).toEqual(new Set());
});

describe('serverSideEmit', () => {
  test('whose answer is given while the asking node does not hear ends with it when that hears again', async () => {
    const redis = await RedisServer.start();
    const [a, b, c] = (await startServers(redis, 3)) as [SocketServer, SocketServer, SocketServer];
    const answers: ((value: string) => void)[] = [];
    b.io.on('ask', (ack: (value: string) => void) => answers.push(ack));
    c.io.on('ask', (ack: (value: string) => void) => ack('c'));
    const since = performance.now();
    const outcome = new Promise<unknown[]>((resolve) => {
      a.io.serverSideEmit('ask', (...args: unknown[]) => resolve(args));
    });
    await until(() => answers.length > 0, { what: 'the question to arrive' });
    await redis.killClients(({ name, sub }) => name.includes(a.node!.id) && sub > 0);
    answers[0]!('b');
    expect(await outcome).toEqual([null, ['c', 'b']]);
    expect(performance.now() - since).toBeLessThan(3_000);
    expect(answers).toHaveLength(1);
  });

  test('gives the other servers values as they are, and what they answer', async () => {
    const [a, b] = (await startServers(await RedisServer.start())) as [SocketServer, SocketServer];
    b.io.on('ask', (value: unknown, answer: (value: unknown) => void) => answer({ got: value, at: new Date(7) }));
    const value = { at: new Date(5), ids: new Set([1n]) };
    expect(await a.io.serverSideEmitWithAck('ask', value)).toEqual([{ got: value, at: new Date(7) }]);
  });

  test('of what cannot be sent is an error at the call that names it; so is the answer, on both sides', async () => {
    const [a, b] = (await startServers(await RedisServer.start())) as [SocketServer, SocketServer];
    expect(() => a.io.serverSideEmit('ask', { user: { save: () => 1 } })).toThrow('"1.user.save" cannot be sent');
    const thrown: unknown[] = [];
    b.io.on('ask', (answer: (value: unknown) => void) => {
      try {
        answer({ timer: Promise.resolve() });
      } catch (error) {
        thrown.push(error);
      }
    });
    await expect(a.io.serverSideEmitWithAck('ask')).rejects.toThrow('"timer" cannot be sent');
    expect(thrown).toHaveLength(1);
  });
});

/** A parser that carries whatever the structured clone algorithm does. */
class Encoder {
  encode(packet: unknown): Buffer[] {
    return [serialize(packet)];
  }
}
class Decoder extends EventEmitter {
  add(bytes: Uint8Array): void {
    this.emit('decoded', deserialize(bytes));
  }
  destroy(): void {}
}
const parser = { Encoder, Decoder };

describe('With a parser of the application', () => {
  test.each(['local-first', 'log'] as const)(
    'clients of all nodes are given the same values (%s)',
    async (ordering) => {
      const redis = await RedisServer.start();
      const clients: { received: unknown[] }[] = [];
      const ios = await Promise.all(
        [0, 1].map(async () => {
          const client = new Redis(redis.url);
          closeAfterwards({ close: () => client.disconnect() });
          const adapter = createAdapter(client, { ...FAST, ordering }, silent);
          const io = closeAfterwards(new Server(0, { adapter: adapter as never, parser }));
          await adapter.node.start();
          const { port } = (io as unknown as { httpServer: { address(): { port: number } } }).httpServer.address();
          const socket = connectClient(`http://127.0.0.1:${port}`, { transports: ['websocket'], parser } as object);
          closeAfterwards(socket);
          const received: unknown[] = [];
          socket.on('event', (value: unknown, answer?: (value: unknown) => void) => {
            received.push(value);
            answer?.(value);
          });
          clients.push({ received });
          await until(() => socket.connected, { what: 'a client' });
          return io;
        }),
      );
      const [io] = ios as [Server];
      await until(async () => (await io.of('/').adapter.serverCount()) === 2, { what: 'both nodes' });
      class Account {
        readonly opened = new Date(1);
        readonly balance = 5n;
      }
      const value = { at: new Date(5), tags: new Set(['a']), by: new Map([[1, 2n]]), account: new Account(), not: NaN };
      const plain = { ...value, account: { opened: new Date(1), balance: 5n } };
      io.emit('event', value);
      await until(() => clients.every(({ received }) => received.length === 1), { what: 'the event' });
      const answers = await io.timeout(2_000).emitWithAck('event', value);
      for (const { received } of clients) {
        expect(inspect(received)).toBe(inspect([plain, plain])); // they are of another realm than Jest's
      }
      expect(inspect(answers)).toBe(inspect([plain, plain]));
      expect(() => io.emit('event', () => 1, 'not last')).toThrow('cannot be sent');
    },
  );
});

describe.each<RedisClientKind>([
  ...['ioredis 5' as const, 'ioredis 6' as const, 'iovalkey' as const],
  ...['redis 4' as const, 'redis 5' as const, 'redis 6' as const],
])('What emitters of others write (%s)', (client) => {
  test('reaches the servers: a serverSideEmit in the stream, also as the first thing after their start', async () => {
    const redis = await RedisServer.start();
    const servers = await startServers(redis, 2, {}, client);
    const heard: unknown[][] = servers.map(() => []);
    servers.forEach(({ io }, i) => io.on('event', (...args: unknown[]) => heard[i]!.push(args)));
    const fields = { uid: 'emitter', nsp: '/', type: '9', data: JSON.stringify({ packet: ['event', 1, { a: 2 }] }) };
    await redis.command('XADD', 'socket.io', '*', ...Object.entries(fields).flat());
    await until(() => heard.every((calls) => calls.length > 0), { what: 'the event' });
    expect(heard).toEqual(servers.map(() => [[1, { a: 2 }]]));
    expect(servers.map(({ events }) => events.filter(({ type }) => type === 'entry-rejected'))).toEqual([[], []]);
  });

  test('reaches clients and servers, whatever it is: volatile, binary, for nobody, changes of rooms', async () => {
    const redis = await RedisServer.start();
    const servers = await startServers(redis, 2, { connectionStateRecovery: {} }, client);
    const clients = await Promise.all(servers.map((server) => connect(server, { rooms: ['room'] })));
    const heard: unknown[][] = servers.map(() => []);
    servers.forEach(({ io }, i) => io.on('event', (...args: unknown[]) => heard[i]!.push(...args)));
    const write = (type: number, data: object, isBinary = false): Promise<unknown> => {
      const text = isBinary ? Buffer.from(encode(data)).toString('base64') : JSON.stringify(data);
      return redis.command('XADD', 'socket.io', '*', 'uid', 'emitter', 'nsp', '/', 'type', `${type}`, 'data', text);
    };
    // What such an emitter makes of `undefined`, as a room, is null.
    const to = (rooms: unknown[], except: unknown[] = [], flags: object = {}) => ({ rooms, except, flags });
    const emit = (opts: object, data: unknown[], isBinary = false): Promise<unknown> =>
      write(3, { packet: { type: 2, data, nsp: '/' }, opts }, isBinary);
    await emit(to([]), ['to all', 1]);
    await emit(to(['room', null]), ['to a room']);
    await emit(to([null]), ['to nobody']);
    await emit(to([], [null]), ['except nobody']);
    await emit(to([], ['room']), ['except all']);
    await emit(to([], [], { compress: false }), ['compressed or not']);
    await emit(to([]), ['binary', Buffer.from('a'), { within: [Buffer.from('b')] }], true);
    await write(4, { opts: to(['room']), rooms: ['joined', null] });
    await emit(to(['joined']), ['to who joined']);
    await write(5, { opts: to([]), rooms: ['joined', null] });
    await emit(to(['joined']), ['to who left']);
    await write(9, { packet: ['event', Buffer.from('c')] }, true);
    await write(6, { opts: to([null]), close: true });
    await emit(to([]), ['last']);
    await Promise.all(clients.map((one) => one.receives(7)));
    await emit(to([], [], { volatile: true }), ['volatile']);
    await Promise.all(clients.map((one) => one.receives(8)));
    for (const { received } of clients) {
      expect(received).toEqual([
        ['to all', 1],
        ...['to a room', 'except nobody', 'compressed or not'].map((name) => [name]),
        ['binary', Buffer.from('a'), { within: [Buffer.from('b')] }],
        ...['to who joined', 'last', 'volatile'].map((name) => [name]),
      ]);
    }
    expect(heard.map(([bytes]) => Buffer.from(bytes as Uint8Array).toString())).toEqual(['c', 'c']);
    await write(6, { opts: to(['room']), close: true });
    await until(() => clients.every(({ disconnects }) => disconnects.length === 1), { what: 'the disconnection' });
    expect(servers.flatMap(({ events }) => events).filter(({ type }) => /rejected|gap/.test(type))).toEqual([]);
  });
});

describe('RedisStreamsEmitter', () => {
  test('reaches nobody with a target that is nobody, and all with an except that is nobody', async () => {
    const redis = await RedisServer.start();
    const servers = await startServers(redis);
    const clients = await Promise.all(servers.map((server) => connect(server)));
    const client = new Redis(redis.url);
    closeAfterwards({ close: () => client.disconnect() });
    const emitter = new RedisStreamsEmitter(client);
    closeAfterwards(emitter);
    const nobodies: unknown[] = [undefined, null, 7n, Symbol('s'), { id: 1 }, NaN, []];
    for (const nobody of nobodies as (string | string[])[]) {
      if (!Array.isArray(nobody)) {
        emitter.to(nobody).emit('for nobody');
        emitter.to(nobody).volatile.emit('for nobody');
        emitter.to(nobody).disconnectSockets();
      }
      emitter.to(['nowhere', ...(Array.isArray(nobody) ? nobody : [nobody])]).emit('for nobody');
      emitter.socketsJoin(nobody);
      emitter.socketsLeave(nobody);
      emitter.except(nobody).emit('for all');
    }
    emitter.emit('last');
    await Promise.all(clients.map((one) => one.receives(8)));
    for (const { received } of clients) {
      expect(received).toEqual([...Array.from({ length: 7 }, () => ['for all']), ['last']]);
    }
  });
});

describe('The node of createAdapter', () => {
  test('is closed when another adapter is set, and the other one serves the server', async () => {
    const redis = await RedisServer.start();
    const client = new Redis(redis.url);
    closeAfterwards({ close: () => client.disconnect() });
    const [first, second] = [createAdapter(client, FAST, silent), createAdapter(client, FAST, silent)];
    const io = closeAfterwards(new Server(0, { adapter: first as never }));
    io.of('/other');
    io.adapter(second as never);
    await until(() => first.node.status().state === 'closed', { what: 'the first node to close' });
    await second.node.start();
    expect(second.node.status().state).toBe('running');
    await io.close();
    await until(() => second.node.status().state === 'closed', { what: 'the second node to close' });
  });

  test('is closed with a server that never listened', async () => {
    const redis = await RedisServer.start();
    const client = new Redis(redis.url);
    closeAfterwards({ close: () => client.disconnect() });
    const adapter = createAdapter(client, FAST, silent);
    const io = new Server({ adapter: adapter as never });
    await io.close().catch(() => undefined); // Socket.IO 4.8 fails to close an engine that there is not
    await until(() => adapter.node.status().state === 'closed', { what: 'the node to close' });
  });
});
