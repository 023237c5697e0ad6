import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { createAdapter, type ClusterNodeStatus, type RedisStreamsAdapterFactory } from '../../lib/adapter/index.js';
import { RedisServer, until } from '../kit/index.js';
import { acrossNodes, askingHere, oneByOne, OWN, program, withoutQuestions, type Program } from './program.js';
import { Stage, type Outcome } from './stage.js';

/** How many programs each configuration runs. */
const RUNS = Number(process.env['DIFFERENTIAL_RUNS'] ?? 100);
/** The same programs each time, so that a change is what makes the difference; `DIFFERENTIAL_SEED` gives others. */
const seed = Number(process.env['DIFFERENTIAL_SEED'] ?? 20_251_125);
/** How many programs end with the end of the server; each has servers of its own. */
const CLOSINGS = Math.ceil(RUNS / 25);
/** Milliseconds for one program: far more than it needs. */
const PROGRAM_TIMEOUT = 20_000;

interface Configuration {
  name: string;
  nodes: number;
  recovery: boolean;
  ordering: 'log' | 'local-first';
  /** Whether Redis is away while the programs run. */
  away: boolean;
}

const isOn = (value: boolean): string => (value ? 'on' : 'off');
const configurations: Configuration[] = [
  ...(['local-first', 'log'] as const).flatMap((ordering) =>
    [false, true].flatMap((recovery) =>
      [1, 3].map((nodes) => ({
        name: `${nodes === 1 ? 'one node' : 'three nodes'}, recovery ${isOn(recovery)}, ordering "${ordering}"`,
        ...{ nodes, recovery, ordering, away: false },
      })),
    ),
  ),
  // With the ordering "log", what is for rooms or for all waits for Redis.
  ...[false, true].map((recovery) => ({
    name: `Redis away, one node, recovery ${isOn(recovery)}`,
    ...{ nodes: 1, recovery, ordering: 'local-first' as const, away: true },
  })),
];

/**
 * The programs that all nodes of a configuration must run as one server does.
 *
 * With the ordering "log", what is for rooms or for all is delivered when it is read back, while what is for one socket, and
 * what asks for acknowledgements, is at once: in one turn, the former comes after the latter, and to those who are in the
 * room then. So each turn does one thing there.
 */
function programs({ nodes, ordering, away }: Configuration): fc.Arbitrary<Program> {
  if (away) {
    return program.map(askingHere);
  }
  if (ordering === 'log') {
    return program.map(acrossNodes).map(oneByOne);
  }
  return nodes === 1 ? program : program.map(acrossNodes);
}

/** The in-memory adapter, and ours on some nodes of one Redis, before the same audience. */
class Pair {
  private constructor(
    readonly inMemory: Stage,
    readonly ours: Stage,
    private readonly clients: Redis[],
    private readonly adapters: RedisStreamsAdapterFactory[],
  ) {}

  /** @param name - of the stream, and of the channels */
  static async start(
    redis: RedisServer,
    name: string,
    { nodes, recovery, ordering, away }: Configuration,
  ): Promise<Pair> {
    const clients = Array.from({ length: nodes }, () => new Redis(redis.url));
    clients.forEach((client) => client.on('error', () => undefined));
    const silent = { log() {}, warn() {}, error() {} };
    const options = { ordering, streamName: name, channelPrefix: name, ...(away && { commandTimeout: 500 }) };
    const adapters = clients.map((client) => createAdapter(client, options, silent));
    const server = recovery ? { connectionStateRecovery: { maxDisconnectionDuration: 60_000 } } : {};
    const idle = (): Promise<void> => (away ? Promise.resolve() : haveReadAll(clients.at(-1)!, name, adapters));
    const pair = new Pair(
      await Stage.start([undefined], server, { imagined: nodes - 1 }),
      await Stage.start(adapters, server, { idle }),
      ...([clients, adapters] as const),
    );
    await Promise.all(adapters.map(({ node }) => node.start()));
    for (const nsp of ['/', '/second']) {
      const { adapter } = pair.ours.ios[0]!.of(nsp);
      await until(async () => (await adapter.serverCount()) === nodes, { what: 'all nodes' });
    }
    return pair;
  }

  async loseRedis(): Promise<void> {
    await until(() => this.adapters.every(({ node }) => node.status().state === 'degraded'), { what: 'the loss' });
  }

  async close(): Promise<void> {
    await Promise.all([this.inMemory.close(), this.ours.close()]);
    this.clients.forEach((client) => client.disconnect());
  }
}

/** Waits until all is in the stream, and all nodes that still run have read it. */
async function haveReadAll(redis: Redis, stream: string, adapters: RedisStreamsAdapterFactory[]): Promise<void> {
  const statuses = (): ClusterNodeStatus['streams'] =>
    adapters.map(({ node }) => node.status()).flatMap(({ state, streams }) => (state === 'closed' ? [] : streams));
  await until(() => statuses().every(({ outbox }) => outbox.entries === 0), {
    ...{ what: 'all entries to be appended', interval: 1 },
  });
  const [last] = await redis.xrevrange(stream, '+', '-', 'COUNT', 1);
  await until(() => !last || statuses().every(({ position }) => position === last[0]), {
    ...{ what: 'all entries to be read', interval: 1 },
  });
}

describe.each(configurations)('What clients see of a program ($name)', (configuration) => {
  const { nodes, away } = configuration;
  const runs = away ? Math.ceil(RUNS / 3) : RUNS; // Redis takes no part in those
  let redis: RedisServer;
  let pair: Pair;

  beforeAll(async () => {
    redis = await RedisServer.start();
    pair = await Pair.start(redis, 'program', configuration);
    if (away) {
      await redis.kill();
      await pair.loseRedis();
    }
  });
  afterAll(async () => {
    await pair.close();
    await redis.close();
  });

  test(`is what they see of it with the in-memory adapter (${runs} programs, seed ${seed})`, async () => {
    const { inMemory, ours } = pair;
    const property = fc.asyncProperty(programs(configuration), async (code) => {
      const [expected, actual] = await Promise.all([inMemory.run(code), ours.run(code)]);
      expect(comparable(actual, expected, nodes)).toEqual(comparable(expected, actual, nodes));
    });
    await fc.assert(property, { numRuns: runs, seed, timeout: PROGRAM_TIMEOUT });
  }, 300_000);
});

describe.each(configurations.filter(({ ordering, away }) => ordering === 'local-first' && !away))(
  'What clients see of a program that ends with io.close() ($name)',
  (configuration) => {
    test(`is what they see of it with the in-memory adapter (${CLOSINGS} programs, seed ${seed})`, async () => {
      const redis = await RedisServer.start();
      let count = 0;
      const property = fc.asyncProperty(programs(configuration).map(withoutQuestions), async (code) => {
        const pair = await Pair.start(redis, `closing-${count++}`, configuration);
        try {
          const { inMemory, ours } = pair;
          const [expected, actual] = await Promise.all([inMemory.runAndClose(code), ours.runAndClose(code)]);
          const { nodes } = configuration;
          expect(comparable(actual, expected, nodes)).toEqual(comparable(expected, actual, nodes));
        } finally {
          await pair.close();
        }
      });
      await fc.assert(property, { numRuns: CLOSINGS, seed, timeout: PROGRAM_TIMEOUT });
      await redis.close();
    }, 300_000);
  },
);

/**
 * What must be the same. Volatile events may be dropped, and may come at another place to clients of other nodes; and a
 * client of another node may still answer while its disconnection is on its way, so where somebody is disconnected, the
 * results are not compared across nodes.
 */
function comparable(outcome: Outcome, other: Outcome, nodes: number): Outcome {
  const isOwn = (who: number): boolean => nodes === 1 || OWN.includes(who);
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
