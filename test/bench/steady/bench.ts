import { NodeProcess } from '../../kit/index.js';
import type { Builds } from '../adapters.js';
import { runBench, type Result } from '../bench.js';
import { compile } from './compile.js';
import {
  BASE,
  hasRecovery,
  keyOf,
  nameOf,
  pointsOf,
  type Contender,
  type Point,
  type Series,
  type Setup,
  type Variant,
} from './points.js';
import { SteadyCluster, type Load, type Measurement, type Memory, type Stage } from './steady-cluster.js';

/** Messages a second of all nodes together: so few that each is a read of its own. */
const SETTLE_RATE = 800;

/** What is measured of each at full speed, one publisher: the scenarios of `npm run bench`. */
const AT_FULL_SPEED = ['all', 'large', 'binary', 'room', 'room-recovery'];

export interface SteadyOptions {
  series: Series[];
  /** The cluster whose memory is measured. @default that of most series */
  base?: Point;
  contenders: readonly Contender[];
  builds: Builds;
  /** Each of all contenders by turns. */
  rounds: number;
  /** How long each point is measured in each round. */
  seconds: number;
  arrivals: Load['arrivals'];
  /** Messages before the first measurement, at full speed, for the code to be compiled. */
  warmUp: number;
  /** Messages after these, one by one, for the code of that to be compiled too: V8 takes thousands of reads for it. */
  settle: number;
  /** Messages after which memory is measured; it is not at 0. */
  memoryAfter: number;
  /** Whether full speed with one publisher is measured too. */
  fullSpeed: boolean;
  /** A folder for CPU profiles of the first node of each cluster at each point. */
  profiles?: string | undefined;
  onProgress?: (text: string) => void;
  /** Called with all that there is so far, whenever there is more. */
  onResults?: (results: SteadyResults) => Promise<void>;
}

/** By variant: the measurements of each round. */
export interface PointResult {
  point: Point;
  rounds: Record<string, Measurement[]>;
}

/** By variant: of each round, a node that has done nothing but start and take its clients, and one after the messages. */
export type MemoryResult = Record<string, { idle: Memory; after: Memory }[]>;

export interface SteadyResults {
  series: Series[];
  contenders: readonly Contender[];
  points: PointResult[];
  memory: MemoryResult;
  memoryAfter: number;
  fullSpeed: Result[];
}

/** Measures clusters whose nodes all emit at a steady rate. */
export async function runSteady(options: SteadyOptions): Promise<SteadyResults> {
  const { series, contenders, memoryAfter, onResults = () => Promise.resolve() } = options;
  const results: SteadyResults = { series, contenders, points: [], memory: {}, memoryAfter, fullSpeed: [] };
  const compiled = await compile();
  const clients = await NodeProcess.start(compiled('test/bench/steady/clients.child.ts'), {
    isCompiled: true,
    startTimeout: 60_000,
  });
  const stage = { clients, compiled };
  for (const group of groupsOf(series)) {
    results.points.push(...(await runGroup(stage, group, options)));
    await onResults(results);
  }
  if (memoryAfter > 0) {
    results.memory = await runMemory(stage, options);
    await onResults(results);
  }
  await clients.close();
  if (options.fullSpeed) {
    results.fullSpeed = await runFullSpeed(options);
    await onResults(results);
  }
  return results;
}

/** Points that the same clusters can be measured at. */
interface Group {
  setup: Setup;
  points: { point: Point; recovery: Set<boolean> }[];
}

function groupsOf(series: readonly Series[]): Group[] {
  const groups = new Map<string, Group>();
  for (const one of series) {
    for (const point of pointsOf(one)) {
      const { nodes, rooms, namespaces } = point;
      const group = groups.get(keyOfSetup(point)) ?? { setup: { nodes, rooms, namespaces }, points: [] };
      groups.set(keyOfSetup(point), group);
      const known = group.points.find((other) => keyOf(other.point) === keyOf(point));
      if (known) {
        for (const recovery of one.recovery) known.recovery.add(recovery);
      } else {
        group.points.push({ point, recovery: new Set(one.recovery) });
      }
    }
  }
  return [...groups.values()];
}

const keyOfSetup = ({ nodes, rooms, namespaces }: Setup): string => [nodes, rooms, namespaces].join(' ');

async function runGroup(stage: Stage, { setup, points }: Group, options: SteadyOptions): Promise<PointResult[]> {
  const {
    contenders,
    builds,
    rounds,
    seconds,
    arrivals,
    warmUp,
    settle,
    profiles,
    onProgress = () => undefined,
  } = options;
  const title = `${setup.nodes} nodes, ${setup.rooms} rooms, ${setup.namespaces} namespaces`;
  const variants = variantsOf(contenders, new Set(points.flatMap(({ recovery }) => [...recovery])));
  const clusters: SteadyCluster[] = [];
  for (const variant of variants) {
    const cluster = await SteadyCluster.start(stage, variant, setup, buildOf(variant.contender, builds));
    clusters.push(cluster);
    const { payload } = points[0]!.point;
    await cluster.flood(payload, warmUp);
    if (settle > 0) {
      await cluster.run({ rate: SETTLE_RATE, payload, seconds: settle / SETTLE_RATE, arrivals });
    }
    onProgress(`${title}: ${nameOf(variant)} is warm`);
  }
  const results = points.map(({ point }): PointResult => ({ point, rounds: {} }));
  for (let round = 0; round <= rounds; round++) {
    for (const [i, { point, recovery }] of points.entries()) {
      const taking = clusters.filter(({ variant }) => takesPart(variant, recovery));
      for (let j = 0; j < taking.length; j++) {
        // Who comes first changes, for the one after a rest is another.
        const cluster = taking[(j + round) % taking.length]!;
        const measurement = await cluster.run({ ...point, seconds, arrivals });
        // The first round is the one in which V8 gets used to messages that come one by one.
        if (round > 0) (results[i]!.rounds[nameOf(cluster.variant)] ??= []).push(measurement);
      }
    }
    onProgress(`${title}: ${round === 0 ? 'warmed up' : `round ${round} of ${rounds}`}`);
  }
  if (profiles !== undefined) {
    for (const { point, recovery } of points) {
      for (const cluster of clusters.filter(({ variant }) => takesPart(variant, recovery))) {
        onProgress(await cluster.profile(point, { ...point, seconds, arrivals }, profiles));
      }
    }
  }
  for (const cluster of clusters) await cluster.close();
  return results;
}

function variantsOf(contenders: readonly Contender[], recovery: Set<boolean>): Variant[] {
  return [false, true].flatMap((on) =>
    contenders
      .map((contender) => ({ contender, recovery: on }))
      .filter((variant) => (on ? hasRecovery(variant.contender) : true) && takesPart(variant, recovery)),
  );
}

/** What has no recovery is compared with others that have it, and so is its zero line. */
function takesPart({ contender, recovery: on }: Variant, recovery: Set<boolean>): boolean {
  return recovery.has(on) || (!on && (contender === 'memory' || !hasRecovery(contender)));
}

function buildOf(contender: Contender, builds: Builds): string | undefined {
  return contender === 'ours' || contender === 'before' ? builds[contender] : undefined;
}

/** In processes that have done nothing before. */
async function runMemory(stage: Stage, options: SteadyOptions): Promise<MemoryResult> {
  const { contenders, builds, rounds, memoryAfter, base = BASE, onProgress = () => undefined } = options;
  const result: MemoryResult = {};
  for (let round = 1; round <= rounds; round++) {
    for (const variant of variantsOf(contenders, new Set([false, true]))) {
      const cluster = await SteadyCluster.start(stage, variant, base, buildOf(variant.contender, builds));
      const idle = await cluster.memory();
      await cluster.flood(base.payload, memoryAfter);
      (result[nameOf(variant)] ??= []).push({ idle, after: await cluster.memory() });
      await cluster.close();
      onProgress(`memory: ${nameOf(variant)}, round ${round} of ${rounds}`);
    }
  }
  return result;
}

async function runFullSpeed(options: SteadyOptions): Promise<Result[]> {
  const { contenders, builds, rounds, seconds, onProgress = () => undefined } = options;
  return runBench({
    ...{ rounds, seconds, builds, onProgress },
    only: AT_FULL_SPEED,
    adapters: contenders.filter((contender) => contender !== 'memory'),
  });
}
