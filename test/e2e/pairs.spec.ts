import { describe, expect, test } from '@jest/globals';
import { closeAfterwards, Member, RedisServer, until } from '../kit/index.js';
import { LocalServer } from '../kit/local-server.js';
import { TestClient } from '../kit/test-client.js';

const connectionStateRecovery = { maxDisconnectionDuration: 60_000 };

describe('what a node says to one client of another', () => {
  test.each([
    ['log', true],
    ['log', false],
    ['local-first', true],
    ['local-first', false],
  ] as const)('arrives before what it asks it next (ordering %s, recovery %s)', async (ordering, isRecovering) => {
    const redis = await RedisServer.start();
    const options = { port: redis.port, client: false, adapter: { ordering } };
    const server = isRecovering ? { connectionStateRecovery } : {};
    const [a, b] = [await Member.start({ ...options, server }), await Member.start({ ...options, server })];
    b.io.on('connection', (socket) => {
      (socket.data as { told: number }).told = 0;
      socket.onAnyOutgoing((event) => event === 'tell' && (socket.data as { told: number }).told++);
    });
    const client = closeAfterwards(await TestClient.connect(b.url, { answer: 'yes' }));
    const [remote] = await a.io.fetchSockets();
    for (let round = 1; round <= 40; round++) {
      for (let i = 0; i < round % 3; i++) remote!.emit('tell', i);
      a.io.to(client.id).emit('tell', 'last');
      const asked = remote!.timeout(5_000).emitWithAck('ask');
      const described = a.io.in(client.id).fetchSockets();
      expect(await asked).toBe('yes');
      const told = client.argumentsOf('tell').length;
      expect((await described)[0]!.data).toEqual({ told });
    }
    const names = client.received.map(([name]) => name);
    const expected = Array.from({ length: 40 }, (_, i) => [...Array((i + 1) % 3).fill('tell'), 'tell', 'ask']).flat();
    expect(names).toEqual(expected);
  });
});

test('a listener that throws keeps nothing from another server of its process', async () => {
  const redis = await RedisServer.start();
  const options = { port: redis.port, client: false };
  const [a, b] = [await Member.start(options), await Member.start(options)];
  const second = closeAfterwards(new LocalServer(a.factory, {}));
  await second.listen();
  const urls = [a.url, second.url, b.url];
  const clients = await Promise.all(urls.map(async (url) => closeAfterwards(await TestClient.connect(url))));
  a.io.sockets.sockets.get(clients[0]!.id)!.on('disconnect', () => {
    throw new Error('of the application');
  });
  expect(() => a.io.disconnectSockets(true)).toThrow('of the application');
  await until(() => clients.every(({ socket }) => !socket.connected), { what: 'all to be disconnected' });
});

test('a question that is asked while another is sent has its answers, and so has the other', async () => {
  const redis = await RedisServer.start();
  const start = () => Member.start({ port: redis.port, client: false });
  const [a, b] = [await start(), await start(), await start()];
  const clients = await Promise.all(
    [a, b].map(async ({ url }) => closeAfterwards(await TestClient.connect(url, { answer: 'yes' }))),
  );
  let inner: Promise<unknown> | undefined;
  a.io.sockets.sockets.get(clients[0]!.id)!.onAnyOutgoing((event) => {
    if (event === 'outer') {
      inner = a.io.timeout(5_000).emitWithAck('inner');
    }
  });
  expect(await a.io.timeout(5_000).emitWithAck('outer')).toEqual(['yes', 'yes']);
  expect(await inner).toEqual(['yes', 'yes']);
});

test('what is said to the other servers while the node starts reaches them', async () => {
  const redis = await RedisServer.start();
  const b = await Member.start({ port: redis.port, client: false });
  const heard: unknown[] = [];
  b.io.on('hi', (value: unknown) => heard.push(value));
  const a = await Member.start({ port: redis.port, client: false, waitsForRedis: false });
  const value = { is: 'as at the call' };
  a.io.serverSideEmit('hi', value);
  value.is = 'later';
  await until(() => heard.length > 0, { what: 'the event' });
  expect(heard).toEqual([{ is: 'as at the call' }]);
});
