import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { createAdapter, type RedisStreamsAdapterOptions } from '../../lib/adapter/index.js';
import { RedisServer, until } from '../kit/index.js';
import { acrossNodes, program, type Program } from './program.js';
import { Stage, type Outcome } from './stage.js';

/** How many programs each configuration runs; `DIFFERENTIAL_SEED` repeats those of an earlier run. */
const RUNS = Number(process.env['DIFFERENTIAL_RUNS'] ?? 1_000);
const seed = Number(process.env['DIFFERENTIAL_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

interface Configuration {
  name: string;
  nodes: number;
  recovery: boolean;
  options?: RedisStreamsAdapterOptions;
}

const configurations: Configuration[] = [
  { name: 'one node', nodes: 1, recovery: false },
  { name: 'three nodes', nodes: 3, recovery: false },
  { name: 'one node, with recovery', nodes: 1, recovery: true },
  { name: 'three nodes, with recovery', nodes: 3, recovery: true },
];

describe.each(configurations)('what clients see of a program: $name', ({ nodes, recovery, options }) => {
  let redis: RedisServer;
  let clients: Redis[];
  let inMemory: Stage;
  let ours: Stage;

  beforeAll(async () => {
    redis = await RedisServer.start();
    clients = Array.from({ length: nodes }, () => new Redis(redis.url));
    const adapters = clients.map((client) => createAdapter(client, options, { log() {}, warn() {}, error() {} }));
    const server = recovery ? { connectionStateRecovery: { maxDisconnectionDuration: 60_000 } } : {};
    inMemory = await Stage.start([undefined], server);
    ours = await Stage.start(adapters, server);
    await Promise.all(adapters.map(({ node }) => node.start()));
    for (const nsp of ['/', '/second']) {
      const { adapter } = ours.ios[0]!.of(nsp);
      await until(async () => (await adapter.serverCount()) === nodes, { what: 'all nodes' });
    }
  });
  afterAll(async () => {
    await Promise.all([inMemory.close(), ours.close()]);
    clients.forEach((client) => client.disconnect());
    await redis.close();
  });

  test(`is what they see of it with the in-memory adapter (${RUNS} programs, seed ${seed})`, async () => {
    const property = fc.asyncProperty(nodes === 1 ? program : program.map(acrossNodes), async (code: Program) => {
      if (process.env['DBG']) console.error(JSON.stringify(code));
      const [expected, actual] = await Promise.all([inMemory.run(code), ours.run(code)]);
      expect(comparable(actual, expected, nodes)).toEqual(comparable(expected, actual, nodes));
    });
    await fc.assert(property, { numRuns: RUNS, seed, endOnFailure: process.env['DBG'] !== undefined, timeout: 9_000 });
  }, 300_000);
});

/** What must be the same. Volatile events may be dropped, by either. */
function comparable(outcome: Outcome, other: Outcome, nodes: number): Outcome {
  const received = outcome.received.map((events, who) => {
    const names = new Set(other.received[who]!.map(([name]) => name));
    return events.filter(([name]) => names.has(name) || !String(name).startsWith('volatile'));
  });
  if (process.env['OWN']) return { received: [0, 1, 2, 5].map((i) => received[i]!), results: [], seen: [] };
  return { ...outcome, received, seen: nodes === 1 ? outcome.seen : [] };
}
