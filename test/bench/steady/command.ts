import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { moduleOf } from '../adapters.js';
import { writeTable } from '../docs-table.js';
import { runSteady, type SteadyOptions, type SteadyResults } from './bench.js';
import { plotsOf } from './plots.js';
import {
  BASE,
  CONTENDERS,
  PAYLOADS,
  SERIES,
  SERIES_NAMES,
  type Contender,
  type Payload,
  type Series,
  type SeriesName,
} from './points.js';
import { summarizeAll, toMarkdown } from './report.js';
import { sizingOf, sizingToMarkdown } from './sizing.js';

const OTHERS = ['memory', 'speed'] as const;
type Part = SeriesName | (typeof OTHERS)[number];
const PARTS: readonly Part[] = [...SERIES_NAMES, ...OTHERS];
/** Those that are measured in a quarter of an hour. */
const SHORT: readonly Part[] = ['rates', 'nodes', 'speed'];

export const STEADY_USAGE = `npm run bench -- --steady [options]: all nodes emit at a steady rate
  --rounds N          rounds of all contenders by turns (3)
  --seconds N         length of each run (2)
  --series NAMES      ${PARTS.join(',')}, or "all", which takes more than an hour
                      (those that have values below; ${SHORT.join(',')}, which takes a quarter of an hour, if none has)
  --rates VALUES      messages a second of all nodes together (${SERIES.rates.values.join(',')})
  --nodes VALUES      (${SERIES.nodes.values.join(',')})
  --rooms VALUES      rooms with one member each (${SERIES.rooms.values.join(',')})
  --namespaces VALUES (${SERIES.namespaces.values.join(',')})
  --sizes VALUES      of ${PAYLOADS.join(',')} (${SERIES.sizes.values.join(',')})
  --rate N            of all series but that of rates (${BASE.rate})
  --recovery VALUES   off, on, or off,on (both with the rates and for memory, off else)
  --contenders NAMES  ${CONTENDERS.join(',')} (all; "before" if it is given)
  --ours DIST         measure this build instead of the sources: the folder "dist" of another working tree
  --before DIST       measure another build beside it
  --arrivals KIND     random (as from many clients) or even
  --warm-up N         messages of each cluster before its first measurement (20000)
  --settle N          messages after these, one by one (12000)
  --messages N        messages after which memory is measured (200000)
  --profiles FOLDER   write CPU profiles of the first node of each cluster to a folder, for Chrome's DevTools
                      and scripts/profile-summary.mjs
  --json FILE         write the figures, those of each round too, to a file
  --from FILES        measure nothing: read the figures that were written to these files
  --docs              write tables and plots into docs/performance.md and docs/plots`;

/** What is kept of a run. */
interface Kept {
  machine: { node: string; cpu: string; cores: number; memory: number };
  arguments: string[];
  results: SteadyResults;
}

export async function runSteadyCommand(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      ...{ steady: { type: 'boolean' }, docs: { type: 'boolean', default: false } },
      ...{ rounds: { type: 'string', default: '3' }, seconds: { type: 'string', default: '2' } },
      ...{
        series: { type: 'string' },
        rates: { type: 'string' },
        nodes: { type: 'string' },
        rooms: { type: 'string' },
      },
      ...{ namespaces: { type: 'string' }, sizes: { type: 'string' }, rate: { type: 'string' } },
      ...{ recovery: { type: 'string' }, contenders: { type: 'string' } },
      ...{ ours: { type: 'string' }, before: { type: 'string' } },
      ...{ arrivals: { type: 'string', default: 'random' }, 'warm-up': { type: 'string', default: '20000' } },
      ...{ settle: { type: 'string', default: '12000' }, messages: { type: 'string', default: '200000' } },
      ...{ profiles: { type: 'string' }, json: { type: 'string' }, from: { type: 'string' } },
    },
  });
  const progress = (text: string): unknown => process.stderr.write(`${text}\n`);
  let runs: SteadyResults[];
  if (values.from !== undefined) {
    const kept = await Promise.all(values.from.split(',').map((file) => readFile(file, 'utf8')));
    runs = kept.map((text) => (JSON.parse(text) as Kept).results);
  } else {
    const options = optionsOf(values);
    if (values.profiles !== undefined) await mkdir(values.profiles, { recursive: true });
    const keep = async (all: SteadyResults): Promise<void> => {
      if (values.json !== undefined) await writeFile(values.json, JSON.stringify(toKeep(args, all), undefined, 1));
    };
    // What was measured is kept even if a later part fails.
    runs = [await runSteady({ ...options, onProgress: progress, onResults: keep })];
  }
  if (values.docs) {
    await writeDocs(runs);
  }
  console.log(toMarkdown(runs));
  const sizing = sizingOf(summarizeAll(runs));
  if (sizing) console.log(sizingToMarkdown(sizing));
}

type Values = Partial<Record<string, string | boolean>>;

function optionsOf(values: Values): SteadyOptions {
  const text = (name: string): string | undefined => values[name] as string | undefined;
  const builds = { ours: moduleOf('--ours', text('ours')), before: moduleOf('--before', text('before')) };
  const all = CONTENDERS.filter((contender) => contender !== 'before' || builds.before !== undefined);
  const contenders = namesOf<Contender>('--contenders', text('contenders'), CONTENDERS) ?? all;
  if (contenders.includes('before') && builds.before === undefined) {
    throw new Error('--contenders names "before", but there is no --before: give the folder "dist" of another build');
  }
  const withValues = SERIES_NAMES.filter((name) => values[name] !== undefined);
  const parts =
    text('series') === 'all'
      ? PARTS
      : (namesOf<Part>('--series', text('series'), PARTS) ?? (withValues.length > 0 ? withValues : SHORT));
  const recovery = namesOf('--recovery', text('recovery'), ['off', 'on'])?.map((value) => value === 'on');
  const base = { ...BASE, rate: numberOf('--rate', text('rate') ?? String(BASE.rate)) };
  return {
    series: SERIES_NAMES.filter((name) => parts.includes(name)).map((name): Series => {
      const series = SERIES[name];
      return { ...series, base, recovery: recovery ?? series.recovery, values: valuesOf(name, text(name)) };
    }),
    // Costs are counted from the in-memory line.
    contenders: CONTENDERS.filter((contender) => contenders.includes(contender)),
    builds,
    rounds: numberOf('--rounds', text('rounds')!),
    seconds: numberOf('--seconds', text('seconds')!),
    arrivals: namesOf('--arrivals', text('arrivals'), ['random', 'even'] as const)![0]!,
    warmUp: numberOf('--warm-up', text('warm-up')!),
    settle: numberOf('--settle', text('settle')!),
    memoryAfter: parts.includes('memory') ? numberOf('--messages', text('messages')!) : 0,
    fullSpeed: parts.includes('speed'),
    profiles: text('profiles'),
  };
}

function valuesOf(name: SeriesName, given: string | undefined): Series['values'] {
  if (given === undefined) return SERIES[name].values;
  if (name === 'sizes') return namesOf<Payload>('--sizes', given, PAYLOADS)!;
  return given.split(',').map((value) => numberOf(`--${name}`, value));
}

function numberOf(option: string, value: string): number {
  const number = Number(value);
  if (!(number > 0)) throw new Error(`${option} is "${value}": give a number above 0`);
  return number;
}

function namesOf<T extends string>(option: string, given: string | undefined, known: readonly T[]): T[] | undefined {
  return given?.split(',').map((name) => {
    if (!known.includes(name as T)) throw new Error(`${option} names "${name}", which is none of ${known.join(', ')}`);
    return name as T;
  });
}

function toKeep(args: string[], results: SteadyResults): Kept {
  const machine = {
    ...{ node: process.version, cpu: cpus()[0]?.model ?? '', cores: availableParallelism() },
    memory: Math.round(totalmem() / 2 ** 30),
  };
  return { machine, arguments: args.filter((arg) => !arg.includes('/')), results };
}

async function writeDocs(runs: SteadyResults[]): Promise<void> {
  const folder = fileURLToPath(new URL('../../../docs/plots/', import.meta.url));
  await mkdir(folder, { recursive: true });
  const reports = summarizeAll(runs);
  const plots = new Map<string, string>();
  for (const { name, title, svg } of reports.flatMap(plotsOf)) {
    await writeFile(`${folder}${name}`, svg);
    plots.set(`plots/${name}`, title);
  }
  await writeTable('performance.md', 'steady rates', toMarkdown(runs, plots));
  const sizing = sizingOf(reports);
  if (sizing) {
    await writeTable('performance.md', 'sizing', sizingToMarkdown(sizing));
  }
}
