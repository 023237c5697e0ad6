import { beforeEach, expect, test } from '@jest/globals';
import { RedisServer, RespClient, TcpProxy, until } from './index.js';

let server: RedisServer;
let proxy: TcpProxy;

beforeEach(async () => {
  server = await RedisServer.start();
  proxy = await TcpProxy.start(server.port);
});

const stillWaiting = async (reply: Promise<unknown>, ms = 100): Promise<boolean> =>
  (await Promise.race([reply, new Promise((resolve) => setTimeout(resolve, ms, 'waiting'))])) === 'waiting';

test('passes bytes on and counts them', async () => {
  const client = await RespClient.connect(proxy.port);
  expect(await client.command('PING')).toBe('PONG');
  expect(proxy.bytes).toEqual({ toServer: '*1\r\n$4\r\nPING\r\n'.length, toClient: '+PONG\r\n'.length });
  expect(proxy.connections).toBe(1);
  client.close();
  await until(() => proxy.connections === 0, { what: 'the connection to end' });
  await until(async () => (await server.clients()).length === 0, { what: 'the server to see its end' });
});

test('cuts all connections and lets new ones through', async () => {
  const client = await RespClient.connect(proxy.port);
  const reply = client.command('XREAD', 'BLOCK', 0, 'STREAMS', 's', '$');
  await until(async () => (await server.clients()).length === 1, { what: 'the connection to reach the server' });
  proxy.cut();
  await expect(reply).rejects.toThrow('XREAD got no reply');
  const again = await RespClient.connect(proxy.port);
  expect(await again.command('PING')).toBe('PONG');
  again.close();
});

test('refuses new connections and keeps open ones, until it accepts again', async () => {
  const client = await RespClient.connect(proxy.port);
  proxy.refuse();
  await expect(RespClient.connect(proxy.port)).rejects.toThrow('ECONNREFUSED');
  expect(await client.command('PING')).toBe('PONG');
  await proxy.accept();
  const again = await RespClient.connect(proxy.port);
  expect(await again.command('PING')).toBe('PONG');
  again.close();
  client.close();
});

test('strands the connections that sent a text, and no others', async () => {
  const [named, other] = [await RespClient.connect(proxy.port), await RespClient.connect(proxy.port)];
  await named.command('CLIENT', 'SETNAME', 'lonely');
  expect(proxy.strand('lonely')).toBe(1);
  const reply = named.command('PING');
  expect(await other.command('PING')).toBe('PONG');
  expect(await stillWaiting(reply)).toBe(true);
  expect(await (await RespClient.connect(proxy.port)).command('PING')).toBe('PONG');
  expect((await server.clients()).map(({ name }) => name)).toContain('lonely');
  proxy.heal();
  expect(await reply).toBe('PONG');
});

test('holds everything back as a black hole, and delivers it when healed', async () => {
  const client = await RespClient.connect(proxy.port);
  proxy.blackhole();
  const reply = client.command('PING');
  const newcomer = await RespClient.connect(proxy.port);
  expect(await stillWaiting(reply)).toBe(true);
  expect(await stillWaiting(newcomer.command('PING'))).toBe(true);
  proxy.heal();
  expect(await reply).toBe('PONG');
  client.close();
  newcomer.close();
});

test('holds back one direction only', async () => {
  const client = await RespClient.connect(proxy.port);
  proxy.blackhole('toClient');
  const reply = client.command('SET', 'key', 'value');
  await until(async () => (await server.command('GET', 'key')) === 'value', { what: 'the request to arrive' });
  expect(await stillWaiting(reply)).toBe(true);
  proxy.heal();
  expect(await reply).toBe('OK');
  client.close();
});

test('swallows replies until it is cut', async () => {
  const client = await RespClient.connect(proxy.port);
  proxy.swallowReplies();
  const reply = client.command('INCR', 'count');
  await until(async () => (await server.command('GET', 'count')) === '1', { what: 'the request to arrive' });
  proxy.cut();
  await expect(reply).rejects.toThrow('INCR got no reply');
  const again = await RespClient.connect(proxy.port);
  expect(await again.command('GET', 'count')).toBe('1');
  again.close();
});

test('loses the reply to one command, which the server has executed', async () => {
  const [client, bystander] = await Promise.all([RespClient.connect(proxy.port), RespClient.connect(proxy.port)]);
  const lost = proxy.loseReplyTo('XADD');
  expect(await client.command('PING')).toBe('PONG');
  await expect(client.command('XADD', 's', '*', 'a', 'b')).rejects.toThrow('XADD got no reply');
  await lost;
  expect(await bystander.command('XADD', 's', '*', 'a', 'b')).toMatch(/^\d+-\d+$/);
  expect(await server.command('XLEN', 's')).toBe(2);
  bystander.close();
});

test('delays both ways', async () => {
  const client = await RespClient.connect(proxy.port);
  proxy.latency(50);
  const start = performance.now();
  await client.command('PING');
  expect(performance.now() - start).toBeGreaterThanOrEqual(99);
  client.close();
});

test('leads new connections to another server', async () => {
  const other = await RedisServer.start();
  await other.command('SET', 'key', 'other');
  proxy.target(other.port);
  const client = await RespClient.connect(proxy.port);
  expect(await client.command('GET', 'key')).toBe('other');
  client.close();
});
