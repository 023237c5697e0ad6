import { EventEmitter } from 'node:events';
import { inspect } from 'node:util';
import { deserialize, serialize } from 'node:v8';
import { describe, expect, test } from '@jest/globals';
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

describe('serverSideEmit', () => {
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
