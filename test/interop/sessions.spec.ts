import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { Fleet, type FleetNode } from '../kit/fleet.js';
import { until } from '../kit/index.js';
import type { TestClient } from '../kit/test-client.js';

describe('a session, in a cluster of both kinds of nodes,', () => {
  let fleet: Fleet;
  let ours: FleetNode;
  let reference: FleetNode;

  beforeAll(async () => {
    fleet = await Fleet.start({
      client: 'ioredis 6',
      server: 'Redis',
      topology: 'single',
      nodes: ['ours', 'reference'],
      recovery: true,
      options: { ordering: 'log' },
    });
    [ours, reference] = fleet.nodes as [FleetNode, FleetNode];
  });
  afterEach(() => fleet.disconnectAll());
  afterAll(() => fleet.close());

  /** A client that has an offset to be recovered from. */
  async function connect(node: FleetNode): Promise<TestClient> {
    const client = await fleet.connect(node, { rooms: ['room', 7], data: { name: 'Ada', seen: [1, null] } });
    await fleet.settle([client]);
    return client;
  }

  /** Cuts the client's connection; it is away when this resolves, and its session written. */
  async function cut(client: TestClient, home: FleetNode): Promise<void> {
    const pid = (client.socket as unknown as { _pid: string })._pid;
    client.cut();
    const redis = fleet.deployment.servers[0]!;
    await until(async () => (await redis.command('EXISTS', `sio:session:${pid}`)) === 1, { what: 'the session' });
    await until(() => home.run(({ io }, id) => !io.sockets.sockets.has(id), client.id), { what: 'the end' });
  }

  /** Has both nodes send something, some of it for the client. */
  async function sendFromBoth(round: number): Promise<void> {
    const witness = await fleet.connect(ours);
    for (const node of fleet.nodes) {
      await node.run(
        ({ io }, kind, round) => {
          io.to('room').emit('text', kind, round);
          io.to(7 as never).emit('bytes', Buffer.from(kind), round);
          io.to('elsewhere').emit('not for it', kind, round);
        },
        node.kind,
        round,
      );
      await fleet.settle([witness], { from: [node] });
    }
  }

  const missed = (round: number): unknown[][] => [
    ['text', 'ours', round],
    ['bytes', Buffer.from('ours'), round],
    ['text', 'reference', round],
    ['bytes', Buffer.from('reference'), round],
  ];

  const stateOn = (node: FleetNode, id: string) =>
    node.run(({ io }, id) => {
      const { rooms, data } = io.sockets.sockets.get(id)!;
      return { rooms: [...rooms].map(String).sort(), data };
    }, id);

  test.each([
    ['by the reference is recovered by ours', 1, 0],
    ['by ours is recovered by the reference', 0, 1],
  ])('that was written %s, with all that both kinds sent meanwhile', async (_name, from, to) => {
    const [home, refuge] = [fleet.node(from), fleet.node(to)];
    const client = await connect(home);
    const { id } = client;
    await cut(client, home);
    await sendFromBoth(1);
    expect(await client.reconnect(refuge.url)).toBe(true);
    await fleet.settle([client]);
    expect(client.id).toBe(id);
    expect(client.received).toEqual(missed(1));
    expect(await stateOn(refuge, id)).toEqual({
      rooms: [id, 'room', '7'].sort(),
      data: { name: 'Ada', seen: [1, null] },
    });
  });

  test('survives going back and forth between them, and nothing is lost or comes twice', async () => {
    const client = await connect(reference);
    const way = [ours, reference, ours, ours, reference, reference, ours];
    let home = reference;
    for (const [round, next] of way.entries()) {
      await cut(client, home);
      await sendFromBoth(round);
      expect(await client.reconnect(next.url)).toBe(true);
      await fleet.settle([client]);
      home = next;
    }
    expect(client.received).toEqual(way.flatMap((_, round) => missed(round)));
  });

  test.each([
    ['ours', 0, 1],
    ['the reference', 1, 0],
  ])('that %s has handed out is not handed out again by the other', async (_name, first, second) => {
    const client = await connect(fleet.node(1));
    const { _pid: pid } = client.socket as unknown as { _pid: string };
    const { offset } = client;
    await cut(client, fleet.node(1));
    const { id } = client;
    expect(await client.reconnect(fleet.node(first).url)).toBe(true);
    client.close();
    await until(() => fleet.node(first).run(({ io }, id) => !io.sockets.sockets.has(id), id), { what: 'the goodbye' });
    const thief = await fleet.connect(second, { auth: { pid, offset } });
    expect(thief.socket.recovered).toBe(false);
    expect(thief.id).not.toBe(id);
  });
});
