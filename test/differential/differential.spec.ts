import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { createAdapter } from '../../lib/adapter/index.js';
import { RedisServer, until } from '../kit/index.js';
import { acrossNodes, oneByOne, OWN, program, type Program } from './program.js';
import { Stage, type Outcome } from './stage.js';

/** How many programs each configuration runs. */
const RUNS = Number(process.env['DIFFERENTIAL_RUNS'] ?? 300);
/** The same programs each time, so that a change is what makes the difference; `DIFFERENTIAL_SEED` gives others. */
const seed = Number(process.env['DIFFERENTIAL_SEED'] ?? 20_251_125);
/** Milliseconds for one program: far more than it needs. */
const PROGRAM_TIMEOUT = 20_000;

interface Configuration {
  name: string;
  nodes: number;
  recovery: boolean;
  ordering: 'log' | 'local-first';
}

const configurations: Configuration[] = (['local-first', 'log'] as const).flatMap((ordering) =>
  [false, true].flatMap((recovery) =>
    [1, 3].map((nodes) => ({
      name: `${nodes === 1 ? 'one node' : 'three nodes'}, recovery ${recovery ? 'on' : 'off'}, ordering "${ordering}"`,
      ...{ nodes, recovery, ordering },
    })),
  ),
);

/**
 * The programs that all nodes of a configuration must run as one server does.
 *
 * With the ordering "log", what is for rooms or for all is delivered when it is read back, while what is for one socket, and
 * what asks for acknowledgements, is at once: in one turn, the former comes after the latter, and to those who are in the
 * room then. So each turn does one thing there.
 */
function programs({ nodes, ordering }: Configuration): fc.Arbitrary<Program> {
  if (ordering === 'log') {
    return program.map(acrossNodes).map(oneByOne);
  }
  return nodes === 1 ? program : program.map(acrossNodes);
}

describe.each(configurations)('What clients see of a program ($name)', (configuration) => {
  const { nodes, recovery, ordering } = configuration;
  let redis: RedisServer;
  let clients: Redis[];
  let inMemory: Stage;
  let ours: Stage;

  beforeAll(async () => {
    redis = await RedisServer.start();
    clients = Array.from({ length: nodes }, () => new Redis(redis.url));
    const silent = { log() {}, warn() {}, error() {} };
    const adapters = clients.map((client) => createAdapter(client, { ordering }, silent));
    const server = recovery ? { connectionStateRecovery: { maxDisconnectionDuration: 60_000 } } : {};
    inMemory = await Stage.start([undefined], server);
    const hasReadAll = (last: string | undefined): boolean =>
      adapters.every(({ node }) => {
        const [stream] = node.status().streams;
        return stream!.outbox.entries === 0 && (last === undefined || stream!.position === last);
      });
    ours = await Stage.start(adapters, server, async () => {
      await until(() => adapters.every(({ node }) => node.status().streams[0]!.outbox.entries === 0), {
        ...{ what: 'all entries to be appended', interval: 1 },
      });
      const [entry] = await clients[0]!.xrevrange('socket.io', '+', '-', 'COUNT', 1);
      await until(() => hasReadAll(entry?.[0]), { what: 'all entries to be read', interval: 1 });
    });
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
    const property = fc.asyncProperty(programs(configuration), async (code) => {
      const [expected, actual] = await Promise.all([inMemory.run(code), ours.run(code)]);
      expect(comparable(actual, expected, nodes)).toEqual(comparable(expected, actual, nodes));
    });
    await fc.assert(property, { numRuns: RUNS, seed, timeout: PROGRAM_TIMEOUT });
  }, 300_000);
});

/**
 * What must be the same. Volatile events may be dropped, and may come at another place to clients of other nodes; and a
 * client of another node may still answer while its disconnection is on its way, so where somebody is disconnected, the
 * results are not compared across nodes.
 */
function comparable(outcome: Outcome, other: Outcome, nodes: number): Outcome {
  const isOwn = (who: number): boolean => nodes === 1 || (OWN as readonly number[]).includes(who);
  const received = outcome.received.map((events, who) => {
    const names = new Set(other.received[who]!.map(([name]) => name));
    return events.filter(([name]) => !String(name).startsWith('volatile') || (isOwn(who) && names.has(name)));
  });
  if (nodes === 1) {
    return { ...outcome, received };
  }
  const isQuiet = !received.flat().some(([name]) => name === 'disconnected' || name === 'closed');
  return { received, results: isQuiet ? outcome.results : [], seen: [] };
}
