import { createServer } from 'node:net';
import { expect, jest, test } from '@jest/globals';
import { RedisServer, until } from '../kit/index.js';
import { Demo } from './demo.js';
import { descendants, running } from './processes.js';

jest.setTimeout(90_000);

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });

const state = async (demo: Demo, number: number): Promise<string | undefined> =>
  (await demo.processes()).find((node) => node.number === number)?.state;

test('Ctrl-C ends the front, the nodes and the Redis server', async () => {
  const demo = await Demo.start();
  const nodes = (await demo.processes()).flatMap(({ pids }) => pids);
  const children = descendants(demo.pid);
  expect(nodes).toHaveLength(3);
  expect(children).toEqual(expect.arrayContaining(nodes));
  expect(children.length).toBeGreaterThan(nodes.length); // Redis

  demo.interrupt();
  expect(await demo.exited).toEqual({ code: 0, signal: null });
  expect(running(children)).toEqual([]);
  expect(await isFree(demo.port)).toBe(true);
});

test('nothing outlives a demo that is killed', async () => {
  const demo = await Demo.start();
  const children = descendants(demo.pid);
  demo.kill();
  await until(() => running(children).length === 0, { what: 'the nodes and Redis to end' });
});

test('keys kill a node, start it again, and quit', async () => {
  const demo = await Demo.start();
  const [before] = await demo.processes();
  demo.press('1');
  await until(async () => (await state(demo, 1)) === 'stopped', { what: 'node 1 to be killed' });
  expect(running(before?.pids ?? [])).toEqual([]);
  demo.press('1');
  await until(async () => (await state(demo, 1)) === 'running', { what: 'node 1 to run', timeout: 20_000 });
  demo.press('q');
  expect(await demo.exited).toEqual({ code: 0, signal: null });
});

test('the front takes orders from its own page only', async () => {
  const demo = await Demo.start();
  const order = { method: 'POST', headers: { origin: 'http://elsewhere.example' } };
  expect((await fetch(`${demo.address}/demo/nodes/1/kill`, order)).status).toBe(403);
  expect(await state(demo, 1)).toBe('running');
});

test('health is up, down while Redis is away, and up again', async () => {
  const redis = await RedisServer.start();
  const demo = await Demo.start({ REDIS_URL: redis.url });
  const health = async (node: number): Promise<{ code: number; status: string }> => {
    const answer = await fetch(`${demo.address}/health?node=${node}`);
    const { details } = (await answer.json()) as { details: { 'redis-streams': { status: string } } };
    return { code: answer.status, status: details['redis-streams'].status };
  };
  const allAre = async (code: number, status: string): Promise<void> => {
    for (const node of [1, 2, 3]) {
      await until(async () => (await health(node)).code === code, {
        what: `node ${node} to be ${status}`,
        timeout: 20_000,
      });
      expect(await health(node)).toEqual({ code, status });
    }
  };

  await allAre(200, 'up');
  await redis.stop();
  await allAre(503, 'down');
  await redis.restart();
  await allAre(200, 'up');
  expect((await demo.processes()).flatMap(({ pids }) => pids)).toHaveLength(3); // the same processes all the time
});
