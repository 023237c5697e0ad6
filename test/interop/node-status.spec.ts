import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { RedisStreamsEmitter } from '../../lib/emitter/index.js';
import { Fleet, type FleetNode } from '../kit/fleet.js';
import { closeAfterwards, until } from '../kit/index.js';
import type { TaskContext } from '../kit/socket-server.js';

const TIMEOUT = 1_000;

describe('nodes of the reference, which have no heartbeat, in the status of ours', () => {
  let fleet: Fleet;
  let ours: FleetNode;
  let reference: FleetNode;
  /** Ids that any of our nodes has ever called unmonitored. */
  const unmonitored = new Set<string>();

  beforeAll(async () => {
    fleet = await Fleet.start({
      client: 'ioredis 6',
      server: 'Redis',
      topology: 'single',
      nodes: ['ours', 'reference'],
      options: { heartbeatInterval: 200, heartbeatTimeout: TIMEOUT },
    });
    [ours, reference] = fleet.nodes as [FleetNode, FleetNode];
    await watch(ours);
  });
  afterAll(() => fleet.close());

  const watch = (node: FleetNode): Promise<void> =>
    node.run(({ node, seen }) => {
      node!.subscribe({
        onNodes: (nodes) => seen.push(...nodes.filter(({ state }) => state === 'unmonitored').map(({ id }) => id)),
      });
    });
  const idOf = (node: FleetNode, nsp = '/'): Promise<string> =>
    node.run(({ io }, nsp) => (io.of(nsp).adapter as unknown as { uid: string }).uid, nsp);
  const states = (node = ours) =>
    node.run(({ node }) => Object.fromEntries(node!.nodes().map(({ id, state }) => [id, state])));

  /** Waits until our node lists another with this state. */
  const lists = (id: string, state: string): Promise<unknown> =>
    until(async () => (await states())[id] === state, { what: `${id} to be ${state}` });

  test.each<[string, string, (context: TaskContext, nsp: string) => unknown]>([
    ['broadcasts', '/broadcasts', ({ io }, nsp) => void io.of(nsp).emit('hello')],
    ['asks', '/asks', ({ io }, nsp) => void io.of(nsp).serverSideEmit('hello')],
  ])('one that %s is listed as unmonitored', async (_what, nsp, send) => {
    await fleet.create(nsp);
    await reference.run(send, nsp);
    await lists(await idOf(reference, nsp), 'unmonitored');
  });

  test('one that answers is listed as unmonitored, with nothing that is not known', async () => {
    const nsp = '/answers';
    await fleet.create(nsp);
    await ours.run(async ({ io }, nsp) => void (await io.of(nsp).fetchSockets()), nsp);
    const id = await idOf(reference, nsp);
    await lists(id, 'unmonitored');
    const listed = await ours.run(({ node }, id) => node!.nodes().find((node) => node.id === id), id);
    expect(listed).toEqual({
      ...{ id, namespace: nsp, state: 'unmonitored', self: false, lastSeen: expect.any(Number) },
      ...{ host: 'unknown', pid: 0, startedAt: 0, sockets: 0, backlog: 0 },
    });
  });

  test('nobody waits for it: it is counted by its subscriptions, and not among those that read', async () => {
    expect(await ours.run(({ node }) => node!.nodes().filter(({ state }) => state === 'up').length)).toBe(1);
    expect(await ours.run(({ io }) => io.of('/').adapter.serverCount())).toBe(2);
  });

  test('no node of ours, no server of it and no emitter is ever called so, however soon it sends', async () => {
    const client = new Redis(fleet.deployment.servers[0]!.port);
    const emitter = closeAfterwards(new RedisStreamsEmitter(client));
    const other = closeAfterwards(await fleet.startNode('ours'));
    await watch(other);
    await fleet.isKnown('/', 3);
    const end = performance.now() + 2 * TIMEOUT;
    while (performance.now() < end) {
      for (const node of [ours, other]) {
        await node.run(async ({ io }) => {
          io.emit('hello');
          io.volatile.emit('hello');
          await io.fetchSockets();
        });
      }
      emitter.emit('hello');
      emitter.volatile.emit('hello');
      emitter.serverSideEmit('hello');
      await client.xadd('socket.io', '*', 'uid', 'emitter', 'nsp', '/', 'type', '4', 'data', '{}');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    for (const node of [ours, other]) {
      (await node.run(({ seen }) => seen)).forEach((id: string) => unmonitored.add(id));
    }
    const namespaces = ['/', '/broadcasts', '/asks', '/answers'];
    const ids = await Promise.all(namespaces.map((nsp) => idOf(reference, nsp)));
    expect([...unmonitored].sort()).toEqual(ids.sort());
    expect((await states())[await idOf(other)]).toBe('up');
    client.disconnect();
  });
});
