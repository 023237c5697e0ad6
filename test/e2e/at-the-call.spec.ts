import { describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import type { Server } from 'socket.io';
import { RedisStreamsEmitter } from '../../lib/emitter/index.js';
import { closeAfterwards, Member, RedisServer, TcpProxy, until } from '../kit/index.js';
import { TestClient } from '../kit/test-client.js';

const server = { connectionStateRecovery: { maxDisconnectionDuration: 60_000 } };
const BYTES = [1, 2, 3, 4, 5, 6, 7, 8];

/** Values that are filled with something else as soon as they have been emitted. */
const VALUES: Record<string, () => { value: unknown; buffer: ArrayBuffer }> = {
  Buffer: () => {
    const { buffer } = new Uint8Array(BYTES);
    return { value: Buffer.from(buffer), buffer };
  },
  'a part of a typed array': () => {
    const array = new Uint8Array(BYTES);
    return { value: { within: [array.subarray(2, 4)] }, buffer: array.buffer };
  },
  'an ArrayBuffer': () => {
    const { buffer } = new Uint8Array(BYTES);
    return { value: buffer, buffer };
  },
};

type Emit = (io: Pick<Server, 'emit' | 'to' | 'except'>, ...event: [string, ...unknown[]]) => unknown;
/** In ways that the other nodes are certain to get. */
const WAYS: Record<string, Emit> = {
  'to all': (io, ...event) => io.emit(...event),
  'to a room': (io, ...event) => io.to('room').emit(...event),
  'to all but a room': (io, ...event) => io.except('other').emit(...event),
};

/** Emits each value in each of these ways, and then changes it. */
function emitAndChange(io: Server | RedisStreamsEmitter, ways: Record<string, Emit>): void {
  for (const [way, emit] of Object.entries(ways)) {
    for (const [name, make] of Object.entries(VALUES)) {
      const { value, buffer } = make();
      const [plain, list] = [{ count: 1 }, [1]];
      emit(io as Server, 'event', way, name, value, plain, list);
      new Uint8Array(buffer).fill(255);
      plain.count = 2;
      list.push(2);
    }
  }
}

/** What of these events has another value than it had at the call. */
function changed(received: unknown[][]): unknown[][] {
  return received.filter(([name]) => name === 'event').filter((event) => /255|count":2|\[1,2\]\]$/.test(textOf(event)));
}

function textOf(event: unknown[]): string {
  return JSON.stringify(event.slice(3), (_key, value: unknown) =>
    value instanceof ArrayBuffer ? [...new Uint8Array(value)] : value,
  );
}

describe.each(['local-first', 'log'] as const)('What is changed after it was emitted (%s)', (ordering) => {
  test('is on all other nodes, and to clients that are recovered, what it was at the call', async () => {
    const redis = await RedisServer.start();
    const proxy = await TcpProxy.start(redis.port);
    const sender = await Member.start({ port: proxy.port, client: false, adapter: { ordering }, server });
    const receiver = await Member.start({ port: redis.port, client: false, adapter: { ordering }, server });
    for (const { io } of [sender, receiver]) io.on('connection', (socket) => void socket.join('room'));
    const [own, remote, away] = await Promise.all(
      [sender, receiver, receiver].map(async ({ url }) => closeAfterwards(await TestClient.connect(url))),
    );
    sender.io.emit('begin');
    await Promise.all([own!, remote!, away!].map((client) => client.receives(1)));
    away!.cut();
    await until(() => receiver.io.sockets.sockets.size === 1, { what: 'a client to be away' });
    const client = new Redis({ port: proxy.port, host: '127.0.0.1' });
    client.on('error', () => undefined);
    closeAfterwards({ close: () => client.disconnect() });
    const emitter = closeAfterwards(new RedisStreamsEmitter(client));

    const asking: Record<string, Emit> = {
      'with acknowledgements': (io, ...event) => (io as Server).timeout(5_000).emit(...event, () => undefined),
    };
    emitAndChange(sender.io, { ...WAYS, ...asking });
    emitAndChange(emitter, WAYS);
    proxy.blackhole();
    emitAndChange(sender.io, WAYS);
    emitAndChange(emitter, WAYS);
    proxy.heal();
    sender.io.emit('end');

    const hasAll = (one: TestClient, ways: number): boolean =>
      one.argumentsOf('event').length >= ways * Object.keys(VALUES).length && one.argumentsOf('end').length === 1;
    await until(() => [own!, remote!].every((one) => hasAll(one, 13)), { what: 'all events', timeout: 20_000 });
    expect(await away!.reconnect(sender.url)).toBe(true);
    await until(() => hasAll(away!, 12), { what: 'all that was missed' });
    expect(changed(remote!.received)).toEqual([]);
    expect(changed(away!.received)).toEqual([]);
  }, 60_000);
});

describe('What waits for the own node in the ordering "log"', () => {
  test('is done as it was at the call: rooms that are joined, the target, and the bytes that are emitted', async () => {
    const redis = await RedisServer.start();
    const { io, url } = await Member.start({ port: redis.port, client: false, adapter: { ordering: 'log' } });
    const client = closeAfterwards(await TestClient.connect(url));
    const [rooms, target, bytes] = [['joined'], new Set(['joined']), Buffer.from([1, 2, 3])];
    io.emit('before'); // what is local waits until this has been read back
    io.local.socketsJoin(rooms);
    io.of('/').adapter.broadcast(
      { type: 2, data: ['event', bytes], nsp: '/' },
      {
        ...{ rooms: target, except: new Set(), flags: { local: true } },
      },
    );
    rooms[0] = 'another';
    target.clear();
    target.add('another');
    bytes.fill(255);
    expect((await client.receives(2))[1]).toEqual(['event', Buffer.from([1, 2, 3])]);
    expect(io.of('/').adapter.rooms.has('joined')).toBe(true);
  });
});

describe('What is computed when it is sent', () => {
  test('is the same for the clients of all nodes', async () => {
    const redis = await RedisServer.start();
    const members = [
      await Member.start({ port: redis.port, client: false, server }),
      await Member.start({ port: redis.port, client: false, server }),
    ];
    const clients = await Promise.all(members.map(async ({ url }) => closeAfterwards(await TestClient.connect(url))));
    let count = 0;
    const next = { toJSON: () => ++count };
    const { io } = members[0]!;
    io.emit(
      'event',
      next,
      {
        get count() {
          return ++count;
        },
      },
      'x'.repeat(2_000),
    );
    io.emit('event', next);
    const [own, remote] = await Promise.all(clients.map((client) => client.receives(2)));
    expect(remote).toEqual(own);
  });
});
