import { describe, expect, test } from '@jest/globals';
import { freePort, NodeProcess, RedisServer, TcpProxy, until } from '../kit/index.js';

type Outcome = { ms: number; error?: string; answers?: unknown };
type Outcomes = Record<'emit' | 'local' | 'emitWithAck' | 'serverCount' | 'fetchSockets' | 'serverSideEmit', Outcome>;

/** In processes of their own: an unhandled rejection ends one, and with it the test. */
const start = (port: number): Promise<NodeProcess> =>
  NodeProcess.start(new URL('./census.child.ts', import.meta.url), { options: { port } });

const ask = (node: NodeProcess): Promise<Outcomes> => node.call<Outcomes>('ask');

/** The only node that is known: its own answers are all. */
function expectOwn(outcomes: Outcomes, isReachable = false): void {
  expect(outcomes).toMatchObject({
    emit: { answers: ['own'] },
    local: { answers: ['own'] },
    emitWithAck: { answers: ['own'] },
    serverCount: { answers: 1 },
  });
  if (isReachable) {
    expect(outcomes).toMatchObject({ fetchSockets: { answers: 1 }, serverSideEmit: { answers: [] } });
    expect(Object.values(outcomes).filter(({ error }) => error !== undefined)).toEqual([]);
  } // else those that ask others may end with an error, for there may be some of whom nobody knows yet
  expect(outcomes.local.error).toBeUndefined();
  expectSoon(outcomes);
}

/** There is another node, which cannot be asked: own clients' answers, and an error. */
function expectOwnAndError(outcomes: Outcomes): void {
  expect(outcomes).toMatchObject({
    emit: { error: 'operation has timed out', answers: ['own'] },
    local: { answers: ['own'] },
    emitWithAck: { error: 'operation has timed out', answers: ['own'] },
    serverCount: { answers: 2 },
    fetchSockets: { error: expect.any(String) },
    serverSideEmit: { error: expect.any(String) },
  });
  expectSoon(outcomes);
}

function expectSoon(outcomes: Outcomes): void {
  const late = Object.entries(outcomes).filter(([, { ms }]) => ms > 6_500); // serverSideEmit's own time-out is 5 s
  expect(late).toEqual([]);
}

describe('the census of a namespace is never rejected, and what depends on it ends in time', () => {
  test('before the first connection, and when Redis comes', async () => {
    const port = await freePort();
    const node = await start(port);
    expectOwn(await ask(node));
    await RedisServer.start({ port });
    await until(async () => (await node.call('state')) === 'running', { what: 'the node to run' });
    expectOwn(await ask(node), true);
  });

  test('while Redis is away, and when it is back', async () => {
    const redis = await RedisServer.start({ appendonly: true });
    const [node, other] = [await start(redis.port), await start(redis.port)];
    await until(async () => (await node.call('nodes')) === 2, { what: 'the other' });
    await redis.kill();
    expectOwnAndError(await ask(node));
    await redis.restart();
    await until(async () => (await node.call('state')) === 'running', { what: 'the node to run' });
    await until(async () => (await other.call('state')) === 'running', { what: 'the other to run' });
    expect(await ask(node)).toMatchObject({
      emit: { answers: ['own', 'own'] },
      fetchSockets: { answers: 2 },
      serverSideEmit: { answers: ['server'] },
    });
  }, 60_000);

  test('while Redis does not answer', async () => {
    const redis = await RedisServer.start();
    const proxy = await TcpProxy.start(redis.port);
    const [node] = [await start(proxy.port), await start(redis.port)];
    await until(async () => (await node.call('nodes')) === 2, { what: 'the other' });
    proxy.blackhole();
    expectOwnAndError(await ask(node));
    proxy.heal();
    await until(async () => (await node.call('state')) === 'running', { what: 'the node to run', timeout: 20_000 });
    expect(await ask(node)).toMatchObject({ emit: { answers: ['own', 'own'] } });
  }, 60_000);

  test.each(['there', 'away'])(
    'while the node closes and when it is closed, with Redis %s',
    async (where) => {
      const redis = await RedisServer.start();
      const node = await start(redis.port);
      await until(async () => (await node.call('state')) === 'running', { what: 'the node to run' });
      if (where === 'away') {
        await redis.kill();
      }
      const [closing, closed] = await node.call<[Outcomes, Outcomes]>('askWhileClosing');
      expectOwn(closing);
      expectOwn(closed);
      await node.call('close');
    },
    60_000,
  );
});
