import { describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { MessageTooLargeError } from '../../lib/adapter/index.js';
import { RedisStreamsEmitter, type RedisStreamsEmitterEvent } from '../../lib/emitter/index.js';
import { allReceived, closeAfterwards, Member, numbers, RedisServer, TcpProxy, until } from '../kit/index.js';

describe('a message that Redis refuses because of itself', () => {
  test('is found in its batch, dropped and reported, and all others are received in order', async () => {
    const redis = await RedisServer.start({ config: ['proto-max-bulk-len 1mb'] });
    const [sender, receiver] = [await Member.start({ port: redis.port }), await Member.start({ port: redis.port })];
    for (const i of numbers(100)) {
      if (i === 30 || i === 60) sender.io.emit('upload', 'x'.repeat(2 * 1024 * 1024));
      sender.io.emit('msg', i);
    }
    await allReceived([receiver], 100);
    expect(receiver.received).toEqual(numbers(100));
    const refused = sender.eventsOf('message-refused');
    expect(refused).toMatchObject([
      { message: 'the event "upload"', namespace: '/' },
      { message: 'the event "upload"', namespace: '/' },
    ]);
    expect(receiver.eventsOf('gap').every((gap) => 'reason' in gap && gap.reason === 'dropped')).toBe(true);
    expect(sender.counters).toMatchObject({ dropped: 2 });
    await until(() => sender.node.status().reasons.length === 0, { what: 'the sender to be well' });
    sender.io.emit('msg', 101);
    await allReceived([receiver], 101);
    expect(receiver.counters).toMatchObject({ lost: 0 });
  }, 60_000);

  test('fails at the call when it is larger than maxMessageBytes, and nothing else is affected', async () => {
    const redis = await RedisServer.start();
    const options = { maxMessageBytes: 100_000 };
    const [sender, receiver] = [
      await Member.start({ port: redis.port, adapter: options }),
      await Member.start({ port: redis.port }),
    ];
    sender.io.emit('msg', 1);
    for (const text of ['x'.repeat(100_000), '☃'.repeat(40_000)]) {
      expect(() => sender.io.emit('upload', text)).toThrow(MessageTooLargeError);
      expect(() => sender.io.emit('upload', text)).toThrow(/"upload".* bytes, and maxMessageBytes is 100000/);
    }
    sender.io.emit('upload', '☃'.repeat(30_000)); // 90,000 bytes
    sender.io.emit('msg', 2);
    await allReceived([receiver], 2);
    expect(sender.counters.appended).toBe(3);
  });

  test('fails likewise if it goes by PUB/SUB: volatile, acknowledged, to servers, from an emitter', async () => {
    const redis = await RedisServer.start();
    const options = { maxMessageBytes: 10_000 };
    const [sender, receiver] = [
      await Member.start({ port: redis.port, adapter: options }),
      await Member.start({ port: redis.port, adapter: options }),
    ];
    const client = new Redis({ port: redis.port, host: '127.0.0.1' });
    closeAfterwards({ close: () => client.disconnect() });
    const emitter = closeAfterwards(new RedisStreamsEmitter(client, options));
    const { io } = sender;
    emitter.emit('msg', 'first'); // before it is connected, what is volatile is lost
    await allReceived([receiver], 1);
    const [fits, exceeds] = ['x'.repeat(9_000), 'x'.repeat(11_000)];
    const calls: ((text: string) => unknown)[] = [
      (text) => io.volatile.emit('msg', text),
      (text) => io.timeout(1_000).emit('msg', text, () => undefined),
      (text) => io.serverSideEmit('msg', text),
      (text) => io.serverSideEmit('msg', text, () => undefined),
      (text) => emitter.emit('msg', text),
      (text) => emitter.volatile.emit('msg', text),
      (text) => emitter.serverSideEmit('msg', text),
    ];
    for (const call of calls) {
      expect(() => call(exceeds)).toThrow(MessageTooLargeError);
      expect(() => call(exceeds)).toThrow(/"msg".* bytes, and maxMessageBytes is 10000/);
      expect(() => call(fits)).not.toThrow();
    }
    await expect(io.timeout(1_000).emitWithAck('msg', exceeds)).rejects.toThrow(MessageTooLargeError);
    await allReceived([receiver], 3); // the others are volatile
    for (const one of [...receiver.received.slice(1), ...sender.received.slice(1)]) expect(one).toBe(fits);
  });

  test('is not what an outage is taken for: a large one is kept however often the connection is cut', async () => {
    const redis = await RedisServer.start();
    const proxy = await TcpProxy.start(redis.port);
    const [sender, receiver] = [await Member.start({ port: proxy.port }), await Member.start({ port: redis.port })];
    proxy.blackhole('toServer');
    sender.io.emit('upload', 'x'.repeat(1024 * 1024));
    sender.io.emit('msg', 1);
    for (let i = 0; i < 8; i++) {
      proxy.cut();
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    proxy.heal();
    await allReceived([receiver], 1);
    expect([sender.counters.dropped, sender.counters.appended]).toEqual([0, 2]);
  }, 60_000);
});

describe('a user who may not use transactions, of a server that is not checked', () => {
  test('appends one by one, each once and in order', async () => {
    const redis = await RedisServer.start({ users: { app: 'on >secret ~* &* +@all -multi' } });
    const login = { username: 'app', password: 'secret' };
    const [sender, receiver] = [
      await Member.start({ port: redis.port, redis: login, adapter: { skipServerCheck: true } }),
      await Member.start({ port: redis.port }),
    ];
    for (const i of numbers(300)) sender.io.emit('msg', i);
    await allReceived([receiver], 300);
    expect(receiver.received).toEqual(numbers(300));
    expect(receiver.counters.lost).toBe(0);
    await until(() => sender.node.status().streams[0]!.outbox.entries === 0, { what: 'all to be appended' });
    // What the first try has appended is in the stream twice; nothing else is.
    const length = Number(await redis.command('XLEN', 'socket.io'));
    expect(length).toBeLessThanOrEqual(600);
    for (const i of numbers(300)) sender.io.emit('msg', 300 + i);
    await allReceived([receiver], 600);
    expect(Number(await redis.command('XLEN', 'socket.io'))).toBe(length + 300);
  }, 60_000);
});

describe('an answer that Redis refuses because of its size', () => {
  const large = 'x'.repeat(2 * 1024 * 1024);

  async function twoNodes(): Promise<{ asking: Member; answering: Member; connections: () => Promise<number> }> {
    const redis = await RedisServer.start({ config: ['proto-max-bulk-len 1mb'] });
    const options = { port: redis.port, server: { maxHttpBufferSize: 10 * 1024 * 1024 } };
    const [asking, answering] = [await Member.start(options), await Member.start(options)];
    const connections = async (): Promise<number> => Number((await redis.info('stats'))['total_connections_received']);
    return { asking, answering, connections };
  }

  test('to fetchSockets comes in pieces, with all data of all sockets, and costs one connection', async () => {
    const { asking, answering, connections } = await twoNodes();
    for (let i = 0; i < 3; i++) closeAfterwards(answering.connect());
    await until(() => answering.io.sockets.sockets.size === 4, { what: 'the clients to be connected' });
    const [first, ...others] = [...answering.io.sockets.sockets.values()];
    first!.data = { large };
    others.forEach((socket, i) => (socket.data = { i }));
    const before = await connections();

    for (let i = 0; i < 3; i++) {
      const sockets = await asking.io.fetchSockets();
      const data = new Map(sockets.map((socket) => [socket.id, socket.data as unknown]));
      expect(data.size).toBe(5);
      expect(data.get(first!.id)).toEqual({ large });
      expect(others.map(({ id }) => data.get(id))).toEqual([{ i: 0 }, { i: 1 }, { i: 2 }]);
    }
    expect((await connections()) - before).toBeLessThanOrEqual(2);
    expect(answering.eventsOf('data-left-out')).toEqual([]);
  });

  test('is given whole if the connection was lost meanwhile for another reason', async () => {
    const redis = await RedisServer.start();
    const proxy = await TcpProxy.start(redis.port);
    const [asking, answering] = [await Member.start({ port: redis.port }), await Member.start({ port: proxy.port })];
    const [socket] = [...answering.io.sockets.sockets.values()];
    socket!.data = { text: 'needle'.repeat(100_000) };
    answering.io.on('question', (answer: (value: unknown) => void) => answer(socket!.data));

    const lost = proxy.loseReplyTo('needle');
    const sockets = await asking.io.fetchSockets();
    await lost;
    const sentTwice = (): boolean => proxy.bytes.toServer > 2 * 600_000; // or both losses would be of one message
    await until(sentTwice, { what: 'the answer to be sent again' });
    const alsoLost = proxy.loseReplyTo('needle');
    expect(await asking.io.serverSideEmitWithAck('question')).toEqual([socket!.data]);
    await alsoLost;

    expect(sockets).toHaveLength(2);
    expect(sockets.find(({ id }) => id === socket!.id)?.data).toEqual(socket!.data);
    expect(answering.eventsOf('data-left-out')).toEqual([]);
  });

  test('to serverSideEmit comes in pieces, at once', async () => {
    const { asking, answering, connections } = await twoNodes();
    const value = { large, bytes: Buffer.alloc(10_000, 'ab') };
    answering.io.on('question', (answer: (value: unknown) => void) => answer(value));
    const before = await connections();
    const since = performance.now();

    for (let i = 0; i < 3; i++) expect(await asking.io.serverSideEmitWithAck('question')).toEqual([value]);
    expect(performance.now() - since).toBeLessThan(4_000); // one that is not answered takes 5 s
    expect((await connections()) - before).toBeLessThanOrEqual(2);
  });

  test('of clients, to a broadcast or to one socket, comes in pieces, at once', async () => {
    const { asking, answering } = await twoNodes();
    const [all, odd] = [asking.connect(), answering.connect()];
    [all, odd].forEach((socket) => closeAfterwards(socket));
    for (const socket of [asking.socket, answering.socket, all]) {
      socket.on('question', (answer: (value: unknown) => void) => answer('fits'));
    }
    odd.on('question', (answer: (value: unknown) => void) => answer(large));
    await until(() => all.connected && odd.connected, { what: 'the clients to be connected' });
    const answers = (await asking.io.timeout(4_000).emitWithAck('question')) as string[];
    expect(answers.sort()).toEqual(['fits', 'fits', 'fits', large].sort());
    const [remote] = await asking.io.in(odd.id!).fetchSockets();
    expect(await remote!.timeout(4_000).emitWithAck('question')).toBe(large);
    expect(answering.eventsOf('message-refused')).toEqual([]);
  });
});

describe('what goes by PUB/SUB and Redis refuses because of its size', () => {
  test.each<[string, (io: Member['io'], event: string, text: string) => void]>([
    ['a volatile event', (io, event, text) => io.volatile.emit(event, text)],
    [
      'an event that asks for acknowledgements',
      (io, event, text) => io.timeout(500).emit(event, text, () => undefined),
    ],
    ['an event for the servers', (io, event, text) => io.serverSideEmit(event, text)],
  ])('is reported once if nobody is told otherwise: %s', async (_what, emit) => {
    const redis = await RedisServer.start({ config: ['proto-max-bulk-len 1mb'] });
    const sender = await Member.start({ port: redis.port, client: false });
    await Member.start({ port: redis.port, client: false });
    const reported = (): unknown[] => sender.eventsOf('message-refused');
    await until(
      () => {
        emit(sender.io, 'large', 'x'.repeat(2 * 1024 * 1024));
        return reported().length > 0;
      },
      { what: 'the report', interval: 100 },
    );
    emit(sender.io, 'large', 'x'.repeat(2 * 1024 * 1024));
    expect(reported()).toMatchObject([{ message: 'the event "large"', namespace: '/', stream: 'socket.io' }]);
  });

  test('is reported once by an emitter, too', async () => {
    const redis = await RedisServer.start({ config: ['proto-max-bulk-len 1mb'] });
    const client = new Redis({ port: redis.port, host: '127.0.0.1' });
    closeAfterwards({ close: () => client.disconnect() });
    const events: RedisStreamsEmitterEvent[] = [];
    const emitter = closeAfterwards(new RedisStreamsEmitter(client, {}, (event) => events.push(event)));
    emitter.open();
    await until(
      () => {
        emitter.volatile.emit('large', 'x'.repeat(2 * 1024 * 1024));
        return events.length > 0;
      },
      { what: 'the report', interval: 100 },
    );
    emitter.volatile.emit('large', 'x'.repeat(2 * 1024 * 1024));
    await emitter.close();
    const refused = events.filter(({ type }) => type === 'message-refused'); // beside it, Redis closes the connection
    expect(refused).toMatchObject([{ message: 'the event "large"', namespace: '/' }]);
  });
});
