import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import { Member, RedisServer, TcpProxy, until } from '../kit/index.js';

type RoomChange = 'addSockets' | 'delSockets';

/** What Socket.IO's `socketsJoin()` and `socketsLeave()` call, for all sockets of all nodes. */
function change({ io }: Member, method: RoomChange, rooms: string[]): Promise<void> {
  const adapter = io.of('/').adapter as unknown as Record<
    RoomChange,
    (opts: { rooms: Set<string>; except: Set<string> }, rooms: string[]) => Promise<void>
  >;
  return adapter[method]({ rooms: new Set(), except: new Set() }, rooms);
}

const isIn = ({ io }: Member, room: string): boolean => io.of('/').adapter.rooms.has(room);

describe.each(['local-first', 'log'] as const)('the promise of a change of rooms, ordering "%s"', (ordering) => {
  test('is resolved when the change is in the log and done here, and not before', async () => {
    const redis = await RedisServer.start();
    const proxy = await TcpProxy.start(redis.port);
    const adapter = { ordering, commandTimeout: 20_000 };
    const [node, other] = [
      await Member.start({ port: proxy.port, adapter }),
      await Member.start({ port: redis.port, adapter }),
    ];
    for (const [method, expected] of [
      ['addSockets', true],
      ['delSockets', false],
    ] as const) {
      proxy.blackhole();
      const before = await redis.command('XLEN', 'socket.io');
      let isResolved = false;
      const promise = change(node, method, ['red']).then(() => (isResolved = true));
      if (ordering === 'local-first') {
        expect(isIn(node, 'red')).toBe(expected); // what is done here does not wait
      }
      await sleep(300);
      expect(isResolved).toBe(false);
      proxy.heal();
      await promise;
      expect(Number(await redis.command('XLEN', 'socket.io'))).toBe(Number(before) + 1);
      expect(isIn(node, 'red')).toBe(expected);
      await until(() => isIn(other, 'red') === expected, { what: 'the other node to do it' });
    }
  });

  test('is resolved, not rejected, when the outbox drops the change', async () => {
    const redis = await RedisServer.start();
    const proxy = await TcpProxy.start(redis.port);
    const node = await Member.start({ port: proxy.port, adapter: { ordering, outboxMaxEntries: 2 } });
    proxy.refuse();
    proxy.cut();
    await until(() => node.node.status().state === 'degraded', { what: 'the loss' });
    const promises = ['a', 'b', 'c', 'd', 'e'].map((room) => change(node, 'addSockets', [room]));
    await until(() => node.counters.dropped > 0, { what: 'a change to be dropped' });
    await proxy.accept();
    await Promise.all(promises);
    expect(node.counters.dropped).toBe(3);
  });
});
