import { describe, expect, test } from '@jest/globals';
import { existsSync } from 'node:fs';
import { RedisServer, RespClient, servers, until } from './index.js';

const implementations: [string, () => string][] = [
  ['Redis', servers.redis],
  ['Valkey', servers.valkey],
];

describe.each(implementations)('a server of %s', (_name, binary) => {
  test('answers commands on a port of its own', async () => {
    const [one, two] = await Promise.all([
      RedisServer.start({ binary: binary() }),
      RedisServer.start({ binary: binary() }),
    ]);
    expect(one.port).not.toBe(two.port);
    await one.command('SET', 'key', 'grüße');
    expect(await one.command('GET', 'key')).toBe('grüße');
    expect(await two.command('GET', 'key')).toBeNull();
    expect(await one.command('XADD', 's', '1-1', 'a', 'b')).toBe('1-1');
    expect(await one.command('XRANGE', 's', '-', '+')).toEqual([['1-1', ['a', 'b']]]);
    await expect(one.command('NONSENSE')).rejects.toThrow('unknown command');
  });

  test('keeps what is in its append-only file over a kill', async () => {
    const server = await RedisServer.start({ binary: binary(), appendonly: true });
    await server.command('SET', 'key', 'value');
    const { port } = server;
    await server.kill();
    expect(server.isRunning).toBe(false);
    await expect(server.command('PING')).rejects.toThrow('is not running');
    await server.restart();
    expect(server.port).toBe(port);
    expect(await server.command('GET', 'key')).toBe('value');
  });
});

test('a server without an append-only file forgets', async () => {
  const server = await RedisServer.start();
  await server.command('SET', 'key', 'value');
  await server.restart();
  expect(await server.command('GET', 'key')).toBeNull();
});

test('a paused server is silent until it is resumed', async () => {
  const server = await RedisServer.start();
  server.pause();
  let answered = false;
  const ping = server.command('PING').then((reply) => ((answered = true), reply));
  const probe = await new Promise((resolve) => setTimeout(resolve, 100));
  expect([probe, answered]).toEqual([undefined, false]);
  server.resume();
  expect(await ping).toBe('PONG');
});

test('a server lists and kills the connections that are chosen', async () => {
  const server = await RedisServer.start({ users: { alice: 'on >secret ~* &* +@all' } });
  const alice = await RespClient.connect(server.port, { username: 'alice', password: 'secret' });
  const reader = await RespClient.connect(server.port);
  const reading = reader.command('XREAD', 'BLOCK', 0, 'STREAMS', 's', '$');
  await until(async () => (await server.clients()).some(({ cmd }) => cmd === 'xread'), { what: 'the reader to block' });
  expect((await server.clients()).map(({ user }) => user).sort()).toEqual(['alice', 'default']);
  expect(await server.killClients(({ cmd }) => cmd === 'xread')).toBe(1);
  await expect(reading).rejects.toThrow('The connection was closed');
  expect(await alice.command('PING')).toBe('PONG');
  alice.close();
});

test('a server asks the default user for its password', async () => {
  const server = await RedisServer.start({ password: 'open sesame'.replace(' ', '-') });
  expect(server.url).toBe(`redis://:open-sesame@127.0.0.1:${server.port}`);
  const stranger = await RespClient.connect(server.port);
  await expect(stranger.command('PING')).rejects.toThrow('NOAUTH');
  stranger.close();
});

test('a server refuses to exceed its memory', async () => {
  const server = await RedisServer.start({ maxmemory: '1mb' });
  await expect(
    server.command('SET', 'key', 'x'.repeat(2_000_000)).then(() => server.command('SET', 'more', 'x')),
  ).rejects.toThrow('OOM');
});

test('a replica follows its master', async () => {
  const master = await RedisServer.start({ password: 'secret' });
  const replica = await RedisServer.start({ replicaOf: master });
  await replica.inSync();
  await master.command('SET', 'key', 'value');
  await until(async () => (await replica.command('GET', 'key')) === 'value', { what: 'the key to be replicated' });
});

test('a server that cannot start says why', async () => {
  await expect(RedisServer.start({ config: ['no-such-option yes'] })).rejects.toThrow('no-such-option');
});

test('a closed server leaves neither process nor folder', async () => {
  const server = await RedisServer.start();
  const { pid = 0 } = server;
  const [, dir = ''] = (await server.command('CONFIG', 'GET', 'dir')) as string[];
  expect(existsSync(dir)).toBe(true);
  await server.close();
  expect(existsSync(dir)).toBe(false);
  expect(() => process.kill(pid, 0)).toThrow('ESRCH');
});
