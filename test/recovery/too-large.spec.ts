import { describe, expect, test } from '@jest/globals';
import { allReceived, closeAfterwards, Member, RedisServer, RespProxy, until } from '../kit/index.js';
import { startNode } from './recovery-node.js';
import { receives, visit, visits } from './visitor.js';

describe('a session that Redis refuses because of its size', () => {
  const recovery = { connectionStateRecovery: {} };
  /** A Redis that takes no argument of more than a megabyte. */
  const limited = (): Promise<RedisServer> => RedisServer.start({ config: ['proto-max-bulk-len 1mb'] });
  /** The private ids of the sessions of connected clients of a node. */
  const written = async (redis: RedisServer, { node }: Member): Promise<string[]> => {
    const fields = (await redis.command('HKEYS', `sio:session:live:${node.id}`)) as string[];
    return fields.filter(Boolean); // there is a mark among them
  };

  test('is reported, and all others are written and recovered', async () => {
    const redis = await limited();
    const [a, b] = [await startNode({ port: redis.port }), await startNode({ port: redis.port })];
    const visitors = [await visit(a, { rooms: ['red'] }), await visit(a), await visit(a, { rooms: ['red'] })];
    const [first, large, last] = visitors as [(typeof visitors)[0], (typeof visitors)[0], (typeof visitors)[0]];
    const connections = async (): Promise<number> => Number((await redis.info('stats'))['total_connections_received']);
    await until(async () => (await written(redis, a)).length === 3, { what: 'all to be written' });

    a.io.of('/').sockets.get(large.sid)!.data = { picture: 'x'.repeat(2 * 1024 * 1024) };
    const before = await connections();
    for (const { sid } of visitors) {
      void a.io.of('/').sockets.get(sid)!.join('late');
    }
    await until(() => a.eventsOf('session-refused').length > 0, { what: 'the refusal to be reported' });
    a.io.to('late').emit('msg', 0);
    await Promise.all(visitors.map((visitor) => receives(visitor, 1)));
    await until(async () => !(await written(redis, a)).includes(large.pid!), { what: 'the old session to be removed' });
    for (const visitor of [first, last]) {
      visitor.goTo(b.url);
      visitor.cut();
      await visits(visitor, 2);
    }
    b.io.to('late').emit('msg', 1);
    await Promise.all(visitors.map((visitor) => receives(visitor, 2)));
    expect([first.refused, last.refused]).toEqual([0, 0]);
    expect(a.node.status().state).toBe('running');
    expect((await connections()) - before).toBeLessThan(10);
  });

  test('is given up after three lost connections at most; the others are kept, and the node goes on', async () => {
    const redis = await limited();
    const [node, other] = [
      await Member.start({ port: redis.port, server: recovery }),
      await Member.start({ port: redis.port }),
    ];
    await until(async () => (await written(redis, node)).length === 1, { what: 'the first session' });
    const [socket] = [...node.io.sockets.sockets.values()];
    (socket!.data as { text: string }).text = 'x'.repeat(2 * 1024 * 1024);
    for (let i = 0; i < 3; i++) closeAfterwards(node.connect());
    const given = (): boolean => node.log.some((line) => line.includes('the session of a client is too large'));
    await until(given, { what: 'the session to be given up' });
    await until(async () => (await written(redis, node)).length === 3, { what: 'the others to be written' });
    const lost = node.eventsOf('redis-lost').length;
    expect(lost).toBeLessThanOrEqual(3);
    void socket!.join('room'); // it changes, and is as large as it was
    await new Promise((resolve) => setTimeout(resolve, 1_000)); // five heartbeats
    node.io.emit('msg', 1);
    await allReceived([node, other], 1);
    expect([node.eventsOf('redis-lost').length, node.node.status().state]).toEqual([lost, 'running']);
    socket!.data = { text: 'small' };
    await until(async () => (await written(redis, node)).length === 4, { what: 'the session to be written again' });
  });

  test('is found among others by a proxy that says so, and no other is missing', async () => {
    const redis = await RedisServer.start();
    const proxy = await RespProxy.start(redis.port, (command) =>
      command.reduce((sum, arg) => sum + arg.length, 0) > 20_000
        ? { error: 'ERR max request size exceeded' }
        : { send: command },
    );
    const node = await Member.start({ port: proxy.port, server: recovery });
    for (let i = 0; i < 30; i++) closeAfterwards(node.connect());
    const areWritten = (count: number) => async (): Promise<boolean> => (await written(redis, node)).length === count;
    await until(areWritten(31), { what: '31 sessions' });
    [...node.io.sockets.sockets.values()].forEach((socket, i) => {
      (socket.data as { text: string }).text = 'x'.repeat(i === 7 ? 30_000 : 2_000);
      void socket.join('room');
    });
    await until(() => node.eventsOf('session-refused').length > 0, { what: 'the refusal' });
    await until(areWritten(30), { what: 'all but one to be written' });
    expect(node.eventsOf('session-refused')).toHaveLength(1);
    expect(node.eventsOf('redis-lost')).toEqual([]);
  });
});
