import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Fleet, referenceIndexOf } from '../kit/fleet.js';

const COUNT = 3;
/** With three streams: indexes 0, 1 and 2 in the reference, and -1 and -2, which nobody reads there. */
const NAMESPACES = Array.from({ length: 20 }, (_, i) => [`/room-${i}`, `/tenant-${i}/chat`]).flat();

describe('with several streams', () => {
  let fleet: Fleet;

  beforeAll(async () => {
    fleet = await Fleet.start({
      client: 'ioredis 6',
      server: 'Redis',
      topology: 'single',
      nodes: ['ours', 'ours', 'ours'],
      options: { streamCount: COUNT },
    });
  });
  afterAll(() => fleet.close());

  test('every namespace works, also where the reference computes a negative index, and every stream is used', async () => {
    const indexes = new Set(NAMESPACES.map((nsp) => referenceIndexOf(nsp, COUNT)));
    expect([...indexes].sort()).toEqual([-1, -2, 0, 1, 2].sort());

    for (const [i, nsp] of NAMESPACES.entries()) {
      await fleet.create(nsp);
      const clients = await Promise.all([fleet.connect(0, { nsp }), fleet.connect(i % 2 === 0 ? 1 : 2, { nsp })]);
      await fleet.node(i % 3).run(({ io }, nsp) => void io.of(nsp).emit('hello', nsp), nsp);
      await fleet.settle(clients, { nsp });
      expect(clients.map(({ received }) => received)).toEqual([[['hello', nsp]], [['hello', nsp]]]);
      await fleet.disconnectAll();
    }

    const redis = fleet.deployment.servers[0]!;
    const streams = (await redis.command('KEYS', 'socket.io*')) as string[];
    expect(streams.sort()).toEqual(['socket.io-0', 'socket.io-1', 'socket.io-2']);
    for (const [index, stream] of streams.entries()) {
      const entries = (await redis.command('XRANGE', stream, '-', '+')) as [string, string[]][];
      const written = new Set(entries.map(([, fields]) => fields[fields.indexOf('nsp') + 1]));
      const expected = NAMESPACES.filter((nsp) => Math.abs(referenceIndexOf(nsp, COUNT)) === index);
      expect([...written].sort()).toEqual(expected.sort());
    }
  });

  test('each has its own position in the status: the last entry of that stream', async () => {
    const [client] = await fleet.connectToEach();
    await fleet.settle([client!]);
    const redis = fleet.deployment.servers[0]!;
    const lastIds = await Promise.all(
      ['socket.io-0', 'socket.io-1', 'socket.io-2'].map(async (stream) => {
        const [last] = (await redis.command('XREVRANGE', stream, '+', '-', 'COUNT', '1')) as [string, string[]][];
        return { name: stream, mode: 'following', position: last?.[0] ?? '0-0' };
      }),
    );
    const streams = await fleet.node(0).run(({ node }) => node!.status().streams);
    expect(streams.map(({ name, mode, position }) => ({ name, mode, position }))).toEqual(lastIds);
  });
});
