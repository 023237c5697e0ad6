import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { encode } from '@msgpack/msgpack';
import fc from 'fast-check';
import { io as connect } from 'socket.io-client';
import { closeFrom, type Member, openCount, RedisServer, until } from '../kit/index.js';
import { startNode } from './recovery-node.js';
import { receives, visit, type Visitor, visits } from './visitor.js';

let redis: RedisServer;
let a: Member;
let b: Member;
const failures: unknown[] = [];
const onFailure = (error: unknown): void => void failures.push(error);

beforeAll(async () => {
  process.on('unhandledRejection', onFailure);
  redis = await RedisServer.start();
  [a, b] = [await startNode({ port: redis.port }), await startNode({ port: redis.port })];
});
afterAll(() => {
  process.off('unhandledRejection', onFailure);
  expect(failures).toEqual([]);
});

/** Connects with what a client may send, and returns whether it was recovered. */
async function tries(auth: Record<string, unknown>, node = a): Promise<{ recovered: boolean; received: unknown[] }> {
  const socket = connect(node.url, { transports: ['websocket'], forceNew: true, reconnection: false, auth });
  const received: unknown[] = [];
  // The client cannot tell that it was recovered with the id of another.
  const sid = await new Promise<string>((resolve, reject) => {
    socket.onAny((...args: unknown[]) => received.push(args));
    socket.on('connect', () => resolve(socket.id!));
    socket.on('connect_error', reject);
  });
  const { recovered } = node.io.of('/').sockets.get(sid)!;
  socket.disconnect();
  return { recovered, received };
}

const hostilePid = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.stringMatching(/^[\w-]{20}$/),
  fc.constantFrom('', 'live:nodes', '*', '../x', '__proto__', 'constructor', '\u0000', 'x'.repeat(100_000)),
  fc.constantFrom<any>(null, 1, [], {}, { toString: 'x' }, true),
);
const hostileOffset = fc.oneof(
  fc.string(),
  fc.constantFrom(
    '0-0',
    '-',
    '+',
    '$',
    '*',
    '0',
    '1-',
    '-1',
    '00-0',
    '1-01',
    '18446744073709551615-18446744073709551615',
  ),
  fc.constantFrom('18446744073709551616-0', '9'.repeat(10_000) + '-0', '1e3-0', '٣-٣', '(0-0', '1-1 COUNT 1', '0x1-0'),
  fc
    .tuple(fc.bigInt({ min: 0n, max: 2n ** 64n }), fc.bigInt({ min: 0n, max: 2n ** 64n }))
    .map(([ms, seq]) => `${ms}-${seq}`),
  fc.constantFrom<any>(null, 0, [], {}, ['1-1']),
);

describe('a hostile client', () => {
  test('gets no recovery with a made-up session id, and Redis is asked for few and small things', async () => {
    const keys = await redis.command('DBSIZE');
    const before = await redis.info('stats');
    let connections = 0;
    await fc.assert(
      fc.asyncProperty(hostilePid, hostileOffset, async (pid, offset) => {
        connections++;
        expect(await tries({ pid, offset })).toEqual({ recovered: false, received: [] });
      }),
      { numRuns: 300 },
    );
    const after = await redis.info('stats');
    const used = (name: string): number => (Number(after[name]) - Number(before[name])) / connections;
    expect(used('total_commands_processed')).toBeLessThan(40);
    expect(used('total_net_output_bytes')).toBeLessThan(4_000);
    await until(async () => Number(await redis.command('DBSIZE')) <= Number(keys) + 2, { what: 'nothing to be left' });
  });

  test('with a session of its own gets nothing by any offset but what was for it since it connected', async () => {
    a.io.emit('msg', 'before it connected');
    await fc.assert(
      fc.asyncProperty(hostileOffset, fc.boolean(), async (offset, isElsewhere) => {
        const open = openCount();
        const visitor = await visit(a, { rooms: ['red'], reconnection: false });
        a.io.to('blue').emit('msg', 'not for it');
        a.io.to('red').except(visitor.sid).emit('msg', 'not for it');
        a.io.to(visitor.sid).emit('msg', 'for it');
        await receives(visitor, 1);
        await visitor.stayAway();
        const node = isElsewhere ? b : a;
        const since = performance.now();

        const first = await tries({ pid: visitor.pid, offset }, node);
        expect(performance.now() - since).toBeLessThan(5_000);
        // An offset that has not even the form of one is not looked at; otherwise that was its only chance.
        const second = await tries({ pid: visitor.pid, offset: visitor.offset }, node);

        expect(first.recovered && second.recovered).toBe(false);
        const events = [...first.received, ...second.received] as string[][];
        expect(events.filter(([, value]) => value !== 'for it')).toEqual([]);
        await closeFrom(open);
      }),
      { numRuns: 40, examples: [['18446744073709551615-18446744073709551615', true]] },
    );
  }, 120_000);

  test('that offers a session of another namespace does not get it, and does not spoil it', async () => {
    const node = await startNode({ port: redis.port, namespaces: ['/admin'] });
    const visitor = await visit(node, { namespace: '/admin' });
    node.io.of('/admin').emit('msg', 'secret');
    await receives(visitor, 1);
    await visitor.stayAway();
    node.io.of('/admin').emit('msg', 'another secret');

    for (const at of [node, a]) {
      expect(await tries({ pid: visitor.pid, offset: visitor.offset }, at)).toEqual({ recovered: false, received: [] });
    }

    visitor.comeBack();
    await receives(visitor, 2);
    expect(visitor.values).toEqual(['secret', 'another secret']);
    expect(visitor.refused).toBe(0);
  });

  test.each([
    ['nothing', Buffer.alloc(0)],
    ['noise', Buffer.from('\xc1\xff\xff')],
    ['another session id', Buffer.from(encode({ sid: 's', pid: 'other', rooms: [], data: {} }))],
    ['rooms that are none', Buffer.from(encode({ sid: 's', pid: 'PID', rooms: { length: 1e9 }, data: {} }))],
    ['a socket id that is none', Buffer.from(encode({ sid: {}, pid: 'PID', rooms: [], data: {} }))],
    [
      'visits that are none',
      Buffer.from(encode({ sid: 's', pid: 'PID', rooms: [], data: 1, joined: 1, left: [['x', 'y']] })),
    ],
  ])('cannot do harm by a session in Redis that holds %s', async (_what, bytes) => {
    const pid = 'PID';
    await redis.command('SET', `sio:session:${pid}`, bytes.toString('base64'));
    await tries({ pid, offset: a.node.status().streams[0]!.position });
    a.io.emit('msg', 'still there');
    const visitor = await visit(a);
    a.io.to(visitor.sid).emit('msg', 'it works');
    await receives(visitor, 1);
    expect(failures).toEqual([]);
  });
});

describe('nobody else receives what', () => {
  const rooms = ['r1', 'r2', 'r3', 'r4'];
  const broadcast = fc.record({
    to: fc.subarray(rooms),
    except: fc.oneof(fc.constant<string[]>([]), fc.subarray(rooms)),
  });

  test('was sent to any rooms, except others, while clients of any rooms were away', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.subarray(rooms), { minLength: 1, maxLength: 4 }),
        fc.array(broadcast, { minLength: 1, maxLength: 25 }),
        async (clients, broadcasts) => {
          const open = openCount();
          const visitors: Visitor[] = [];
          for (const joined of clients) {
            visitors.push(await visit(a, { rooms: joined }));
          }
          for (const visitor of visitors) {
            a.io.to(visitor.sid).emit('msg', -1);
            await receives(visitor, 1);
            await visitor.stayAway();
          }
          for (const [i, { to, except }] of broadcasts.entries()) {
            (i % 2 ? a : b).io.to(to).except(except).emit('msg', i);
          }
          visitors.forEach((visitor, i) => visitor.comeBack((i % 2 ? a : b).url));
          await Promise.all(visitors.map((visitor) => visits(visitor, 2)));
          a.io.to(visitors.map(({ sid }) => sid)).emit('msg', broadcasts.length); // all before it has come by then

          for (const [n, visitor] of visitors.entries()) {
            await until(() => visitor.values.includes(broadcasts.length), { what: 'the last message' });
            const joined = clients[n]!;
            const expected = broadcasts.flatMap(({ to, except }, i) =>
              (to.length === 0 || to.some((room) => joined.includes(room))) &&
              !except.some((room) => joined.includes(room))
                ? [i]
                : [],
            );
            const values = visitor.values.slice(1, -1) as number[];
            expect([...values].sort((x, y) => x - y)).toEqual(expected);
            // The order of each node.
            expect(values.filter((i) => i % 2)).toEqual(expected.filter((i) => i % 2));
            expect(values.filter((i) => i % 2 === 0)).toEqual(expected.filter((i) => i % 2 === 0));
            expect(visitor.refused).toBe(0);
          }
          await closeFrom(open);
        },
      ),
      { numRuns: 60 },
    );
  }, 120_000);
});
