import { writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { closeFrom } from '../kit/index.js';
import { moduleOf } from './adapters.js';
import { runBench } from './bench.js';
import { tabulate, toMarkdown } from './report.js';
import { ADAPTERS, SCENARIOS, type AdapterName } from './scenarios.js';
import { runSteadyCommand, STEADY_USAGE } from './steady/command.js';

const USAGE = `npm run bench -- [options]: one node publishes, as fast as it can
  --rounds N         rounds of all adapters by turns (5)
  --seconds N        length of each run (2)
  --only NAMES       scenarios: ${SCENARIOS.map(({ name }) => name).join(',')}
  --adapters NAMES   adapters: ${ADAPTERS.join(',')}
  --profiles FOLDER  write CPU profiles of each node to an existing folder, for Chrome's DevTools
  --ours DIST        measure this build instead of the sources: the folder "dist" of another working tree
  --before DIST      measure another build beside it
  --json FILE        write the figures, those of each round too, to a file

${STEADY_USAGE}`;

const args = process.argv.slice(2);
if (args.includes('--help')) {
  console.log(USAGE);
} else {
  try {
    await (args.includes('--steady') ? runSteadyCommand(args) : runFullSpeed());
  } finally {
    await closeFrom(0);
  }
}

async function runFullSpeed(): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '2' },
      only: { type: 'string' },
      adapters: { type: 'string' },
      ours: { type: 'string' },
      before: { type: 'string' },
      profiles: { type: 'string' },
      json: { type: 'string' },
    },
  });
  const options = {
    rounds: Number(values.rounds),
    seconds: Number(values.seconds),
    profiles: values.profiles,
    only: values.only?.split(','),
    adapters: values.adapters?.split(',') as AdapterName[] | undefined,
    builds: { ours: moduleOf('--ours', values.ours), before: moduleOf('--before', values.before) },
  };
  const results = await runBench({ ...options, onProgress: (text) => process.stderr.write(`${text}\n`) });
  const tables = tabulate(results);
  console.log(toMarkdown(tables));
  if (values.json) {
    const machine = { node: process.version, cpus: availableParallelism() };
    await writeFile(values.json, JSON.stringify({ machine, options, tables, results }, undefined, 2));
  }
}
