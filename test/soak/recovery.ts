import { setTimeout as sleep } from 'node:timers/promises';
import { io as connect, type Socket } from 'socket.io-client';
import type { ClusterNodeStatus } from '../../lib/adapter/index.js';
import { nodeOfLane } from '../../lib/wire/entry.js';
import { SessionKeys } from '../../lib/wire/keys.js';
import { decodeSession } from '../../lib/wire/session.js';
import { compareStreamIds, type StreamId } from '../../lib/wire/stream-id.js';
import { TcpProxy, until } from '../kit/index.js';
import { Random } from '../kit/random.js';
import { anomalies, Ledger, type LedgerReport } from '../recovery/ledger.js';
import { RecoveryCluster, type RecoveryNode } from '../recovery/recovery-cluster.js';
import type { NodeReports } from '../recovery/recovery-node.child.js';
import type { TopologyName } from '../recovery/topology.js';
import { disordered, parts, type Received, stretches, visit, type Visit, type Visitor } from '../recovery/visitor.js';

export interface RecoverySoakOptions {
  seed: number;
  /** For how long clients are cut off and nodes fail. */
  seconds: number;
  /** @default 40 */
  clients?: number;
  /** @default "local-first" */
  ordering?: 'local-first' | 'log';
  /**
   * What the nodes share. With Sentinel and Cluster, masters fail over, and lose what their replicas have not got: then
   * clients may be refused, but who is recovered must not have a hole. @default "single"
   */
  topology?: TopologyName;
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
  /** How often the rooms of a recovered client were compared, and how often they were older than they may be. */
  compared: number;
  rolledBack: number;
  /** Of these, those whose last change was made at a node which reported that it was without Redis then or later. */
  reportedRollbacks: number;
  /** Sessions that are left in Redis though their clients are connected elsewhere. */
  leftovers: number;
  /** What clients miss between messages that they received without being refused in between. */
  holes: number;
  /** Of these, those that a node has reported as lost: what one failover had lost, a later one may bring back. */
  reportedHoles: number;
  /** Whether Redis may have lost what it had acknowledged, so that clients may rightly be refused. */
  mayBeRefused: boolean;
  /** Refused recoveries, by reason; also of connections that came thrice at once. */
  refusals: Record<string, number>;
}

const NODES = 3;
const INTERVAL = 8;
const ADAPTER = { heartbeatInterval: 200, heartbeatTimeout: 800, commandTimeout: 5_000, maxLen: 10_000_000 };

/** Milliseconds for which a change of rooms may not be written, if its node is frozen or killed. */
const UNWRITTEN = 4_000;
/** Rooms that clients join and leave; nothing is sent to them. */
const EXTRA_ROOMS = ['one', 'two', 'three', 'four', 'five'];

/** Keys whose masters fail over, in a cluster: that of the stream, and others where sessions are. */
const FAILOVER_KEYS = ['socket.io', 'socket.io', 'a', 'b', 'c'];

/** A client was recovered in other rooms than it had been in since a change at a node; milliseconds since 1970. */
interface Rollback {
  node: string;
  changedAt: number;
  seenAt: number;
}

/** A client, the network between it and its node, and the rooms that it has joined and left. */
class Guest {
  private readonly networks: TcpProxy[] = [];
  private readonly extras: Socket[] = [];
  /** Each cuts off one of them. */
  private readonly endings: NodeJS.Timeout[] = [];
  private rooms = new Set<string>();
  /** When its node has acknowledged a change of rooms last, and that node's id. */
  private changedAt = -Infinity;
  private changedNode = '';
  /** How many changes it has asked for. */
  private changes = 0;
  /** Up to which change it knows its rooms: it is not acknowledged if the client is cut off meanwhile, or its node is slow. */
  private known = 0;
  compared = 0;
  readonly rollbacks: Rollback[] = [];

  private constructor(
    readonly visitor: Visitor,
    private readonly choose: () => RecoveryNode,
    private readonly onAnomaly: (line: string) => void,
  ) {
    visitor.socket.on('connect', () => void this.compareRooms().catch(() => undefined));
  }

  /** Joins a room that it is not in, or leaves one. */
  async move(room: string): Promise<void> {
    const isIn = this.rooms.has(room);
    const change = ++this.changes;
    const socket = this.visitor.socket.timeout(500);
    try {
      const answers = [socket.emitWithAck(isIn ? 'leave' : 'join', room), socket.emitWithAck('where')];
      [, this.changedNode] = (await Promise.all(answers)) as [unknown, string];
    } catch {
      return;
    }
    if (change !== this.known + 1) {
      return; // it does not know what the one before has done
    }
    this.known = change;
    if (isIn) {
      this.rooms.delete(room);
    } else {
      this.rooms.add(room);
    }
    this.changedAt = Date.now();
  }

  /** After each recovery it is in the rooms that it was in, unless they changed right before. */
  private async compareRooms(): Promise<void> {
    if (!this.visitor.socket.recovered) {
      this.rooms.clear(); // it is new, even if it is cut off before it can ask
      this.changedAt = Date.now();
    }
    const { changes } = this;
    const isCertain = this.known === changes && Date.now() - this.changedAt > UNWRITTEN;
    if (!isCertain) {
      this.known = -1; // until a node has said it, be that after more connections
    }
    const rooms = (await this.visitor.socket.timeout(2_000).emitWithAck('rooms')) as string[];
    const actual = new Set(rooms.filter((room) => EXTRA_ROOMS.includes(room)));
    if (this.visitor.socket.recovered && isCertain) {
      this.compared++;
      if (actual.size !== this.rooms.size || [...actual].some((room) => !this.rooms.has(room))) {
        this.rollbacks.push({ node: this.changedNode, changedAt: this.changedAt, seenAt: Date.now() });
        this.onAnomaly(`${this.visitor.sid} was in ${[...this.rooms].join()} and is in ${[...actual].join()}`);
      }
    }
    this.rooms = actual;
    this.known = changes;
  }

  /** Leaves its node without that noticing, and comes back thrice within milliseconds, each time to another node. */
  async halfOpenAndThreefold(pause: number): Promise<void> {
    const { pid, offset } = this.visitor;
    await this.halfOpen();
    for (let i = 0; i < 2; i++) {
      const { url } = this.choose();
      const auth = { pid, offset };
      const extra = connect(url, { transports: ['websocket'], forceNew: true, reconnection: false, auth });
      this.extras.push(extra);
      this.endings.push(setTimeout(() => cutOff(extra), 200));
      await sleep(pause);
    }
  }

  static async arrive(rooms: string[], choose: () => RecoveryNode, onAnomaly: (line: string) => void): Promise<Guest> {
    const network = await TcpProxy.start(portOf(choose()));
    const visitor = await visit({ url: urlOf(network) }, { rooms });
    const guest = new Guest(visitor, choose, onAnomaly);
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

  /** Connections that it had before, and of whose end their nodes do not know, end now, or bring what was held of them. */
  endLate(random: Random): void {
    for (const network of this.networks.slice(0, -1)) {
      const how = random.next();
      if (how < 0.1) {
        network.heal();
      } else if (how < 0.2) {
        network.cut();
      }
    }
  }

  close(): void {
    this.visitor.close();
    this.endings.forEach(clearTimeout);
    this.extras.forEach(cutOff);
    this.networks.forEach((network) => network.close());
  }
}

/** Without a goodbye, which would end the session. */
function cutOff(socket: Socket): void {
  if (socket.connected) {
    (socket.io as unknown as { engine?: { close(): void } }).engine?.close();
  } else {
    socket.disconnect(); // else its timer for the connection would run for 20 s
  }
}

/** Three nodes under load; clients are cut off, nodes killed, frozen, replaced and cut from Redis; then all is counted. */
export async function soakRecovery({
  seed,
  seconds,
  clients = 40,
  ordering = 'local-first',
  topology: topologyName = 'single',
  log = () => undefined,
  onAnomaly = console.log,
}: RecoverySoakOptions): Promise<RecoverySoakReport> {
  const random = new Random(seed);
  const nodeOptions = { kind: 'ours', adapter: { ...ADAPTER, ordering }, middleware: 30 } as const;
  const cluster = await RecoveryCluster.start(nodeOptions, NODES, topologyName);
  const { topology } = cluster;
  const ledger = new Ledger();
  const guests: Guest[] = [];
  for (let i = 0; i < clients; i++) {
    guests.push(await Guest.arrive(ledger.roomsOf(i), () => random.pick(cluster.nodes), onAnomaly));
  }
  const visitors = guests.map(({ visitor }) => visitor);
  await cluster.nodes[0]!.process.call('emit', 'first');
  await until(() => guests.every(({ isHere }) => isHere), { what: 'all clients to have received something' });
  // A client whose node is killed before it has written that the client is there is a new client.
  await until(async () => (await countLeftovers(cluster, clients)) === 0, { what: 'all sessions to be written' });
  const sids = visitors.map(({ sid }) => sid);
  let senders = 0;
  /** The ids of nodes, by what they are called in their messages. */
  const ids = new Map<string, string>();
  const startLoad = async ({ process }: RecoveryNode): Promise<void> => {
    const name = `node ${senders}`;
    const started = process.call('startLoad', name, seed + senders++, INTERVAL, sids);
    ids.set(name, await process.call<string>('id'));
    await started;
  };
  await Promise.all(cluster.nodes.map(startLoad));

  const some = (share: number): Guest[] => guests.filter((guest) => guest.isHere && random.next() < share);
  const replace = async (): Promise<void> => void (await startLoad(await cluster.add()));
  const refusals: Record<string, number> = {};
  /** By the node that has reported it. */
  const reports = new Map<string, NodeReports>();
  const noteReports = async ({ process }: RecoveryNode): Promise<void> => {
    reports.set(await process.call<string>('id'), await process.call<NodeReports>('reports'));
    const { refusedRecoveries } = await process.call<ClusterNodeStatus>('status');
    for (const [reason, count] of Object.entries(refusedRecoveries)) {
      refusals[reason] = (refusals[reason] ?? 0) + count;
    }
  };
  const ofClients: Record<string, () => unknown> = {
    'some are cut': () => some(0.2).forEach((guest) => guest.cut(random.pick(['close', 'destroy']))),
    'some are half-open': () => Promise.all(some(0.1).map((guest) => guest.halfOpen())),
    'some come back thrice at once': () =>
      Promise.all(some(0.05).map((guest) => guest.halfOpenAndThreefold(random.between(0, 5)))),
    'old connections end late': () => guests.forEach((guest) => guest.endLate(random)),
    'some join and leave rooms': () => Promise.all(some(0.02).map((guest) => guest.move(random.pick(EXTRA_ROOMS)))),
  };
  const ofNodes: Record<string, () => Promise<unknown>> = {
    'a node is killed': async () => {
      const old = random.pick(cluster.nodes);
      await noteReports(old);
      await cluster.kill(old);
      await replace();
    },
    'a node is replaced': async () => {
      const old = random.pick(cluster.nodes);
      await replace();
      await old.process.call('stopLoad');
      await noteReports(old);
      await cluster.retire(old);
    },
    'a node is frozen': async () => {
      const { process } = random.pick(cluster.nodes);
      process.pause();
      await sleep(random.between(50, 1_500));
      process.resume();
    },
    'a node is cut off from Redis alone': async () => {
      const { network } = random.pick(cluster.nodes);
      if (random.next() < 0.5) {
        network.refuse();
        network.cut();
      } else {
        network.blackhole();
      }
      await sleep(random.between(50, 800)); // shorter than commandTimeout: who waits for longer is refused
      network.heal();
      await network.accept().catch(() => undefined);
    },
    'an answer of Redis is lost': async () => {
      const { network } = random.pick(cluster.nodes);
      await Promise.race([network.loseReplyTo(random.pick(['HSETNX', 'XADD', 'HSET', 'DEL', 'SET'])), sleep(500)]);
    },
    "nodes' connections to Redis are cut": async () => {
      const which = random.pick([':commands', ':reader', '']);
      const masters = (await topology.masters().catch(() => [])).filter(({ isRunning }) => isRunning);
      // One of them may be killed meanwhile.
      await Promise.allSettled(masters.map((master) => master.killClients(({ name }) => name.endsWith(which))));
    },
  };
  const ofServers = {
    'a master is killed, and its replica takes over': () => topology.failOver!(random.pick(FAILOVER_KEYS), 'killed'),
    'a replica takes over in good order': () => topology.failOver!(random.pick(FAILOVER_KEYS), 'in order'),
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
  await Promise.all([
    ...[repeatedly(ofClients, 120), repeatedly(ofNodes, 1_000), repeatedly(ofAll, 8_000)],
    ...(topology.failOver ? [repeatedly(ofServers, 6_000)] : []),
  ]);

  await until(() => guests.every(({ isHere }) => isHere), { what: 'all clients to be back', timeout: 30_000 }).catch(
    async (error: Error) => {
      const states = guests.map(({ visitor }, i) => ({
        i,
        isConnected: visitor.isConnected,
        offset: visitor.offset,
        last: visitor.visits.at(-1),
        errors: visitor.errors.slice(-3).map(String),
        pid: visitor.pid,
      }));
      const statuses = await Promise.all(cluster.nodes.map(({ process }) => process.call('status')));
      const lost = states.filter(({ isConnected, offset }) => !isConnected || offset === undefined);
      throw new Error(`${error.message}: ${JSON.stringify({ lost, statuses })}`, { cause: error });
    },
  );
  await Promise.all(cluster.nodes.map(({ process }) => process.call('stopLoad')));
  await cluster.settled();
  await ledger.noteStream(await topology.masterOf('socket.io'), 'socket.io', sids);
  await ledger.arrived(visitors);
  await Promise.all(cluster.nodes.map(noteReports));
  const holes = visitors.flatMap((visitor, i) => ledger.holesOf(visitor, i, ordering));
  const losses = [...reports.values()].flatMap((one) => one.losses);
  const reported = holes.filter((id) => {
    const [sender, entryId] = [ids.get(parts(id)[0]), ledger.entryIdOf(id)];
    return losses.some(({ origin, before }) => nodeOfLane(origin) === sender && isNotLongBefore(entryId, before));
  });
  const rollbacks = guests.flatMap((guest) => guest.rollbacks);
  const report: RecoverySoakReport = {
    ...{ seed, seconds, actions: counts },
    ...ledger.check(visitors, ordering, topology.failOver !== undefined),
    ...{ refusals, ghosts: 0, leftovers: 0, mayBeRefused: topology.failOver !== undefined },
    ...{ holes: holes.length, reportedHoles: reported.length },
    compared: guests.reduce((sum, { compared }) => sum + compared, 0),
    rolledBack: rollbacks.length,
    reportedRollbacks: rollbacks.filter((one) => wasWithoutRedis(reports.get(one.node), one)).length,
  };
  const timesSentAway = visitors.reduce((sum, { sentAway }) => sum + sentAway, 0);
  await until(
    async () => {
      report.ghosts = await countGhosts(cluster, visitors);
      report.leftovers = await countLeftovers(cluster, clients, timesSentAway);
      return report.ghosts + report.leftovers === 0;
    },
    // A node keeps its record of a session that another has claimed for at most ten seconds.
    { what: 'nothing to be left', timeout: 15_000, interval: 100 },
  ).catch(async () => onAnomaly(`left: ${JSON.stringify(await leftovers(cluster))}`));
  describeAnomalies(ledger, visitors, ordering, !report.mayBeRefused, onAnomaly);
  guests.forEach((guest) => guest.close());
  await cluster.close();
  return report;
}

/** What must not be: how much of it is in a report. */
export function anomaliesOf(report: RecoverySoakReport): number {
  const { ghosts, leftovers, rolledBack, reportedRollbacks, holes, reportedHoles, mayBeRefused } = report;
  const missing = holes - reportedHoles;
  const ofMessages = anomalies(mayBeRefused ? { ...report, refused: 0, missing } : report);
  // A deletion that a failover loses leaves a record until it expires; epochs say that it is not the session.
  return ofMessages + ghosts + (mayBeRefused ? 0 : leftovers) + rolledBack - reportedRollbacks;
}

/** Milliseconds from an entry to the one before which it was reported lost, at most. */
const REPORT_TIME = 10_000;

/** Whether an entry may be one of those that were reported lost before another. */
function isNotLongBefore(id: StreamId | undefined, before: StreamId): boolean {
  return id !== undefined && compareStreamIds(id, before) <= 0 && timeOf(before) - timeOf(id) < REPORT_TIME;
}

/** Whether a node has reported that it was without Redis, so that a change of rooms could not be written, or was lost. */
function wasWithoutRedis(reports: NodeReports | undefined, { changedAt, seenAt }: Rollback): boolean {
  const writtenAt = changedAt - 100;
  return reports?.outages.some(({ from, upTo }) => from < seenAt && (upTo ?? Infinity) > writtenAt) ?? false;
}

function timeOf(id: StreamId): number {
  return Number(id.split('-')[0]);
}

async function countGhosts({ nodes }: RecoveryCluster, visitors: Visitor[]): Promise<number> {
  const here = (await Promise.all(nodes.map(({ process }) => process.call<string[]>('sids')))).flat();
  const sids = visitors.map(({ sid }) => sid);
  const known = new Set([...sids, ...visitors.flatMap(leftBehind)]);
  const unknown = here.filter((sid, i) => !known.has(sid) || here.indexOf(sid) !== i); // or there twice
  return unknown.length + sids.filter((sid) => !here.includes(sid)).length;
}

/**
 * The sockets that a client has left without being recovered. If it was cut off without its node noticing, nobody tells that node,
 * which has the socket until its pings are not answered.
 */
function leftBehind({ visits }: Visitor): string[] {
  return visits.filter((_, i) => visits[i + 1]?.recovered === false).map(({ sid }) => sid);
}

/**
 * Each client has one record: in the hash of its node. One that was sent away begins anew: what its former connections have left
 * is kept until it expires.
 */
async function countLeftovers(cluster: RecoveryCluster, clients: number, timesSentAway = 0): Promise<number> {
  const { sessions, live } = await leftovers(cluster);
  return Math.max(0, sessions.length - timesSentAway) + Math.abs(Object.values(live).flat().length - clients);
}

/** What Redis has of sessions: of clients that have left, and of those that are connected, by node. */
async function leftovers({ topology, nodes }: RecoveryCluster): Promise<{
  sessions: string[];
  live: Record<string, string[]>;
}> {
  const masters = await topology.masters();
  const keys = (await Promise.all(masters.map((master) => master.command('KEYS', 'sio:session:*')))).flat() as string[];
  const ids = await Promise.all(nodes.map(({ process }) => process.call<string>('id')));
  const live = await Promise.all(
    ids.map(async (id) => {
      const key = `sio:session:live:${id}`;
      const fields = (await (await topology.masterOf(key)).command('HKEYS', key)) as string[];
      return [id, fields.filter((field) => field !== '')];
    }),
  );
  const stored = keys.filter((key) => !/^sio:session:(live|claims):/.test(key));
  const valid = await Promise.all(stored.map((key) => mayBeTaken(topology, key.slice('sio:session:'.length))));
  return { sessions: stored.filter((_key, i) => valid[i]), live: Object.fromEntries(live) as Record<string, string[]> };
}

/**
 * Whether the record of a client that has left may be taken for its session. A write of a connection that was lost may be
 * executed late, when another node has claimed the session: the record says by its epoch that it is an old one, and expires.
 */
async function mayBeTaken(topology: RecoveryCluster['topology'], pid: string): Promise<boolean> {
  const keys = new SessionKeys('sio:session:');
  const [record, claimed] = await Promise.all([
    topology.masterOf(keys.stored(pid)).then((master) => master.command('GET', keys.stored(pid))),
    topology.masterOf(keys.claims(pid)).then((master) => master.command('HKEYS', keys.claims(pid))),
  ]);
  const epoch = decodeSession(record, pid)?.epoch ?? 0;
  return record !== null && !(claimed as string[]).some((other) => Number(other) > epoch);
}

function describeAnomalies(
  ledger: Ledger,
  visitors: Visitor[],
  ordering: 'local-first' | 'log',
  isStrict: boolean,
  log: (line: string) => void,
): void {
  for (const [i, visitor] of visitors.entries()) {
    const seen = new Set(visitor.values as string[]);
    const missing = isStrict
      ? ledger.expectedOf(i).filter((id) => !seen.has(id))
      : ledger.holesOf(visitor, i, ordering);
    const parts = isStrict ? [visitor.received] : stretches(visitor);
    const doubled = parts.flatMap((received) => doublesOf(received.map(({ value }) => value as string)));
    const late = parts
      .flatMap((received) => ledger.lanesOf(received, ordering))
      .flatMap(disordered)
      .map(({ value }) => value as string);
    if (
      visitor.sentAway === 0 &&
      missing.length + doubled.length + late.length + (isStrict ? visitor.refused : 0) > 0
    ) {
      log(`client ${i} ${visitor.sid}: ${JSON.stringify({ missing, doubled, late, refused: visitor.refused })}`);
      for (const id of [...doubled, ...late].slice(0, 3)) {
        log(`around ${id}: ${JSON.stringify(around(visitor, id))}`);
      }
      if (missing.length > 0) {
        log(
          `around what is missing: ${JSON.stringify({ ...aroundHole(visitor, missing), inLog: missing.slice(0, 3).map((id) => `${id} @${ledger.entryIdOf(id)}`) })}`,
        );
      }
      if (doubled.length > 0) {
        log(`visits: ${JSON.stringify(visitsUntil(visitor, doubled.at(-1)!))}`);
      }
      for (const [n, { recovered, url }] of visitor.visits.entries()) {
        if (n > 0 && !recovered) {
          log(`visit ${n} of ${visitor.visits.length}, to ${url}, is new: ${JSON.stringify(visitor.visits[n - 1])}`);
        }
      }
    }
  }
}

function doublesOf(values: string[]): string[] {
  const seen = new Set<string>();
  return values.filter((value) => seen.size === seen.add(value).size);
}

/** What a client received right before and after each copy of a message, and how often it had connected by then. */
function around({ received, visits }: Visitor, id: string): unknown {
  return received.flatMap(({ value }, i) =>
    value === id
      ? [
          {
            visit: visits.filter(({ after }) => after <= i).length,
            received: received.slice(Math.max(0, i - 3), i + 3).map((one) => `${one.value as string} @${one.offset}`),
          },
        ]
      : [],
  );
}

/** What a client received last before, and first after, messages of one sender that it misses, and its visits from one to the other. */
function aroundHole({ received, visits }: Visitor, missing: string[]): object {
  const [sender, first] = parts(missing[0]);
  const ofSender = ({ value }: Received): boolean => parts(value)[0] === sender;
  const before = received.findLastIndex((one) => ofSender(one) && parts(one.value)[1] < first);
  const after = received.findIndex((one, i) => i > before && ofSender(one));
  const at = (i: number): unknown =>
    received.slice(Math.max(0, i - 2), i + 3).map((one) => Object.values(one).join(' @'));
  const during = visits.filter(({ after: n }, i) => n <= after && (visits[i + 1]?.after ?? Infinity) >= before);
  return { before: at(before), after: at(after), visits: during };
}

/** The last visits of a client before it received a message for the last time. */
function visitsUntil({ received, visits }: Visitor, id: string): Visit[] {
  const at = received.findLastIndex(({ value }) => value === id);
  return visits.filter(({ after }) => after <= at).slice(-6);
}

function urlOf({ port }: TcpProxy): string {
  return `http://127.0.0.1:${port}`;
}

function portOf({ url }: RecoveryNode): number {
  return Number(new URL(url).port);
}
