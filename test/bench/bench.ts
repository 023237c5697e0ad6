import { NodeProcess } from '../kit/index.js';
import type { Builds } from './adapters.js';
import { BenchCluster, type Measurement } from './bench-cluster.js';
import { ADAPTERS, SCENARIOS, takesPart, type AdapterName, type Scenario } from './scenarios.js';

/** How much longer than a run each adapter is made to work before it is measured. */
const WARM_UP = 2;
/** How much faster than it is measured, where a rate is given. */
const HURRY = 4;

export interface BenchOptions {
  rounds: number;
  /** How long each scenario runs with each adapter in each round. */
  seconds: number;
  /** Names of scenarios. */
  only?: string[] | undefined;
  adapters?: AdapterName[] | undefined;
  /** Instead of this package's sources, and beside them. */
  builds?: Builds | undefined;
  /** A folder for CPU profiles, one of each node in each scenario. */
  profiles?: string | undefined;
  onProgress?: (text: string) => void;
}

/** The measurements of one scenario, by adapter, one for each round. */
export interface Result {
  scenario: Scenario;
  rounds: Partial<Record<AdapterName, Measurement[]>>;
}

/** Runs all adapters by turns, so that whatever else the machine does meets all of them. */
export async function runBench(options: BenchOptions): Promise<Result[]> {
  const { rounds, seconds, only, builds = {}, adapters = ADAPTERS, profiles, onProgress = () => undefined } = options;
  const scenarios = SCENARIOS.filter(({ name }) => !only || only.includes(name));
  const clients = await NodeProcess.start(new URL('./clients.child.ts', import.meta.url), { startTimeout: 60_000 });
  const results: Result[] = [];
  for (const recovery of [false, true]) {
    const here = scenarios.filter((scenario) => scenario.recovery === recovery);
    const competing = adapters.filter(
      (adapter) => here.length > 0 && takesPart(adapter, { recovery }) && (adapter !== 'before' || builds.before),
    );
    const clusters = await Promise.all(
      competing.map((adapter) => BenchCluster.start(adapter, recovery, clients, builds)),
    );
    const group = here.map((scenario): Result => ({ scenario, rounds: {} }));
    for (let round = 0; round <= rounds; round++) {
      for (const { scenario, rounds: measured } of group) {
        for (let i = 0; i < clusters.length; i++) {
          const cluster = clusters[(i + round) % clusters.length]!;
          if (round === 0) {
            await warmUp(cluster, scenario, seconds);
          } else {
            (measured[cluster.adapter] ??= []).push(await cluster.run(scenario, seconds));
          }
        }
        onProgress(`${scenario.name}: ${round === 0 ? 'warmed up' : `round ${round} of ${rounds}`}`);
      }
    }
    for (const scenario of profiles === undefined ? [] : here) {
      for (const cluster of clusters) {
        await cluster.profile(scenario, seconds, profiles!);
      }
    }
    results.push(...group);
    for (const cluster of clusters) {
      await cluster.close();
    }
  }
  await clients.close();
  return results;
}

/**
 * Compiling takes thousands of messages, and is done again for those that come one by one: it would be counted as a cost
 * of each.
 */
async function warmUp(cluster: BenchCluster, { rate, ...scenario }: Scenario, seconds: number): Promise<void> {
  await cluster.run(scenario, WARM_UP * seconds);
  if (rate !== undefined) {
    await cluster.run({ ...scenario, rate: HURRY * rate }, WARM_UP * seconds);
    await cluster.run({ ...scenario, rate }, WARM_UP * seconds);
  }
}
