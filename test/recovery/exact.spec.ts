import { describe, expect, test } from '@jest/globals';
import { RedisServer, until } from '../kit/index.js';
import { Random } from '../kit/random.js';
import { Ledger, startLoad } from './ledger.js';
import { startNode } from './recovery-node.js';
import { disordered, notGoingOn, Visitor } from './visitor.js';

/** Pairs of messages that came in different orders to different clients. */
function differences(orders: string[][]): string[] {
  const after = new Map<string, Set<string>>();
  for (const order of orders) {
    for (let i = 1; i < order.length; i++) {
      const later = after.get(order[i - 1]!) ?? new Set();
      after.set(order[i - 1]!, later.add(order[i]!));
    }
  }
  // A round trip from one message to itself.
  const done = new Set<string>();
  const found: string[] = [];
  for (const start of after.keys()) {
    const path = new Set<string>();
    const stack: [string, boolean][] = [[start, false]];
    for (let next = stack.pop(); next; next = stack.pop()) {
      const [id, isLeft] = next;
      if (isLeft) {
        path.delete(id);
        done.add(id);
      } else if (path.has(id)) {
        found.push(id);
      } else if (!done.has(id)) {
        path.add(id);
        stack.push([id, true], ...[...(after.get(id) ?? [])].map((one): [string, boolean] => [one, false]));
      }
    }
  }
  return found;
}

describe('clients that are cut at random while three nodes broadcast', () => {
  test.each([
    [1, 1, 'local-first'],
    [2, 3, 'local-first'],
    [3, 1, 'log'],
  ] as const)(
    'receive each message exactly once, each sender’s in its order (seed %d, %d streams, ordering %s)',
    async (seed, streamCount, ordering) => {
      const random = new Random(seed);
      const redis = await RedisServer.start();
      const start = () =>
        startNode({ port: redis.port, adapter: { streamCount, ordering }, middleware: () => random.between(0, 25) });
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
      const toRooms = (id: unknown): boolean => ledger.addressingOf(id as string)?.to !== 'client';
      for (const { received } of visitors) {
        expect(notGoingOn(received)).toEqual([]);
        // In the order `log`, what is for one client overtakes what its node has sent to rooms.
        expect(disordered(received.filter(({ value }) => ordering === 'local-first' || toRooms(value)))).toEqual([]);
        expect(disordered(received.filter(({ value }) => !toRooms(value)))).toEqual([]);
      }
      if (ordering === 'log') {
        const orders = visitors.map(({ values }) => (values as string[]).filter(toRooms));
        expect(differences(orders)).toEqual([]);
      }
      expect(recoveries).toBeGreaterThan(200);
    },
    60_000,
  );
});
