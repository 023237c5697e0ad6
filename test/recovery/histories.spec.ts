import { describe, expect, test } from '@jest/globals';
import { type Member, RedisServer, TcpProxy, until } from '../kit/index.js';
import { Gate, startNode } from './recovery-node.js';
import { receives, visit, type Visitor, visits } from './visitor.js';

/** A history of the stream in Redis: ids and fields. */
type Entries = [id: string, fields: string[]][];

const STREAM = 'socket.io';

async function read(redis: RedisServer): Promise<Entries> {
  return (await redis.command('XRANGE', STREAM, '-', '+')) as Entries;
}

/**
 * An entry with a message to a room, or to all.
 *
 * @param by - a number among the entries of the node that sent an entry, if it is of ours
 */
function message(
  id: string,
  value: unknown,
  rooms: string[] = [],
  by?: [of: Entries[number], seq: number],
): Entries[number] {
  const data = JSON.stringify({ packet: { type: 2, data: ['msg', value] }, opts: { rooms, except: [], flags: {} } });
  return [
    id,
    ['uid', by?.[0][1][1] ?? 'x', 'nsp', '/', 'type', '3', 'data', data, ...(by ? ['seq', String(by[1])] : [])],
  ];
}

/** What a server has that takes over, or that was emptied: all at once, as nodes see it. */
async function replaceBy(redis: RedisServer, entries: Entries): Promise<void> {
  await redis.command('MULTI');
  await redis.command('DEL', STREAM);
  for (const [id, fields] of entries) {
    await redis.command('XADD', STREAM, id, ...fields);
  }
  await redis.command('EXEC');
}

/** The id so many milliseconds before another. */
function before(id: string, ms = 1): string {
  return `${BigInt(id.split('-')[0]!) - BigInt(ms)}-0`;
}

/** Waits until a node has delivered the entry with this id. */
async function readsUpTo(node: Member, id: string): Promise<void> {
  await until(() => node.node.status().streams[0]!.position === id, { what: `node to be at ${id}` });
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Recovered with all that is expected, or not recovered at all. */
function expectExactOrRefused(visitor: Visitor, expected: unknown[]): void {
  expect(visitor.refused > 0 ? 'refused' : visitor.values).toEqual(visitor.refused > 0 ? 'refused' : expected);
}

/** A client in the room "red" of a node, with five messages, each some milliseconds after the one before. */
async function setUp(): Promise<{
  redis: RedisServer;
  a: Member;
  network: TcpProxy;
  visitor: Visitor;
  entries: Entries;
}> {
  const redis = await RedisServer.start();
  const a = await startNode({ port: redis.port });
  const sender = await startNode({ port: redis.port });
  const network = await TcpProxy.start(Number(new URL(a.url).port));
  const visitor = await visit({ url: `http://127.0.0.1:${network.port}` }, { rooms: ['red'] });
  for (let i = 0; i < 5; i++) {
    sender.io.emit('msg', i);
    await receives(visitor, i + 1);
    await pause(5);
  }
  await sender.close();
  return { redis, a, network, visitor, entries: await read(redis) };
}

describe('a client that had all of a history which was replaced, with smaller ids at first,', () => {
  // In each: what the new history has when the client comes back.
  test.each<[string, (old: Entries) => Entries]>([
    ['by one that is still below', (old) => [message(before(old[0]![0], 50), 5), message(before(old[0]![0], 40), 6)]],
    [
      'by one that is past it',
      (old) => [message(before(old[4]![0], 2), 5), message(`${BigInt(old[4]![0].split('-')[0]!) + 9n}-0`, 6)],
    ],
    [
      'by one with an entry of the very same id',
      (old) => [message(before(old[4]![0], 2), 5), message(old[4]![0], 6), message(`${old[4]![0].split('-')[0]}-9`, 7)],
    ],
    [
      'by one that lacks the end, with an entry of the very same id',
      (old) => [...old.slice(0, 3), message(before(old[4]![0], 1), 5), message(old[4]![0], 6)],
    ],
  ])('%s, is recovered exactly or refused on a node that starts then', async (_, replacement) => {
    const { redis, a, visitor, entries } = await setUp();
    await visitor.stayAway();
    await until(async () => (await redis.command('EXISTS', `sio:session:${visitor.pid}`)) === 1, { what: 'a session' });
    await a.close();
    const now = replacement(entries);
    await replaceBy(redis, now);
    const b = await startNode({ port: redis.port });
    visitor.comeBack(b.url);
    await visits(visitor, 2);
    b.io.to(visitor.sid).emit('msg', 'last');
    await until(() => visitor.values.includes('last'), { what: 'the last message' });
    expectExactOrRefused(
      visitor,
      [0, 1, 2, 3, 4, 5, 6, 7].slice(0, 5 + now.filter(([, f]) => f[1] === 'x').length).concat('last' as never),
    );
  });

  test('is recovered exactly or refused on its node too, which had not read the new one yet when it left', async () => {
    const { redis, a, visitor, entries } = await setUp();
    await visitor.stayAway();
    const last = entries[4]![0];
    const by = (seq: number): [Entries[number], number] => [entries[4]!, seq];
    await replaceBy(redis, [
      message(before(last, 2), 5, [], by(6)),
      message(last, 6, [], by(7)),
      message(`${last.split('-')[0]}-9`, 7, [], by(8)),
    ]);
    await readsUpTo(a, `${last.split('-')[0]}-9`);
    visitor.comeBack();
    await visits(visitor, 2);
    a.io.to(visitor.sid).emit('msg', 'last');
    await until(() => visitor.values.includes('last'), { what: 'the last message' });
    expectExactOrRefused(visitor, [0, 1, 2, 3, 4, 5, 6, 7, 'last']);
  });
});

test('a quiet client whose session names a position that a failover lost is recovered exactly or refused', async () => {
  const { redis, a, visitor } = await setUp();
  for (let i = 0; i < 5; i++) {
    a.io.to('nobody').emit('msg', 'not for it');
    await pause(5);
  }
  const entries = await read(redis);
  await readsUpTo(a, entries[9]![0]);
  await visitor.stayAway();
  await until(async () => (await redis.command('EXISTS', `sio:session:${visitor.pid}`)) === 1, { what: 'a session' });
  await a.close();
  // The server that takes over lacks the last four, and its clock is behind.
  const last = entries[9]![0];
  const later = message(`${last.split('-')[0]}-9`, 'not for it', ['nobody']);
  await replaceBy(redis, [...entries.slice(0, 6), message(before(last, 2), 5, ['red']), later]);
  const b = await startNode({ port: redis.port });
  visitor.comeBack(b.url);
  await visits(visitor, 2);
  b.io.to(visitor.sid).emit('msg', 'last');
  await until(() => visitor.values.includes('last'), { what: 'the last message' });
  expectExactOrRefused(visitor, [0, 1, 2, 3, 4, 5, 'last']);
});

test('a client that joined a room just before a failover, to a clock behind, receives what comes after it', async () => {
  const { redis, a, visitor, entries, network } = await setUp();
  for (let i = 0; i < 3; i++) {
    await pause(5);
    a.io.to('nobody').emit('msg', 'not for it');
  }
  const all = await read(redis);
  await readsUpTo(a, all[7]![0]);
  await visitor.socket.emitWithAck('join', 'blue');
  await pause(100); // the checkpoint is written
  network.blackhole(); // it seems connected, but nothing comes to it any more
  const next = before(all[7]![0], 1);
  await replaceBy(redis, [
    ...entries,
    message(before(all[7]![0], 2), 'not for it', ['nobody']),
    message(next, 5, ['blue']),
  ]);
  await readsUpTo(a, next);
  await pause(100);
  const b = await startNode({ port: redis.port });
  visitor.goTo(b.url);
  visitor.cut();
  await visits(visitor, 2);
  b.io.to(visitor.sid).emit('msg', 'last');
  await until(() => visitor.values.includes('last'), { what: 'the last message' });
  expect(visitor.refused).toBe(0);
  expect(visitor.values).toEqual([0, 1, 2, 3, 4, 5, 'last']);
});

test('a client that is in its middlewares while the history is replaced is recovered exactly or refused', async () => {
  const { redis, a, visitor, entries } = await setUp();
  const gate = new Gate();
  const b = await startNode({ port: redis.port, middleware: () => gate.pass() });
  await visitor.stayAway();
  visitor.comeBack(b.url);
  await until(() => gate.arrivals === 1, { what: 'it to be in the middleware' });
  const last = entries[4]![0];
  await replaceBy(redis, [...entries.slice(0, 3), message(before(last, 1), 5)]);
  await readsUpTo(b, before(last, 1));
  await readsUpTo(a, before(last, 1));
  gate.release();
  await visits(visitor, 2);
  b.io.to(visitor.sid).emit('msg', 'last');
  await until(() => visitor.values.includes('last'), { what: 'the last message' });
  expectExactOrRefused(visitor, [0, 1, 2, 3, 4, 5, 'last']);
});
