import { beforeAll, describe, expect, test } from '@jest/globals';
import { RedisStreamsEmitter } from '../../lib/emitter/index.js';
import { closeAfterwards, Member, RedisServer, until } from '../kit/index.js';
import { startDeployment, type Deployment } from '../kit/deployment.js';
import { openRedisClient, type RedisClientKind } from '../kit/redis-client.js';
import { SocketServer } from '../kit/socket-server.js';
import { TestClient } from '../kit/test-client.js';

const CLIENTS = ['ioredis 5', 'ioredis 6', 'iovalkey', 'redis 4', 'redis 5', 'redis 6'] as const;
/** What means something to Redis, to a cluster, to our names of keys and channels, or to a parser of its replies. */
const ODD = 'ünï😀 a:b##{c}{}*?[d]\0\r\n%23%,"\\\u2028\ufeffu\u0308__proto__';
/** Rooms, and names of events, that are odd each in its own way. */
const ROOMS = [
  ...[ODD, '', ' ', ':', '#', '{}', '{a', '*', '?', '[a]', '\0', '\r\n', '__proto__', 'constructor', '%00', ',', '"'],
  ...['\u2028', '\ufeff', 'ü', 'u\u0308', '😀', 'half a pair \ud800', '\udc00', 'x'.repeat(100_000)],
];
const OPTIONS = { heartbeatInterval: 300, heartbeatTimeout: 3_000, blockTimeInMs: 200 };
const server = { connectionStateRecovery: { maxDisconnectionDuration: 60_000 } };

/** What came, by the number of its room. */
const numbersOf = (client: TestClient, event: string): unknown[] => client.argumentsOf(event).map(([i]) => i);
const all = ROOMS.map((_, i) => i);

describe.each(['single', 'cluster'] as const)('Odd names of streams, channels, sessions and rooms (%s)', (topology) => {
  let deployment: Deployment;
  beforeAll(async () => {
    deployment = await startDeployment('Redis', topology);
  }, 60_000);

  test.each(CLIENTS.flatMap((client) => [false, true].map((sharded) => [client, sharded] as const)))(
    'are names like others, with %s (sharded PUB/SUB: %s)',
    async (client: RedisClientKind, useShardedPubSub) => {
      const names = { streamName: `${client}${useShardedPubSub}${ODD}`, channelPrefix: ODD, sessionKeyPrefix: ODD };
      const options = { ...OPTIONS, ...names, streamCount: 2, useShardedPubSub };
      const settings = { adapter: 'ours' as const, client, address: deployment.address, options, server };
      const servers = await Promise.all([0, 1].map(() => SocketServer.start(settings)));
      servers.forEach((one) => closeAfterwards(one));
      const [a, b] = servers as [SocketServer, SocketServer];
      await until(async () => (await a.io.of('/').adapter.serverCount()) === 2, { what: 'both servers' });
      const connect = async ({ url }: SocketServer) =>
        closeAfterwards(await TestClient.connect(url, { rooms: ROOMS, answer: 1 }));
      const [own, remote] = await Promise.all([connect(a), connect(b)]);

      ROOMS.forEach((room, i) => {
        a.io.to(room).emit('to', i);
        a.io.to(room).emit('binary', i, Buffer.from('a'));
        a.io.except(room).emit('except', i);
        if (room !== '') a.io.emit(room, 'named');
      });
      const redis = await openRedisClient(client, deployment.address);
      const emitter = new RedisStreamsEmitter(redis.client, options);
      ROOMS.forEach((room, i) => emitter.to(room).emit('emitter', i));
      await emitter.close();
      await redis.close();
      for (const room of ROOMS) {
        expect(await a.io.to(room).timeout(3_000).emitWithAck('ask')).toEqual([1, 1]);
        expect(await a.io.in(room).fetchSockets()).toHaveLength(2);
      }
      await until(() => [own, remote].every((one) => numbersOf(one, 'emitter').length === ROOMS.length), {
        what: 'the events of the emitter',
      });
      for (const one of [own, remote]) {
        expect(['to', 'binary', 'except', 'emitter'].map((event) => numbersOf(one, event))).toEqual([
          all,
          all,
          [],
          all,
        ]);
        const named = one.received.filter(([, value]) => value === 'named').map(([event]) => event);
        expect(named).toEqual(ROOMS.filter((room) => room !== ''));
      }

      own.cut();
      await until(() => a.io.sockets.sockets.size === 0, { what: 'the client to be away' });
      ROOMS.forEach((room, i) => b.io.to(room).emit('missed', i));
      expect(await own.reconnect(b.url)).toBe(true);
      await until(() => numbersOf(own, 'missed').length === ROOMS.length, { what: 'what it missed' });
      const told = servers
        .flatMap(({ events }) => events)
        .filter(({ type }) => /reject|gap|refused|left-out/.test(type));
      expect(told).toEqual([]);
    },
    30_000,
  );
});

test('A key prefix that is odd stands before all names, and sets its application apart', async () => {
  const redis = await RedisServer.start();
  const start = (keyPrefix: string) => Member.start({ port: redis.port, redis: { keyPrefix }, server });
  const [a, b, other] = await Promise.all([start(ODD), start(ODD), start(`${ODD}#`)]);
  await until(async () => (await a.io.of('/').adapter.serverCount()) === 2, { what: 'both servers' });
  other.io.emit('msg', 'of another application');
  a.io.emit('msg', 1);
  await until(() => [a, b, other].every(({ received }) => received.length === 1), { what: 'the messages' });
  a.io.volatile.emit('msg', 2);
  await until(() => b.received.length === 2, { what: 'the volatile one' });
  expect([a.received, b.received, other.received]).toEqual([[1, 2], [1, 2], ['of another application']]);
  expect(await a.io.fetchSockets()).toHaveLength(2);
  expect(await redis.command('EXISTS', `${ODD}socket.io`, `${ODD}#socket.io`)).toBe(2);
});
