import type { Measurement } from './bench-cluster.js';
import type { Result } from './bench.js';
import { ADAPTERS, TITLES, type AdapterName } from './scenarios.js';
import { median } from './statistics.js';

type Metric = Exclude<keyof Measurement, 'sent' | 'lost'>;

const METRICS: Record<Metric, { title: string; digits: number }> = {
  perSecond: { title: 'broadcasts/s', digits: 0 },
  publisher: { title: 'publisher, µs', digits: 1 },
  recipient: { title: 'with recipient, µs', digits: 1 },
  bystander: { title: 'without, µs', digits: 1 },
  redis: { title: 'Redis, µs', digits: 1 },
  bytes: { title: 'bytes from Redis', digits: 0 },
  p50: { title: 'p50, ms', digits: 2 },
  p99: { title: 'p99, ms', digits: 2 },
};

export interface Row {
  adapter: AdapterName;
  /** Medians of the rounds. */
  medians: Partial<Record<Metric, number>>;
  sent: number;
  lost: number;
}

export interface Table {
  name: string;
  title: string;
  rows: Row[];
  /** Ours by the reference's: medians of the ratios of each round. */
  ratios: Partial<Record<Metric, number>>;
  /** Ours by what it was before, if that took part. */
  progress: Partial<Record<Metric, number>>;
}

export function tabulate(results: readonly Result[]): Table[] {
  return results.map(({ scenario, rounds }) => {
    const paced = scenario.rate !== undefined;
    // At full speed, a latency is the length of a queue; at a given rate, the rate is no result.
    const metrics = (Object.keys(METRICS) as Metric[]).filter((metric) =>
      paced ? metric !== 'perSecond' : metric !== 'p50' && metric !== 'p99',
    );
    const rows = ADAPTERS.flatMap((adapter): Row[] => {
      const runs = rounds[adapter];
      return runs
        ? [
            {
              adapter,
              medians: each(metrics, (metric) => median(runs.map((run) => run[metric]))),
              sent: total(runs, 'sent'),
              lost: total(runs, 'lost'),
            },
          ]
        : [];
    });
    const { ours = [], before = [], reference = [] } = rounds;
    const ratiosTo = (others: Measurement[]): Table['ratios'] =>
      each(metrics, (metric) => median(ours.map((run, i) => over(run[metric], others[i]?.[metric]))));
    return {
      ...{ name: scenario.name, title: scenario.title, rows },
      ...{ ratios: ratiosTo(reference), progress: ratiosTo(before) },
    };
  });
}

export function toMarkdown(tables: readonly Table[]): string {
  return tables.map(toSection).join('\n');
}

function toSection({ title, rows, ratios, progress }: Table): string {
  const metrics = (Object.keys(METRICS) as Metric[]).filter((metric) => rows.some(({ medians }) => metric in medians));
  const line = (cells: string[]): string => `| ${cells.join(' | ')} |`;
  const cell = (metric: Metric, value: number | undefined, digits = METRICS[metric].digits): string =>
    value === undefined ? '–' : value.toFixed(digits);
  const table = [
    line(['', ...metrics.map((metric) => METRICS[metric].title), 'lost']),
    line(['---', ...metrics.map(() => '--:'), '--:']),
    ...rows.map(({ adapter, medians, sent, lost }) =>
      line([
        TITLES[adapter],
        ...metrics.map((metric) => cell(metric, medians[metric])),
        lost ? `${lost} of ${sent}` : '0',
      ]),
    ),
  ];
  for (const [name, values] of Object.entries({ 'ours / reference': ratios, 'ours / before': progress })) {
    if (Object.keys(values).length > 0) {
      table.push(line([`**${name}**`, ...metrics.map((metric) => `**${cell(metric, values[metric], 2)}**`), '']));
    }
  }
  return `### ${title}\n\n${table.join('\n')}\n`;
}

function each(metrics: Metric[], value: (metric: Metric) => number | undefined): Partial<Record<Metric, number>> {
  const entries = metrics.map((metric) => [metric, value(metric)] as const);
  return Object.fromEntries(entries.filter(([, one]) => one !== undefined));
}

function over(ours: number | undefined, reference: number | undefined): number | undefined {
  return ours === undefined || reference === undefined ? undefined : ours / reference;
}

function total(runs: Measurement[], metric: 'sent' | 'lost'): number {
  return runs.reduce((sum, run) => sum + run[metric], 0);
}
