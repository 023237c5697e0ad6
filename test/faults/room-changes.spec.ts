import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import { closeAfterwards, Member, RedisServer, TcpProxy, until } from '../kit/index.js';
import { startNode } from '../recovery/recovery-node.js';

type RoomChange = 'addSockets' | 'delSockets';

/** What Socket.IO's `socketsJoin()` and `socketsLeave()` call, for all sockets of all nodes. */
function change({ io }: Member, method: RoomChange, rooms: string[], flags = {}): Promise<void> {
  const adapter = io.of('/').adapter as unknown as Record<
    RoomChange,
    (opts: { rooms: Set<string>; except: Set<string>; flags: object }, rooms: string[]) => Promise<void>
  >;
  return adapter[method]({ rooms: new Set(), except: new Set(), flags }, rooms);
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

  test('is resolved once the change is done here, however late the reader comes to it', async () => {
    const redis = await RedisServer.start();
    const reads = await TcpProxy.start(redis.port);
    const adapter = { ordering, commandTimeout: 20_000, heartbeatTimeout: 60_000 };
    const node = await startNode({ port: redis.port, readerPort: reads.port, adapter });
    const client = node.connect();
    closeAfterwards({ close: () => client.disconnect() });
    await until(() => client.connected, { what: 'the client' });
    reads.blackhole();
    let resolved = 0;
    const done = change(node, 'addSockets', ['red']).then(() => resolved++);
    node.io.local.emit('msg', 1);
    const doneLocally = change(node, 'addSockets', ['blue'], { local: true }).then(() => resolved++);
    const isAtOnce = ordering === 'local-first';
    if (isAtOnce) {
      await Promise.all([done, doneLocally]);
    } else {
      await until(() => node.counters.appended > 0, { what: 'the change to be appended' });
      await sleep(100);
    }
    expect([isIn(node, 'red'), isIn(node, 'blue'), resolved]).toEqual(isAtOnce ? [true, true, 2] : [false, false, 0]);
    reads.heal();
    await done;
    expect(isIn(node, 'red')).toBe(true);
    await doneLocally;
    expect(isIn(node, 'blue')).toBe(true);
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
