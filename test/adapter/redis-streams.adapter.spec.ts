import { beforeEach, describe, expect, test } from '@jest/globals';
import { encode } from '@msgpack/msgpack';
import { allReceived, closeAfterwards, LocalServer, Member, RedisServer, until } from '../kit/index.js';

describe('RedisStreamsAdapter', () => {
  let redis: RedisServer;
  beforeEach(async () => {
    redis = await RedisServer.start();
  });

  const start = (options: object = {}): Promise<Member> => Member.start({ port: redis.port, ...options });
  const length = async (): Promise<number> => Number(await redis.command('XLEN', 'socket.io'));
  const roomsOf = ({ io, socket }: Member): string[] => [...io.sockets.sockets.get(socket.id!)!.rooms].sort();

  test('appends one entry for each call that others may be meant by, and none for others', async () => {
    const [a, b] = [await start(), await start()];
    a.io.emit('msg', 1);
    a.io.to('nobody').emit('msg', 2);
    a.io.socketsJoin('room');
    a.io.in('room').disconnectSockets();
    await until(async () => (await length()) === 4, { what: 'four entries' });
    a.io.local.emit('msg', 3);
    a.io.to(undefined as never).emit('msg', 4);
    a.io.volatile.emit('msg', 5);
    await a.io.fetchSockets();
    a.io.serverSideEmit('event');
    b.io.emit('msg', 'last');
    await until(async () => (await length()) === 5, { what: 'the last entry' });
    expect(((await redis.command('XINFO', 'STREAM', 'socket.io')) as unknown[]).join()).toContain('entries-added,5');
  });

  test('does each thing once on each node: its own entries, read back, are for nobody here', async () => {
    const members = [await start(), await start()];
    members[0]!.io.emit('msg', 1);
    members[1]!.io.emit('msg', 2);
    await allReceived(members, 2);
    members[0]!.io.emit('msg', 'last');
    await allReceived(members, 3);
    await until(() => members.every(({ counters }) => counters.read === 3), { what: 'all to be read' });
    expect(members.map(({ received }) => [...received].sort())).toEqual([
      [1, 2, 'last'],
      [1, 2, 'last'],
    ]);
    expect(members.map(({ counters }) => [counters.delivered, counters.passedOver])).toEqual([
      [1, 2], // that of the other, and two of its own
      [2, 1],
    ]);
  });

  test('passes over entries that have no recipient here without decoding them, and counts what it cannot do', async () => {
    const node = await start();
    const add = (type: string, data: string, ...more: string[]): Promise<unknown> =>
      redis.command('XADD', 'socket.io', '*', 'uid', 'other', 'nsp', '/', 'type', type, 'data', data, ...more);
    await add('3', 'neither JSON nor MessagePack', 'rooms', '["nobody here"]');
    await add('3', 'neither JSON nor MessagePack');
    await add('42', '{}');
    await until(() => node.counters.read === 3, { what: 'the entries' });
    expect(node.counters).toMatchObject({ rejected: 2, delivered: 0 });
    expect(node.eventsOf('entry-rejected').map(({ reason }) => reason)).toEqual([
      expect.stringContaining('neither JSON nor base64 of MessagePack'),
      'the type 42 is not known to this version',
    ]);
  });

  test('does what another server has asked for by PUB/SUB, and rejects what is no request', async () => {
    const node = await start();
    const opts = { rooms: [], except: [], flags: {} };
    const say = (message: object): Promise<unknown> =>
      redis.command('PUBLISH', 'socket.io#/#', Buffer.from(encode(message)));
    await say({ uid: 'other', nsp: '/', type: 3, data: { packet: { type: 2, data: ['msg', 'volatile'] }, opts } });
    await allReceived([node], 1);
    await say({ uid: 'other', nsp: '/', type: 3, data: { packet: 'none', opts } });
    await until(() => node.eventsOf('message-rejected').length === 1, { what: 'the rejection' });
    expect(node.received).toEqual(['volatile']);
  });

  test.each(['local-first', 'log'] as const)(
    'does what is for its own sockets in the order of the code (ordering %s)',
    async (ordering) => {
      const [node, other] = [await start({ adapter: { ordering } }), await start({ adapter: { ordering } })];
      node.io.to('room').emit('msg', 'before');
      node.io.socketsJoin('room');
      node.io.to('room').emit('msg', 'in it');
      node.io.socketsLeave('room');
      node.io.to('room').emit('msg', 'after');
      node.io.local.emit('msg', 'only here');
      node.io.emit('msg', 'last');
      await allReceived([node], 3);
      await allReceived([other], 2);
      expect([node.received, other.received]).toEqual([
        ['in it', 'only here', 'last'],
        ['in it', 'last'],
      ]);
      expect(roomsOf(node)).toEqual([node.socket.id]);
    },
  );

  test('throws at the call what cannot be sent, and appends nothing', async () => {
    const node = await start();
    const circle: unknown[] = [];
    circle.push(circle);
    expect(() => node.io.emit('msg', circle)).toThrow(TypeError);
    expect(() => node.io.serverSideEmit('event', circle)).toThrow(TypeError);
    node.io.emit('msg', 'fine');
    await allReceived([node], 1);
    await until(async () => (await length()) === 1, { what: 'the one entry' });
  });

  test('that takes the place of another closes that one, and is closed once', async () => {
    const node = await start();
    const [first, second] = [node.node, await start()];
    node.io.adapter(second.factory as never);
    await until(() => first.status().state === 'closed', { what: 'the first node to be closed' });
    const adapter = node.io.of('/').adapter as unknown as { close(): Promise<void> };
    expect(adapter.close()).toBe(adapter.close());
    await adapter.close();
    expect(second.node.status().state).toBe('running'); // its own server has the namespace still
  });

  test('counts the servers that have its namespace, and gives broadcasts with acknowledgements two counts', async () => {
    const members = [await start(), await start(), await start()];
    members.forEach(({ socket }, i) => socket.on('ask', (answer: (n: number) => void) => answer(i)));
    const [a] = members as [Member];
    await until(async () => (await a.io.of('/').adapter.serverCount()) === 3, { what: 'all servers' });
    expect(((await a.io.timeout(2_000).emitWithAck('ask')) as number[]).sort()).toEqual([0, 1, 2]);
    expect(await a.io.of('/').adapter.serverCount()).toBe(3); // the counts were of that broadcast only
  });

  test('serves two servers of one node as it serves two nodes', async () => {
    const node = await start();
    const second = closeAfterwards(new LocalServer(node.factory));
    await second.listen();
    const other = await start();
    const got: unknown[] = [];
    second.io.on('connection', (socket) => socket.onAnyOutgoing((_name, value: unknown) => got.push(value)));
    const socket = node.connect();
    closeAfterwards({ close: () => socket.disconnect() });
    const direct = (await import('socket.io-client')).io(second.url, { transports: ['websocket'], forceNew: true });
    closeAfterwards({ close: () => direct.disconnect() });
    await until(() => direct.connected && second.io.sockets.sockets.size === 1, { what: 'a client of the second' });
    node.io.emit('msg', 1);
    second.io.emit('msg', 2);
    other.io.emit('msg', 3);
    await allReceived([node, other], 3);
    await until(() => got.length === 3, { what: 'all three' });
    expect([[...got].sort(), [...node.received].sort()]).toEqual([
      [1, 2, 3],
      [1, 2, 3],
    ]);
  });
});
