import { parseArgs } from 'node:util';
import { closeFrom } from '../kit/index.js';
import { anomalies, soakDelivery } from './delivery.js';
import { topologies, type TopologyName } from '../recovery/topology.js';
import { anomaliesOf, soakRecovery } from './recovery.js';

/**
 * `npm run soak`: random faults on three nodes under load, for some minutes, and a count of what arrived.
 *
 * --recovery  clients are cut off and recovered, --minutes N  how long (5), --seed N  a number from which all random
 * choices follow, --ordering X  "log" or "local-first" (by turns), --topology X  "single", "sentinel" or "cluster"
 * (single; with --recovery), --verbose  each fault as it comes
 */
const { values } = parseArgs({
  options: {
    recovery: { type: 'boolean' },
    minutes: { type: 'string' },
    seed: { type: 'string' },
    ordering: { type: 'string' },
    topology: { type: 'string', default: 'single' },
    verbose: { type: 'boolean' },
  },
});
const orderings = (['local-first', 'log'] as const).filter((one) => (values.ordering ?? one) === one);
const topology = values.topology as TopologyName;
if (orderings.length === 0 || !(topology in topologies)) {
  throw new Error(`--ordering ${values.ordering} or --topology ${values.topology} is none of those named above`);
}
const minutes = Number(values.minutes ?? 5);
const log = values.verbose ? console.log : () => undefined;
let seed = Number(values.seed ?? Math.floor(Math.random() * 1e9));
const end = Date.now() + minutes * 60_000;
let bad = 0;
for (let run = 0; Date.now() < end; run++, seed++) {
  const seconds = Math.min(60, Math.max(10, Math.round((end - Date.now()) / 1_000)));
  const ordering = orderings[run % orderings.length]!;
  bad += await (values.recovery ? recovery(seconds, ordering) : delivery(seconds, ordering));
}
await closeFrom(0);
console.log(bad === 0 ? 'nothing missing, doubled or out of order' : `${bad} anomalies`);
process.exitCode = bad === 0 ? 0 : 1;

async function delivery(seconds: number, ordering: 'log' | 'local-first'): Promise<number> {
  console.log(`seed ${seed}, ${ordering}, ${seconds} s`);
  const report = await soakDelivery({ seed, seconds, ordering, log });
  console.log(JSON.stringify(report));
  return anomalies(report);
}

async function recovery(seconds: number, ordering: 'log' | 'local-first'): Promise<number> {
  console.log(`seed ${seed}, ${ordering}, ${topology}, ${seconds} s`);
  const report = await soakRecovery({ seed, seconds, ordering, topology, log });
  console.log(JSON.stringify(report));
  return anomaliesOf(report);
}
