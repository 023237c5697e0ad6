import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { streamIndexOf } from '../../lib/wire/keys.js';
import type { Deployment } from '../kit/deployment.js';
import { Fleet, referenceIndexOf } from '../kit/fleet.js';

const COUNT = 4;
const STREAMS = Array.from({ length: COUNT }, (_, i) => `socket.io-${i}`);

describe('with several streams in a Redis Cluster', () => {
  let fleet: Fleet;
  let deployment: Deployment;

  beforeAll(async () => {
    fleet = await Fleet.start({
      ...{ client: 'ioredis 6', server: 'Redis', topology: 'cluster', nodes: ['ours', 'ours', 'ours'] },
      options: { streamCount: COUNT, ordering: 'log' },
    });
    ({ deployment } = fleet);
  }, 60_000);
  afterAll(() => fleet.close());

  const readersOf = async (server: Deployment['servers'][number]) =>
    (await server.clients()).filter(({ name }) => name.endsWith(':reader'));

  test('the streams are spread over masters, and each node reads each with one connection to its master', async () => {
    const masters = await Promise.all(STREAMS.map((stream) => deployment.masterOf(stream)));
    expect(new Set(masters).size).toBe(3);
    for (const server of deployment.servers) {
      const readers = await readersOf(server);
      const streams = masters.filter((master) => master === server).length;
      expect(readers.length).toBe(streams * fleet.nodes.length);
      expect(new Set(readers.map(({ name }) => name)).size).toBe(streams > 0 ? fleet.nodes.length : 0);
    }
  });

  test('a namespace of any name is carried by its stream only, one with a negative hash too', async () => {
    const namespaces = STREAMS.map((_, index) => nameWith((nsp) => -referenceIndexOf(nsp, COUNT) === index));
    for (const [index, nsp] of namespaces.entries()) {
      await fleet.create(nsp);
      const clients = await fleet.connectToEach({ nsp });
      await fleet.node(index % 3).run(({ io }, nsp) => void io.of(nsp).emit('hello', nsp), nsp);
      await fleet.settle(clients, { nsp });
      expect(clients.map(({ received }) => received)).toEqual(clients.map(() => [['hello', nsp]]));
      const stream = STREAMS[index]!;
      const entries = await (await deployment.masterOf(stream)).command('XRANGE', stream, '-', '+');
      const written = (entries as [string, string[]][]).map(([, fields]) => fields[fields.indexOf('nsp') + 1]);
      expect(new Set(written)).toEqual(new Set([nsp]));
      await fleet.disconnectAll();
    }
  });

  test('the status shows how late each stream is read: only the one whose deliveries take long', async () => {
    const nsp = nameWith((nsp) => streamIndexOf(nsp, COUNT) === 1);
    await fleet.create(nsp);
    await fleet.connect(0, { nsp });
    const lags = await fleet.node(0).run(async ({ io, node }, nsp) => {
      const [socket] = io.of(nsp).sockets.values();
      socket!.conn.on('packetCreate', () => {
        for (const end = performance.now() + 10; performance.now() < end;);
      });
      for (let i = 0; i < 50; i++) io.of(nsp).emit('hello');
      for (;;) {
        await new Promise((resolve) => setImmediate(resolve));
        const { streams } = node!.status();
        if (streams[1]!.lagMs > 100) return streams.map(({ lagMs, backlog }) => lagMs > 0 && backlog > 0);
      }
    }, nsp);
    expect(lags).toEqual([false, true, false, false]);
  });
});

/** The first of some names for which a condition holds. */
function nameWith(condition: (nsp: string) => boolean): string {
  for (let i = 0; ; i++) {
    if (condition(`/tenant-${i}`)) return `/tenant-${i}`;
  }
}
