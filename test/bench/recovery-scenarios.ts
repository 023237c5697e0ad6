import { setTimeout as sleep } from 'node:timers/promises';
import { closeFrom, openCount, TcpProxy, until } from '../kit/index.js';
import { Random } from '../kit/random.js';
import { Ledger } from '../recovery/ledger.js';
import { RecoveryCluster, type RecoveryNode } from '../recovery/recovery-cluster.js';
import type { RecoveryProcessOptions } from '../recovery/recovery-process.js';
import { visit, type Visitor } from '../recovery/visitor.js';
import { writeTable } from './docs-table.js';

type Kind = RecoveryProcessOptions['kind'];

/** What came of a scenario. */
interface Outcome {
  /** How often a client came back, and how often it was recovered then. */
  returns: number;
  recovered: number;
  /** Messages that the clients should have been given, all together. */
  expected: number;
  missing: number;
  doubled: number;
  disordered: number;
}

interface Scenario {
  options?: Partial<RecoveryProcessOptions>;
  /** Of this package only. */
  ours?: RecoveryProcessOptions['adapter'];
  /** @default 30 */
  clients?: number;
  run(stage: Stage): Promise<unknown>;
}

/** Clients of a cluster of three nodes, while something happens to them. */
class Stage {
  readonly random = new Random(7);
  readonly visitors: Visitor[] = [];
  /** Client `i` connected to the first of them through this network. */
  readonly networks: TcpProxy[] = [];
  private readonly ledger = new Ledger();
  private sent = 0;
  private loads = 0;

  private constructor(readonly cluster: RecoveryCluster) {}

  static async set(kind: Kind, { options = {}, ours, clients = 30 }: Scenario): Promise<Stage> {
    const adapter = { maxLen: 1_000_000, heartbeatInterval: 1_000, heartbeatTimeout: 3_000 };
    const own = kind === 'ours' ? ours : undefined;
    const stage = new Stage(
      await RecoveryCluster.start({ kind, ...options, adapter: { ...adapter, ...options.adapter, ...own } }),
    );
    const { namespace = '/' } = options;
    for (let i = 0; i < clients; i++) {
      const network = await TcpProxy.start(Number(new URL(stage.home(i).url).port));
      const rooms = stage.ledger.roomsOf(i);
      stage.visitors.push(
        await visit({ url: `http://127.0.0.1:${network.port}` }, { namespace, rooms, reconnectionDelayMax: 200 }),
      );
      stage.networks.push(network);
    }
    return stage;
  }

  /** The node that a client connects to at first. */
  home(client: number): RecoveryNode {
    return this.cluster.nodes[client % this.cluster.nodes.length]!;
  }

  /** One message to all. */
  async say(node = this.cluster.nodes[0]!): Promise<void> {
    const { id } = this.ledger.note({ id: `said ${this.sent++}`, addressing: { to: 'all' } });
    await node.process.call('emit', id);
  }

  /** The nodes broadcast all the time. Resolves when each client has received something. */
  async startLoad(nodes: readonly RecoveryNode[] = this.cluster.nodes): Promise<void> {
    const sids = this.visitors.map(({ visits }) => visits[0]!.sid);
    for (const { process } of nodes) {
      await process.call('startLoad', `load ${this.loads}`, this.loads++, 10, sids);
    }
    await this.received(3);
  }

  /** Waits until all clients have received so many messages. */
  async received(count: number): Promise<void> {
    await until(() => this.visitors.every(({ received }) => received.length >= count), { what: `${count} messages` });
  }

  /** Clients are cut off at random, for so many seconds, and come back to any node. */
  async cutAtRandom(seconds: number, share = 0.1): Promise<void> {
    const end = performance.now() + seconds * 1_000;
    while (performance.now() < end) {
      for (const visitor of this.visitors) {
        if (visitor.isConnected && this.random.next() < share) {
          this.sendAnywhere(visitor);
          visitor.cut(this.random.pick(['close', 'destroy']));
        }
      }
      await sleep(50);
    }
  }

  sendAnywhere(visitor: Visitor, nodes: readonly RecoveryNode[] = this.cluster.nodes): void {
    visitor.goTo(this.random.pick(nodes).url);
  }

  async allStayAway(how?: 'close' | 'destroy'): Promise<void> {
    await Promise.all(this.visitors.map((visitor) => visitor.stayAway(how)));
  }

  async allComeBack(to: (client: number) => RecoveryNode): Promise<void> {
    this.visitors.forEach((visitor, i) => visitor.comeBack(to(i).url));
    await this.allBack();
  }

  async allBack(): Promise<void> {
    await until(() => this.visitors.every(({ isConnected }) => isConnected), {
      what: 'all to be back',
      timeout: 60_000,
    });
  }

  async outcome(): Promise<Outcome> {
    await this.allBack();
    await Promise.all(this.cluster.nodes.map(({ process }) => process.call('stopLoad')));
    await this.cluster.settled();
    const sids = this.visitors.map(({ visits }) => visits[0]!.sid);
    for (const stream of (await this.cluster.redis.command('KEYS', 'socket.io*')) as string[]) {
      await this.ledger.noteStream(this.cluster.redis, stream, sids);
    }
    await this.ledger.arrived(this.visitors);
    const { recoveries, refused, expected, missing, doubled, disordered } = this.ledger.check(this.visitors);
    return { returns: recoveries + refused, recovered: recoveries, expected, missing, doubled, disordered };
  }
}

const SCENARIOS: Record<string, Scenario> = {
  'cut at random for 10 s while three nodes broadcast': {
    options: { middleware: 20 },
    run: async (stage) => {
      await stage.startLoad();
      await stage.cutAtRandom(10);
    },
  },

  'cut at random for 10 s, middlewares of up to 500 ms': {
    options: { middleware: 500 },
    run: async (stage) => {
      await stage.startLoad();
      await stage.cutAtRandom(10);
    },
  },

  'cut at random for 5 s, namespace `/notifications`, `streamCount` 2': {
    options: { namespace: '/notifications', adapter: { streamCount: 2 } }, // its hash is negative, and odd
    run: async (stage) => {
      await stage.startLoad();
      await stage.cutAtRandom(5);
    },
  },

  'rolling deploy: three nodes closed and replaced under load': {
    options: { middleware: 20 },
    run: async (stage) => {
      const { visitors, cluster } = stage;
      await stage.startLoad();
      for (let round = 0; round < 3; round++) {
        const [old, ...rest] = cluster.nodes;
        const replacement = await cluster.add();
        await stage.startLoad([replacement]);
        visitors.forEach((visitor) => stage.sendAnywhere(visitor, [...rest, replacement]));
        await old!.process.call('stopLoad');
        await cluster.retire(old!);
        await stage.allBack();
      }
    },
  },

  'crash: one of three nodes killed under load': {
    run: async (stage) => {
      const { visitors, cluster } = stage;
      await stage.startLoad();
      const [killed, ...rest] = cluster.nodes;
      visitors.forEach((visitor) => stage.sendAnywhere(visitor, rest));
      await cluster.kill(killed!);
      await stage.allBack();
    },
  },

  'half-open under load, back on another node': {
    run: (stage) => halfOpen(stage, (client) => stage.home(client + 1)),
  },

  'half-open under load, back on the same node': {
    run: (stage) => halfOpen(stage, (client) => stage.home(client)),
  },

  'connections of all nodes to Redis cut while clients come back under load': {
    options: { middleware: 20 },
    run: async (stage) => {
      await stage.startLoad();
      for (let round = 0; round < 3; round++) {
        const cuts = stage.cutAtRandom(1, 0.5);
        await sleep(500);
        await stage.cluster.redis.killClients();
        await cuts;
        await stage.allBack();
      }
    },
  },

  'quiet until its offset was trimmed, nothing missed': {
    options: { adapter: { maxLen: 200 } },
    run: async (stage) => {
      const { cluster } = stage;
      await stage.say();
      await stage.received(1);
      await trim(cluster);
      await stage.allStayAway();
      await stage.allComeBack(() => cluster.nodes[2]!);
      await stage.say(cluster.nodes[1]);
    },
  },

  'never received anything (`announceOffset`)': {
    ours: { announceOffset: true },
    run: async (stage) => {
      const { visitors, cluster } = stage;
      // The reference has nothing to wait for.
      await until(() => visitors.every(({ offset }) => offset !== undefined), {
        what: 'offsets',
        timeout: 1_000,
      }).catch(() => undefined);
      await stage.allStayAway();
      await stage.say();
      await stage.allComeBack(() => cluster.nodes[1]!);
    },
  },

  'the last packet before the cut was volatile': {
    run: async (stage) => {
      const { visitors, cluster } = stage;
      await stage.say();
      await stage.received(1);
      const seen = new Set<Visitor>();
      visitors.forEach((visitor) => visitor.socket.on('volatile', () => seen.add(visitor)));
      await until(
        async () => {
          await cluster.nodes[0]!.process.call('emitVolatile', 'hello');
          return seen.size === visitors.length;
        },
        { what: 'all to have seen it', interval: 50 },
      );
      await stage.allStayAway();
      await stage.say();
      await stage.allComeBack(() => cluster.nodes[1]!);
    },
  },

  'cut ten times, each time right after it recovered': {
    run: async (stage) => {
      const { visitors } = stage;
      await stage.say();
      await stage.received(1);
      await stage.allStayAway();
      await stage.say();
      await stage.allComeBack((client) => stage.home(client));
      for (let round = 0; round < 10; round++) {
        visitors.forEach((visitor) => stage.sendAnywhere(visitor));
        visitors.forEach((visitor) => visitor.cut());
        await until(() => visitors.every(({ visits }) => visits.length === round + 3), { what: 'all to be back' });
      }
      await stage.say();
    },
  },

  'back on a node that has just started, 2,000 messages missed': {
    clients: 10,
    run: async (stage) => {
      await stage.say();
      await stage.received(1);
      await stage.allStayAway();
      for (let sent = 0; sent < 2_000; sent += 500) {
        await Promise.all(Array.from({ length: 500 }, () => stage.say()));
      }
      const fresh = await stage.cluster.add();
      await stage.allComeBack(() => fresh);
    },
  },
};

/** The nodes do not notice that their clients are gone. */
async function halfOpen(stage: Stage, to: (client: number) => RecoveryNode): Promise<void> {
  await stage.startLoad();
  stage.networks.forEach((network) => network.blackhole());
  await stage.allStayAway('close');
  await stage.allComeBack(to);
}

/** Sends messages for nobody until all that there was is trimmed; not so many at once that a node could be outrun. */
async function trim(cluster: RecoveryCluster): Promise<void> {
  const oldest = async (): Promise<string> =>
    JSON.stringify(await cluster.redis.command('XRANGE', 'socket.io', '-', '+', 'COUNT', '1'));
  do {
    await cluster.nodes[1]!.process.call('whisper', 50);
    await cluster.settled();
  } while (!(await oldest()).includes('nothing'));
}

async function play(kind: Kind, scenario: Scenario): Promise<Outcome> {
  const open = openCount();
  const stage = await Stage.set(kind, scenario);
  await scenario.run(stage);
  const outcome = await stage.outcome();
  await closeFrom(open);
  return outcome;
}

const number = new Intl.NumberFormat('en');

function toRow(name: string, { returns, recovered, expected, ...bad }: Outcome): string {
  const cells = [returns, recovered, expected, bad.missing, bad.doubled, bad.disordered].map((n) => number.format(n));
  return `| ${[name, ...cells].join(' | ')} |`;
}

/**
 * `npm run bench:scenarios`: what becomes of clients, with this package and with the reference. Prints a table, and
 * writes it into `docs/recovery.md`; with a part of a name, prints the scenarios of that name only. Fails if a client
 * of this package was not recovered exactly.
 */
const [part = ''] = process.argv.slice(2);
const rows: string[] = [];
const print = (row: string): void => void console.log(rows[rows.push(row) - 1]);
print('| scenario | | returns | recovered | expected | missing | doubled | disordered |');
print('| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |');
let isExact = true;
for (const [name, scenario] of Object.entries(SCENARIOS).filter(([name]) => name.includes(part))) {
  const ours = await play('ours', scenario);
  print(toRow(`${name} | this package`, ours));
  print(toRow(' | the reference', await play('reference', scenario)));
  isExact &&= ours.recovered === ours.returns && ours.missing + ours.doubled + ours.disordered === 0;
}
if (part === '') {
  await writeTable('recovery.md', 'scenarios', rows.join('\n'));
}
process.exitCode = isExact ? 0 : 1;
