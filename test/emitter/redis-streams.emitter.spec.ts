import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { RedisStreamsEmitter } from '../../lib/emitter/index.js';
import { allReceived, Member, numbers, RedisServer, until } from '../kit/index.js';

let redis: RedisServer;
let members: Member[];
let client: Redis;
let emitter: RedisStreamsEmitter;

beforeEach(async () => {
  redis = await RedisServer.start({ appendonly: true });
  members = [await Member.start({ port: redis.port }), await Member.start({ port: redis.port })];
  client = new Redis(redis.port, { lazyConnect: true });
  client.on('error', () => undefined);
  emitter = new RedisStreamsEmitter(client);
});

afterEach(async () => {
  await emitter.close();
  client.disconnect();
});

test('a process that serves no sockets broadcasts to all, to rooms, with except, and with binary', async () => {
  const [a, b] = members as [Member, Member];
  a.io.socketsJoin('everybody');
  await until(() => b.io.sockets.adapter.rooms.has('everybody'), { what: 'the room' });
  await a.io.in([...b.io.sockets.sockets.keys()]).fetchSockets();
  b.io.local.socketsJoin('b');

  emitter.emit('msg', 'all');
  emitter.to('b').emit('msg', 'b only');
  emitter.to('everybody').except('b').emit('msg', 'a only');
  emitter.emit('msg', { binary: Buffer.from('x') });

  await until(() => a.received.length === 3 && b.received.length === 3, { what: 'all messages' });
  expect(a.received).toEqual(['all', 'a only', { binary: Buffer.from('x') }]);
  expect(b.received).toEqual(['all', 'b only', { binary: Buffer.from('x') }]);
  expect(client.status).toBe('wait'); // the client that was passed in is not used
});

test('it makes sockets join, leave and disconnect, and emits to servers', async () => {
  const [a, b] = members as [Member, Member];
  const heard: unknown[] = [];
  b.io.on('hello', (value) => heard.push(value));
  emitter.socketsJoin('room');
  await until(() => members.every(({ io }) => io.sockets.adapter.rooms.has('room')), { what: 'the room' });
  emitter.socketsLeave('room');
  await until(() => !members.some(({ io }) => io.sockets.adapter.rooms.has('room')), { what: 'the room to end' });
  await until(
    () => {
      emitter.serverSideEmit('hello', 'servers');
      return heard.length > 0;
    },
    { what: 'the server to hear it' },
  );
  expect(heard[0]).toBe('servers');
  emitter.disconnectSockets();
  await until(() => !a.socket.connected && !b.socket.connected, { what: 'the clients to be disconnected' });
});

test('what it broadcasts while Redis is away arrives in order when it is back', async () => {
  emitter.emit('msg', 0);
  await allReceived(members, 1);
  await redis.kill();
  for (const i of numbers(100)) {
    emitter.emit('msg', 1 + i);
  }
  await redis.restart();
  await allReceived(members, 101);
  for (const { received } of members) {
    expect(received).toEqual(numbers(101));
  }
});

test('several emitters do not get in each other’s way', async () => {
  const other = new RedisStreamsEmitter(client);
  emitter.emit('msg', 'one');
  await allReceived(members, 1);
  other.emit('msg', 'two');
  await allReceived(members, 2);
  emitter.emit('msg', 'three');
  await allReceived(members, 3);
  expect(members[0]!.received).toEqual(['one', 'two', 'three']);
  await other.close();
});

test('it refuses names of events that would close the connections of clients, or be taken for sockets', async () => {
  const names = ['connect', 'connect_error', 'disconnect', 'disconnecting', 'newListener', 'removeListener'];
  for (const name of names) {
    expect(() => emitter.emit(name)).toThrow(`"${name}" is a reserved event name`);
    expect(() => emitter.to('room').volatile.emit(name)).toThrow(`"${name}" is a reserved event name`);
  }
  for (const name of ['connect', 'connection', 'new_namespace']) {
    expect(() => emitter.serverSideEmit(name)).toThrow(`"${name}" is a reserved event name`);
  }
  for (const name of [undefined, null, Symbol('a'), {}] as unknown as string[]) {
    expect(() => emitter.emit(name)).toThrow('the name of an event is not a string');
  }
  emitter.emit('msg', 'after');
  await allReceived(members, 1);
  expect(members.map(({ received }) => received)).toEqual([['after'], ['after']]);
});

test('what it is given after it was closed, opened before or not, is counted as dropped, and reported once', async () => {
  for (const isOpened of [true, false]) {
    const events: string[] = [];
    const closed = new RedisStreamsEmitter(client, {}, ({ type }) => events.push(type));
    if (isOpened) closed.open();
    await closed.close();
    for (let i = 0; i < 3; i++) closed.emit('msg', i);
    closed.volatile.emit('msg', 1);
    closed.serverSideEmit('hello', 1);
    await closed.close();
    expect([events, closed.status()]).toMatchObject([
      ['outbox-dropped'],
      { state: 'closed', streams: [{ counters: { dropped: 3 } }] },
    ]);
  }
});

test('events for servers that wait in vain for the first connection are reported when it is closed', async () => {
  await redis.close();
  const events: unknown[] = [];
  const closed = new RedisStreamsEmitter(client, { closeTimeout: 100 }, (event) => events.push(event));
  for (let i = 0; i < 3; i++) closed.of('/chat').serverSideEmit('hello', i);
  await closed.close();
  expect(events).toEqual([{ type: 'outbox-dropped', stream: 'socket.io', reason: 'closed', dropped: 3 }]);
});

test('events for servers of an emitter that sends nothing are not reported, and do not delay its end', async () => {
  const events: unknown[] = [];
  const nowhere = new RedisStreamsEmitter(null, { closeTimeout: 5_000 }, (event) => events.push(event));
  nowhere.serverSideEmit('hello', 1);
  nowhere.volatile.emit('hello', 1);
  const since = performance.now();
  await nowhere.close();
  expect(performance.now() - since).toBeLessThan(1_000);
  expect(events).toEqual([]);
});

test.each(['log', {}, 5, true])('an onEvent that is no function is refused at once: %p', (onEvent) => {
  expect(() => new RedisStreamsEmitter(null, {}, onEvent as never)).toThrow(
    /^onEvent: .+ is not allowed\. Give a function that is called with each event\.$/,
  );
});

test('what is no name of a namespace is one without anybody, and an acknowledgement is refused', async () => {
  for (const nsp of [undefined, null, 5, {}, Symbol('nsp')] as unknown as string[]) {
    emitter.of(nsp).emit('msg', 'for nobody');
  }
  emitter.emit('msg', 'for all');
  await allReceived(members, 1);
  expect(members.map(({ received }) => received)).toEqual([['for all'], ['for all']]);
  for (const emit of [
    () => emitter.emit('msg', () => 1),
    () => emitter.to('room').volatile.emit('msg', 1, () => 1),
    () => emitter.serverSideEmit('msg', () => 1),
  ]) {
    expect(emit).toThrow(/"msg" asks for an acknowledgement/);
  }
});
