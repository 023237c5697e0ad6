import { describe, expect, test } from '@jest/globals';
import { RedisServer, until } from '../kit/index.js';
import { Random } from '../soak/random.js';
import { startNode } from './fleet.js';
import { disordered, Visitor } from './visitor.js';
import { Ledger, startLoad } from './ledger.js';

describe('clients that are cut at random while three nodes broadcast', () => {
  test.each([
    [1, 1],
    [2, 3],
  ])(
    'receive each message exactly once, in one order (seed %d, %d streams)',
    async (seed, streamCount) => {
      const random = new Random(seed);
      const redis = await RedisServer.start();
      const start = () =>
        startNode({ port: redis.port, adapter: { streamCount }, middleware: () => random.between(0, 25) });
      const nodes = [await start(), await start(), await start()];
      const ledger = new Ledger();
      const visitors = Array.from(
        { length: 50 },
        (_, i) => new Visitor(random.pick(nodes).url, { rooms: ledger.roomsOf(i) }),
      );
      await until(() => visitors.every(({ isConnected }) => isConnected), { what: 'all clients to connect' });

      const load = startLoad(nodes, ledger, visitors, random);
      const end = performance.now() + 8_000;
      while (performance.now() < end) {
        for (const visitor of visitors) {
          if (visitor.isConnected && visitor.offset !== undefined && random.next() < 0.2) {
            visitor.goTo(random.pick(nodes).url);
            visitor.cut(random.pick(['close', 'destroy']));
          }
        }
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      load.stop();
      await ledger.arrived(visitors);

      const recoveries = visitors.reduce((sum, visitor) => sum + visitor.recoveries, 0);
      const report = ledger.check(visitors);
      expect(report).toMatchObject({ missing: 0, doubled: 0, misdelivered: 0, refused: 0 });
      expect(visitors.flatMap(({ received }) => disordered(received))).toEqual([]);
      expect(recoveries).toBeGreaterThan(200);
    },
    60_000,
  );
});
