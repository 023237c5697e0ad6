import type { Result } from '../bench.js';
import { tabulate, toMarkdown as fullSpeedToMarkdown } from '../report.js';
import { median } from '../statistics.js';
import type { MemoryResult, PointResult, SteadyResults } from './bench.js';
import {
  CONTENDERS,
  hasRecovery,
  keyOf,
  nameOf,
  pointsOf,
  TITLES,
  type Contender,
  type Point,
  type Series,
} from './points.js';
import type { Latency, Measurement } from './steady-cluster.js';

/** Medians of the rounds at one point. */
export interface Row {
  contender: Contender;
  /** Microseconds of a node's CPU a message of the cluster. */
  node: number;
  /** The same without what the app costs: less the in-memory line of the same round. Missing without such a line. */
  net?: number | undefined;
  redis?: number | undefined;
  commands?: number | undefined;
  bytes?: number | undefined;
  p50: number;
  p99: number;
  /** Of clients of the node that emitted, and of the others; missing where there are none, or they were not told apart. */
  own?: Latency | undefined;
  remote?: Latency | undefined;
  rate: number;
  /** Share of the time for which a node was ready to run and had no core. */
  waited: number;
  sent: number;
  lost: number;
}

/** What a measurement says in one number. */
type Metric = Exclude<keyof Measurement, 'own' | 'remote'>;

/** How ours does beside another: medians over the rounds. */
export interface Comparison {
  other: Contender;
  /** Node CPU net of the in-memory line, ours by theirs. Missing where there is no line, or it drowns in noise. */
  net?: number | undefined;
  redis?: number | undefined;
  /** Milliseconds more than theirs. */
  p50: number;
  p99: number;
}

export interface PointReport {
  point: Point;
  recovery: boolean;
  rows: Row[];
  comparisons: Comparison[];
}

/** Of one series, with recovery or without, by the values of its axis. */
export interface SeriesReport {
  series: Series;
  recovery: boolean;
  points: PointReport[];
}

export function summarize({ series, points }: SteadyResults): SeriesReport[] {
  const results = new Map(points.map((result) => [keyOf(result.point), result]));
  return series.flatMap((one) =>
    one.recovery.map((recovery) => ({
      series: one,
      recovery,
      points: pointsOf(one).flatMap((point) => {
        const result = results.get(keyOf(point));
        return result ? [summarizePoint(result, recovery)] : [];
      }),
    })),
  );
}

function summarizePoint({ point, rounds }: PointResult, recovery: boolean): PointReport {
  const runsOf = (contender: Contender): Measurement[] =>
    rounds[nameOf({ contender, recovery: recovery && hasRecovery(contender) })] ?? [];
  // What has no recovery has the app without recovery as its zero line.
  const lineOf = (contender: Contender): Measurement[] =>
    rounds[nameOf({ contender: 'memory', recovery: recovery && hasRecovery(contender) })] ?? [];
  const netOf = (contender: Contender): (number | undefined)[] => {
    const line = lineOf(contender);
    return runsOf(contender).map(({ node }, i) => (line[i] ? node - line[i].node : undefined));
  };
  const rows = CONTENDERS.filter((contender) => runsOf(contender).length > 0).map((contender): Row => {
    const runs = runsOf(contender);
    const middle = (metric: Metric): number | undefined => median(runs.map((run) => run[metric]));
    const latency = (whose: 'own' | 'remote'): Latency | undefined => {
      const runsWith = runs.flatMap((run) => run[whose] ?? []);
      const [p50, p99] = [median(runsWith.map((one) => one.p50)), median(runsWith.map((one) => one.p99))];
      return p50 === undefined || p99 === undefined ? undefined : { p50, p99 };
    };
    return {
      contender,
      node: middle('node')!,
      net: contender === 'memory' ? undefined : median(netOf(contender)),
      redis: middle('redis'),
      commands: middle('commands'),
      bytes: middle('bytes'),
      p50: middle('p50')!,
      p99: middle('p99')!,
      own: latency('own'),
      remote: latency('remote'),
      rate: middle('rate')!,
      waited: middle('waited')!,
      sent: runs.reduce((sum, { sent }) => sum + sent, 0),
      lost: runs.reduce((sum, { lost }) => sum + lost, 0),
    };
  });
  const ours = runsOf('ours');
  const others = rows.map(({ contender }) => contender).filter((other) => other !== 'memory' && other !== 'ours');
  const comparisons = (ours.length > 0 ? others : []).map((other): Comparison => {
    const theirs = runsOf(other);
    const net = netOf('ours');
    const theirNet = netOf(other);
    const between = (metric: Metric): number => median(ours.map((run, i) => run[metric]! - theirs[i]![metric]!))!;
    return {
      other,
      net: median(net.map((value, i) => quotient(value, theirNet[i]))),
      redis: median(ours.map(({ redis }, i) => quotient(redis, theirs[i]!.redis))),
      p50: between('p50'),
      p99: between('p99'),
    };
  });
  return { point, recovery, rows, comparisons };
}

/** Undefined unless both are above 0: what is less than nothing is noise. */
function quotient(a: number | undefined, b: number | undefined): number | undefined {
  return a !== undefined && b !== undefined && a > 0 && b > 0 ? a / b : undefined;
}

/** Of several runs. A point that was measured more than once is of the last of them, for rounds of two runs do not belong together. */
export function summarizeAll(runs: readonly SteadyResults[]): SeriesReport[] {
  const all = runs.flatMap(summarize);
  const last = new Map(all.map((report) => [slugOf(report), report]));
  return [...last].map(([slug, report]) => {
    const ofSeries = all.filter((other) => slugOf(other) === slug).flatMap(({ points }) => points);
    const points = new Map(ofSeries.map((point) => [keyOf(point.point), point]));
    return { ...report, points: sortedBy(report.series.axis, [...points.values()]) };
  });
}

/** By the value on the axis, if it is a number. */
function sortedBy(axis: Series['axis'], points: PointReport[]): PointReport[] {
  return points.sort((one, other) => Number(one.point[axis]) - Number(other.point[axis]) || 0);
}

export function toMarkdown(runs: readonly SteadyResults[], plots: ReadonlyMap<string, string> = new Map()): string {
  const parts = summarizeAll(runs).map((report) => seriesToMarkdown(report, plots));
  const withMemory = runs.findLast(({ memory }) => Object.keys(memory).length > 0);
  if (withMemory) {
    parts.push(memoryToMarkdown(withMemory.memory, withMemory.memoryAfter));
  }
  const withFullSpeed = runs.findLast(({ fullSpeed }) => fullSpeed.length > 0);
  if (withFullSpeed) {
    parts.push(fullSpeedOf(withFullSpeed.fullSpeed));
  }
  return parts.join('\n');
}

/** What a series is called where there is more than one, in headings and files. */
export function slugOf({ series, recovery }: Pick<SeriesReport, 'series' | 'recovery'>): string {
  return series.title.toLowerCase() + (recovery ? '-recovery' : '');
}

function seriesToMarkdown(report: SeriesReport, plots: ReadonlyMap<string, string>): string {
  const { series, recovery, points } = report;
  const rows = points.flatMap(({ point, rows: measured }) =>
    measured.map((row) => [
      valueOf(point, series),
      TITLES[row.contender],
      fixed(row.node, 1),
      fixed(row.net, 1),
      fixed(row.redis, 1),
      fixed(row.commands, 2),
      fixed(row.bytes, 0),
      fixed(row.p50, 2),
      fixed(row.p99, 2),
      fixed(row.waited * 100, 0),
      row.lost === 0 ? '0' : `${row.lost} of ${row.sent}`,
    ]),
  );
  const ratios = points.flatMap(({ point, comparisons }) =>
    comparisons.map(({ other, net, redis, p50, p99 }) => [
      valueOf(point, series),
      TITLES[other],
      fixed(net, 2),
      fixed(redis, 2),
      signed(p50),
      signed(p99),
    ]),
  );
  return [
    `### ${series.title}, recovery ${recovery ? 'on' : 'off'}\n`,
    `${describe(series)}\n`,
    ...(points.some(({ rows: measured }) => measured.some(({ waited }) => waited > BUSY))
      ? [
          'Nodes waited for a core: the machine was busy with something else, or is too small for so many of them. ' +
            'What waits reads more at once, so neither costs nor latencies are those of a machine that has room.\n',
        ]
      : []),
    ...[...plots].filter(([file]) => isPlotOf(file, report)).map(([file, title]) => `![${title}](${file})\n`),
    table(
      [
        ...[series.label, 'adapter', 'node, µs', 'net, µs', 'Redis, µs', 'commands', 'bytes from Redis'],
        ...['p50, ms', 'p99, ms', 'no core, %', 'lost'],
      ],
      rows,
    ),
    ...(ratios.length > 0
      ? [
          `\nOurs beside another:\n`,
          table([series.label, 'other', 'net, ratio', 'Redis, ratio', 'p50, ms more', 'p99, ms more'], ratios),
        ]
      : []),
    ...latenciesToMarkdown(report),
    '',
  ].join('\n');
}

/** Where own clients and those of other nodes were told apart. */
function latenciesToMarkdown({ series, points }: SeriesReport): string[] {
  const rows = points.flatMap(({ point, rows: measured }) =>
    measured.flatMap(({ contender, own, remote }) =>
      own && remote
        ? [
            [
              ...[valueOf(point, series), TITLES[contender]],
              ...[own.p50, own.p99, remote.p50, remote.p99].map((ms) => fixed(ms, 2)),
            ],
          ]
        : [],
    ),
  );
  const columns = [series.label, 'adapter', 'own, p50', 'own, p99', 'remote, p50', 'remote, p99'];
  return rows.length > 0
    ? ['\nMilliseconds, of clients of the node that emits and of others:\n', table(columns, rows)]
    : [];
}

/** Share of waiting for a core from which on figures are not to be believed. */
const BUSY = 0.15;

function isPlotOf(file: string, report: SeriesReport): boolean {
  return file
    .split('/')
    .pop()!
    .startsWith(`${slugOf(report)}.`);
}

export function valueOf(point: Point, { axis }: Series): string {
  const value = point[axis];
  return typeof value === 'number' ? value.toLocaleString('en-US') : PAYLOAD_TITLES[value];
}

const PAYLOAD_TITLES: Record<Point['payload'], string> = {
  'text-100': '100 B of text',
  'text-2048': '2 KB of text',
  'binary-100': '100 B of binary data',
  'binary-2048': '2 KB of binary data',
};

function describe({ axis, base }: Series): string {
  const parts: Record<keyof Point, string> = {
    nodes: `${base.nodes} nodes`,
    rooms: `${base.rooms.toLocaleString('en-US')} rooms${axis === 'namespaces' ? ', or one for each namespace' : ''}`,
    namespaces: base.namespaces === 1 ? 'one namespace' : `${base.namespaces} namespaces`,
    rate: `${base.rate.toLocaleString('en-US')} messages a second in total`,
    payload: PAYLOAD_TITLES[base.payload],
  };
  const fixedOnes = Object.entries(parts).filter(([name]) => name !== axis);
  return `${fixedOnes.map(([, part]) => part).join(', ')}.`;
}

function memoryToMarkdown(memory: MemoryResult, after: number): string {
  const MB = 1e6;
  const rows = Object.entries(memory).map(([name, rounds]) => {
    const middle = (read: (round: MemoryResult[string][number]) => number): number => median(rounds.map(read))!;
    return [
      titleOfVariant(name),
      fixed(middle(({ idle }) => idle.rss) / MB, 1),
      fixed(middle(({ idle }) => idle.used) / MB, 1),
      fixed(middle((round) => round.after.rss) / MB, 1),
      fixed(middle((round) => round.after.used) / MB, 1),
    ];
  });
  const count = after.toLocaleString('en-US');
  const columns = ['', 'idle, resident', 'idle, used', `after ${count}, resident`, `after ${count}, used`];
  return `### Memory of a node, MB\n\n${table(columns, rows)}\n`;
}

function titleOfVariant(name: string): string {
  const [contender, recovery] = name.split('+');
  return `${TITLES[contender as Contender]}${recovery === undefined ? '' : ', recovery on'}`;
}

function fullSpeedOf(results: readonly Result[]): string {
  return fullSpeedToMarkdown(tabulate(results)).replaceAll(/^### /gm, '### Full speed, one publisher: ');
}

function table(columns: string[], rows: string[][]): string {
  const line = (cells: string[]): string => `| ${cells.join(' | ')} |`;
  const alignment = columns.map((_, i) => (rows.every((row) => /^[–\d.,+-]+$/.test(row[i]!)) ? '--:' : '---'));
  return [line(columns), line(alignment), ...rows.map(line)].join('\n');
}

const fixed = (value: number | undefined, digits: number): string =>
  value === undefined || Number.isNaN(value) ? '–' : value.toFixed(digits);
const signed = (value: number): string => (value < 0 ? '' : '+') + value.toFixed(2);
