import { setTimeout as sleep } from 'node:timers/promises';
import { TcpProxy, until } from '../kit/index.js';
import { visit } from '../recovery/fleet.js';
import { anomalies, Ledger, type LedgerReport } from '../recovery/ledger.js';
import { ProcessFleet, type FleetNode } from '../recovery/process-fleet.js';
import { disordered, type Visitor } from '../recovery/visitor.js';
import { Random } from './random.js';

export interface RecoverySoakOptions {
  seed: number;
  /** For how long clients are cut off and nodes fail. */
  seconds: number;
  /** @default 40 */
  clients?: number;
  /** Told what is done. */
  log?: (line: string) => void;
  /** Told of each client that was not recovered, or that misses something. */
  onAnomaly?: (line: string) => void;
}

export interface RecoverySoakReport extends LedgerReport {
  seed: number;
  seconds: number;
  /** How often each thing was done. */
  actions: Record<string, number>;
  /** Sockets that are left without a client, or clients that are connected twice. */
  ghosts: number;
  /** Sessions that are left in Redis though their clients are connected elsewhere. */
  leftovers: number;
}

const NODES = 3;
const INTERVAL = 8;
const ADAPTER = { heartbeatInterval: 200, heartbeatTimeout: 800, maxLen: 10_000_000 };

/** A client, and the network between it and its node. */
class Guest {
  private readonly networks: TcpProxy[] = [];

  private constructor(
    readonly visitor: Visitor,
    private readonly choose: () => FleetNode,
  ) {}

  static async arrive(rooms: string[], choose: () => FleetNode): Promise<Guest> {
    const network = await TcpProxy.start(portOf(choose()));
    const visitor = await visit({ url: urlOf(network) }, { rooms });
    const guest = new Guest(visitor, choose);
    guest.networks.push(network);
    visitor.socket.io.on('reconnect_attempt', () => guest.network.target(portOf(choose())));
    return guest;
  }

  get isHere(): boolean {
    return this.visitor.isConnected && this.visitor.offset !== undefined;
  }

  private get network(): TcpProxy {
    return this.networks.at(-1)!;
  }

  cut(how: 'close' | 'destroy'): void {
    this.network.target(portOf(this.choose()));
    this.visitor.cut(how);
  }

  /** Its node does not notice that it is gone. */
  async halfOpen(): Promise<void> {
    const network = await TcpProxy.start(portOf(this.choose()));
    this.network.blackhole();
    this.networks.push(network);
    this.visitor.goTo(urlOf(network));
    this.visitor.cut('close');
    if (this.networks.length > 5) {
      this.networks.shift()!.close();
    }
  }

  close(): void {
    this.visitor.close();
    this.networks.forEach((network) => network.close());
  }
}

/** Three nodes under load; clients are cut off, nodes killed, frozen, replaced and cut from Redis; then all is counted. */
export async function soakRecovery({
  seed,
  seconds,
  clients = 40,
  log = () => undefined,
  onAnomaly = console.log,
}: RecoverySoakOptions): Promise<RecoverySoakReport> {
  const random = new Random(seed);
  const fleet = await ProcessFleet.start({ kind: 'ours', adapter: ADAPTER, middleware: 30 }, NODES);
  const ledger = new Ledger();
  const guests: Guest[] = [];
  for (let i = 0; i < clients; i++) {
    guests.push(await Guest.arrive(ledger.roomsOf(i), () => random.pick(fleet.nodes)));
  }
  const visitors = guests.map(({ visitor }) => visitor);
  await fleet.nodes[0]!.process.call('emit', 'first');
  await until(() => guests.every(({ isHere }) => isHere), { what: 'all clients to have received something' });
  const sids = visitors.map(({ sid }) => sid);
  let senders = 0;
  const startLoad = ({ process }: FleetNode): Promise<unknown> =>
    process.call('startLoad', `node ${senders}`, seed + senders++, INTERVAL, sids);
  await Promise.all(fleet.nodes.map(startLoad));

  const some = (share: number): Guest[] => guests.filter((guest) => guest.isHere && random.next() < share);
  const replace = async (): Promise<void> => void (await startLoad(await fleet.add()));
  const ofClients: Record<string, () => unknown> = {
    'some are cut': () => some(0.2).forEach((guest) => guest.cut(random.pick(['close', 'destroy']))),
    'some are half-open': () => Promise.all(some(0.1).map((guest) => guest.halfOpen())),
  };
  const ofNodes: Record<string, () => Promise<unknown>> = {
    'a node is killed': async () => {
      await fleet.kill(random.pick(fleet.nodes));
      await replace();
    },
    'a node is replaced': async () => {
      const old = random.pick(fleet.nodes);
      await replace();
      await old.process.call('stopLoad');
      await fleet.retire(old);
    },
    'a node is frozen': async () => {
      const { process } = random.pick(fleet.nodes);
      process.pause();
      await sleep(random.between(50, 1_500));
      process.resume();
    },
    "nodes' connections to Redis are cut": () => {
      const which = random.pick([':commands', ':reader', '']);
      return fleet.redis.killClients(({ name }) => name.endsWith(which));
    },
  };
  const ofAll = { 'all are cut': () => some(1).forEach((guest) => guest.cut('destroy')) };
  const counts: Record<string, number> = {};
  const end = performance.now() + seconds * 1_000;
  const repeatedly = async (actions: Record<string, () => unknown>, pause: number): Promise<void> => {
    while (performance.now() < end) {
      const name = random.pick(Object.keys(actions));
      log(name);
      await actions[name]!();
      counts[name] = (counts[name] ?? 0) + 1;
      await sleep(random.between(0, pause));
    }
  };
  await Promise.all([repeatedly(ofClients, 120), repeatedly(ofNodes, 1_000), repeatedly(ofAll, 8_000)]);

  await until(() => guests.every(({ isHere }) => isHere), { what: 'all clients to be back', timeout: 30_000 });
  await Promise.all(fleet.nodes.map(({ process }) => process.call('stopLoad')));
  await fleet.settled();
  await ledger.noteStream(fleet.redis, 'socket.io', sids);
  await ledger.arrived(visitors);
  const report: RecoverySoakReport = {
    ...{ seed, seconds, actions: counts },
    ...ledger.check(visitors),
    ...{ ghosts: 0, leftovers: 0 },
  };
  await until(
    async () => {
      report.ghosts = await countGhosts(fleet, sids);
      report.leftovers = await countLeftovers(fleet, clients);
      return report.ghosts + report.leftovers === 0;
    },
    { what: 'nothing to be left', timeout: 5_000, interval: 100 },
  ).catch(() => undefined);
  describeAnomalies(ledger, visitors, onAnomaly);
  guests.forEach((guest) => guest.close());
  await fleet.close();
  return report;
}

/** What must not be: how much of it is in a report. */
export function anomaliesOf(report: RecoverySoakReport): number {
  return anomalies(report) + report.ghosts + report.leftovers;
}

async function countGhosts({ nodes }: ProcessFleet, sids: string[]): Promise<number> {
  const here = (await Promise.all(nodes.map(({ process }) => process.call<string[]>('sids')))).flat();
  return Math.abs(here.length - sids.length) + sids.filter((sid) => !here.includes(sid)).length;
}

/** Each client has one record: in the hash of its node. */
async function countLeftovers({ redis, nodes }: ProcessFleet, clients: number): Promise<number> {
  const keys = (await redis.command('KEYS', 'sio:session:*')) as string[];
  const sessions = keys.filter((key) => !/^sio:session:(live|claims):/.test(key)).length;
  const ids = await Promise.all(nodes.map(({ process }) => process.call<string>('id')));
  const live = await Promise.all(
    ids.map((id) => redis.command('HKEYS', `sio:session:live:${id}`) as Promise<string[]>),
  );
  return sessions + Math.abs(live.flat().filter((field) => field !== '').length - clients);
}

function describeAnomalies(ledger: Ledger, visitors: Visitor[], log: (line: string) => void): void {
  for (const [i, visitor] of visitors.entries()) {
    const values = visitor.values as string[];
    const seen = new Set<string>();
    const doubled = values.filter((value) => seen.size === seen.add(value).size);
    const missing = ledger.expectedOf(i).filter((id) => !seen.has(id));
    const late = disordered(visitor.received).map(({ value }) => value as string);
    if (missing.length + doubled.length + late.length + visitor.refused > 0) {
      log(`client ${i} ${visitor.sid}: ${JSON.stringify({ missing, doubled, late, refused: visitor.refused })}`);
      for (const [n, { recovered, url }] of visitor.visits.entries()) {
        if (n > 0 && !recovered) {
          log(`visit ${n} of ${visitor.visits.length}, to ${url}, is new: ${JSON.stringify(visitor.visits[n - 1])}`);
        }
      }
    }
  }
}

function urlOf({ port }: TcpProxy): string {
  return `http://127.0.0.1:${port}`;
}

function portOf({ url }: FleetNode): number {
  return Number(new URL(url).port);
}
