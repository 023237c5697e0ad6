import { writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { closeFrom } from '../kit/index.js';
import { runBench } from './bench.js';
import { tabulate, toMarkdown } from './report.js';
import { ADAPTERS, SCENARIOS, type AdapterName } from './scenarios.js';

const USAGE = `npm run bench -- [options]
  --rounds N         rounds of all adapters by turns (5)
  --seconds N        length of each run (2)
  --only NAMES       scenarios: ${SCENARIOS.map(({ name }) => name).join(',')}
  --adapters NAMES   adapters: ${ADAPTERS.join(',')}
  --profiles FOLDER  write CPU profiles of each node to an existing folder, for Chrome's DevTools
  --json FILE        write the figures, those of each round too, to a file`;

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    only: { type: 'string' },
    adapters: { type: 'string' },
    profiles: { type: 'string' },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) {
  console.log(USAGE);
} else {
  try {
    await main();
  } finally {
    await closeFrom(0);
  }
}

async function main(): Promise<void> {
  const options = {
    rounds: Number(values.rounds),
    seconds: Number(values.seconds),
    profiles: values.profiles,
    only: values.only?.split(','),
    adapters: values.adapters?.split(',') as AdapterName[] | undefined,
  };
  const results = await runBench({ ...options, onProgress: (text) => process.stderr.write(`${text}\n`) });
  const tables = tabulate(results);
  console.log(toMarkdown(tables));
  if (values.json) {
    const machine = { node: process.version, cpus: availableParallelism() };
    await writeFile(values.json, JSON.stringify({ machine, options, tables, results }, undefined, 2));
  }
}
