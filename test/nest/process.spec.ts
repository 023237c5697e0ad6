import { expect, test } from '@jest/globals';
import { RedisStreamsAdapterModule, RedisStreamsMonitor } from 'nestjs-redis-streams-adapter';
import { freePort, NodeProcess, RedisServer, until } from '../kit/index.js';
import { connect, FAST, init } from './nest-app.js';

const start = (url: string, startTimeout = 10_000) =>
  NodeProcess.start(new URL('chat-app.child.ts', import.meta.url), {
    options: { url, startTimeout },
    name: 'the application',
    startTimeout: 28_000,
  });

async function watch(redis: RedisServer) {
  const imports = [RedisStreamsAdapterModule.forRoot({ connection: { url: redis.url }, ...FAST })];
  return (await init({ imports })).get(RedisStreamsMonitor);
}

test('a process ends by itself after app.close()', async () => {
  const redis = await RedisServer.start();
  const app = await start(redis.url);
  await connect(await app.call('port'));
  await app.call('close');
  expect(await app.release(2_000)).toEqual({ code: 0, signal: null });
  await redis.hasNoClients();
});

test('a signal closes the application: sockets are disconnected, sessions written, other nodes informed', async () => {
  const redis = await RedisServer.start();
  const monitor = await watch(redis);
  const app = await start(redis.url);
  const client = await connect(await app.call('port'), '/', { reconnection: false });
  await until(() => monitor.nodes[1]?.sockets === 1, { what: 'the node and its socket' });

  expect(await app.stop()).toEqual({ code: null, signal: 'SIGTERM' });
  await until(() => monitor.nodes[1]?.state === 'left', { what: 'the goodbye' });
  await until(() => client.disconnected, { what: 'the client to be cut off' });
  expect(await redis.command('KEYS', 'sio:session:*')).toHaveLength(1);
});

test('a killed process turns down', async () => {
  const redis = await RedisServer.start();
  const monitor = await watch(redis);
  const app = await start(redis.url);
  await until(() => monitor.nodes[1]?.state === 'up', { what: 'the node' });
  await app.kill();
  await until(() => monitor.nodes[1]?.state === 'down', { what: 'the node to be down' });
  expect(monitor.nodes[1]).toMatchObject({ pid: app.pid, self: false });
});

test('a process that cannot reach Redis ends with the reason', async () => {
  const url = `redis://127.0.0.1:${await freePort()}`;
  await expect(start(url, 500)).rejects.toThrow(/Redis cannot be used after 500 ms \(startTimeout\).*ECONNREFUSED/s);
});
