import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { closeAfterwards } from '../kit/index.js';
import { moduleOf } from './adapters.js';
import { runBench } from './bench.js';
import { tabulate, toMarkdown } from './report.js';
import { ADAPTERS, SCENARIOS, takesPart } from './scenarios.js';
import { runSteady, type SteadyOptions } from './steady/bench.js';
import { draw, stepsUpTo } from './steady/plot.js';
import { plotsOf } from './steady/plots.js';
import { BASE, SERIES, Targets, type Contender, type Series } from './steady/points.js';
import { summarize, toMarkdown as steadyToMarkdown } from './steady/report.js';
import { capacityOf, fit, sizingOf } from './steady/sizing.js';

test('the bench measures every adapter in every scenario it takes part in', async () => {
  const tables = tabulate(await runBench({ rounds: 1, seconds: 0.05 }));

  expect(tables.map(({ name }) => name)).toEqual(SCENARIOS.map(({ name }) => name));
  for (const [i, scenario] of SCENARIOS.entries()) {
    const { rows, ratios } = tables[i]!;
    expect(rows.map(({ adapter }) => adapter)).toEqual(
      ADAPTERS.filter((adapter) => adapter !== 'before' && takesPart(adapter, scenario)),
    );
    for (const { medians, sent } of rows) {
      expect(sent).toBeGreaterThan(0);
      expect(medians.publisher).toBeGreaterThan(0);
      expect(medians.recipient ?? medians.bystander).toBeGreaterThan(0);
      expect(scenario.rate === undefined ? medians.perSecond : medians.p99).toBeGreaterThan(0);
    }
    expect(ratios.publisher).toBeGreaterThan(0);
  }
  expect(toMarkdown(tables).match(/^### /gm)).toHaveLength(SCENARIOS.length);
}, 120_000);

describe('the bench at steady rates', () => {
  const CONTENDERS: Contender[] = ['memory', 'ours', 'reference', 'pubsub'];
  const base = { ...BASE, nodes: 2, rate: 400 };

  async function steady(options: Pick<SteadyOptions, 'series'> & Partial<SteadyOptions>) {
    const quick = { rounds: 1, seconds: 0.25, arrivals: 'random', warmUp: 200, settle: 20, memoryAfter: 0 } as const;
    return runSteady({ contenders: CONTENDERS, builds: {}, fullSpeed: false, ...quick, ...options });
  }

  test('every contender receives all messages at each rate, recovery off and on, and is compared with ours', async () => {
    const series: Series[] = [{ ...SERIES.rates, base, values: [200, 400] }];
    const results = await steady({ series });

    const reports = summarize(results);
    expect(reports.map(({ recovery }) => recovery)).toEqual([false, true]);
    for (const { points } of reports) {
      expect(points.map(({ point }) => point.rate)).toEqual([200, 400]);
      for (const { rows, comparisons } of points) {
        expect(rows.map(({ contender }) => contender)).toEqual(CONTENDERS);
        for (const { contender, node, redis, p99, own, remote, sent, lost } of rows) {
          expect(lost).toBe(0);
          expect(sent).toBeGreaterThan(0);
          expect(Math.min(node, p99)).toBeGreaterThan(0);
          expect(redis === undefined).toBe(contender === 'memory');
          expect(own!.p50).toBeGreaterThan(0);
          expect(remote === undefined).toBe(contender === 'memory');
        }
        expect(comparisons.map(({ other }) => other)).toEqual(['reference', 'pubsub']);
      }
    }
    const plots = reports.flatMap(plotsOf).map(({ name }) => name);
    expect(plots).toContain('rates.net.svg');
    expect(plots).toContain('rates-recovery.p99.svg');
    expect(steadyToMarkdown([results]).match(/^### /gm)).toHaveLength(2);
  }, 120_000);

  test('messages reach their one member in many rooms and namespaces, as text and as binary data', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'bench-'));
    closeAfterwards({ close: () => rm(folder, { recursive: true, force: true }) });
    const { points } = await steady({
      series: [
        { ...SERIES.rooms, base, values: [1] },
        { ...SERIES.namespaces, base: { ...base, rooms: 100 }, values: [40] },
        { ...SERIES.sizes, base: { ...base, rooms: 1 }, values: ['binary-100'] },
      ],
      profiles: folder,
    });

    expect(points).toHaveLength(3);
    for (const { rounds } of points) {
      expect(Object.keys(rounds).sort()).toEqual([...CONTENDERS].sort());
      const lost = Object.values(rounds).flatMap((runs) => runs.map((run) => run.lost));
      expect(lost).toEqual(CONTENDERS.map(() => 0));
    }
    expect(await readdir(folder)).toHaveLength(points.length * CONTENDERS.length);
  }, 120_000);

  test('memory is that of an idle node and of one after so many messages, with recovery and without', async () => {
    const { memory } = await steady({
      series: [],
      base: { ...base, nodes: 1 },
      contenders: ['ours'],
      memoryAfter: 400,
    });

    expect(Object.keys(memory)).toEqual(['ours', 'ours+recovery']);
    for (const { idle, after } of Object.values(memory).flat()) {
      expect(Math.min(idle.rss, idle.used, after.rss, after.used)).toBeGreaterThan(1e6);
    }
  }, 120_000);

  test('in memory, each node has a member of its own even if there are fewer rooms than nodes', () => {
    expect(new Targets({ nodes: 3, rooms: 1, namespaces: 1 }, 'memory').count).toBe(3);
    expect(new Targets({ nodes: 3, rooms: 1, namespaces: 1 }, 'ours').count).toBe(1);
  });

  test('ratios are net of the in-memory line of the same round, and PUB/SUB is compared with recovery too', () => {
    const measured = (node: number) => [
      { node, redis: node, clients: 1, waited: 0, p50: 1, p99: 2, rate: 400, sent: 100, lost: 0 },
      { node: node + 10, redis: node, clients: 1, waited: 0, p50: 1, p99: 2, rate: 400, sent: 100, lost: 0 },
    ];
    const one: Series = { ...SERIES.rates, base, values: [400], recovery: [true] };
    const rounds = {
      memory: measured(10),
      pubsub: measured(40),
      'memory+recovery': measured(20),
      'ours+recovery': measured(80),
    };
    const results = { series: [one], contenders: CONTENDERS, points: [{ point: { ...base, rate: 400 }, rounds }] };
    const [report] = summarize({ ...results, memory: {}, memoryAfter: 0, fullSpeed: [] });

    expect(report!.points[0]!.comparisons).toEqual([{ other: 'pubsub', net: 2, redis: 2, p50: 0, p99: 0 }]);
  });

  test('unit costs are what each node pays for a message, and what only those do that have to do with it', () => {
    const point = (nodes: number) => {
      const run = { clients: 1, waited: 0, p50: 1, p99: 2, rate: 400, sent: 100, lost: 0 };
      return { point: { ...BASE, nodes }, rounds: { ours: [{ ...run, node: 5 + 60 / nodes, redis: 10 + 2 * nodes }] } };
    };
    const growth: Series = { ...SERIES.nodes, base: BASE, values: [2, 3, 6] };
    const results = { series: [growth], contenders: CONTENDERS, points: [2, 3, 6].map(point) };
    const { costs } = sizingOf(summarize({ ...results, memory: {}, memoryAfter: 0, fullSpeed: [] }))!;

    expect(costs).toHaveLength(1);
    for (const [name, value] of Object.entries({ passing: 5, handling: 60, append: 10, fanOut: 2 })) {
      expect(costs[0]![name as 'passing']).toBeCloseTo(value, 6);
    }
    expect(capacityOf(costs[0]!, 20).redis).toBeCloseTo(600_000 / 50, 3);
    expect(fit([1, 2, 3].map((x) => ({ x, y: 1 - x })))).toEqual({ constant: 1, slope: -1 });
  });

  test('a plot has a line of each contender, and nothing where it was not measured', () => {
    const lines = [
      { title: 'A & B', values: [1, undefined, 3] },
      { title: 'C', values: [undefined, undefined, undefined] },
    ];
    const svg = draw({ title: 'CPU', label: 'nodes', unit: 'us', ticks: ['2', '3', '6'], lines });

    expect(svg).toContain('A &amp; B');
    expect(svg.match(/<circle /g)).toHaveLength(2);
    expect(svg).not.toContain('NaN');
    expect(svg).not.toContain('>C<');
    expect(stepsUpTo(0.3).at(-1)).toBeGreaterThanOrEqual(0.3);
    expect(stepsUpTo(240)).toEqual([0, 50, 100, 150, 200, 250]);
  });

  test('a build that is not there is refused by the name of its option', () => {
    expect(existsSync('/nowhere')).toBe(false);
    expect(() => moduleOf('--before', '/nowhere')).toThrow('--before is "/nowhere", where there is no build');
    expect(moduleOf('--before', undefined)).toBeUndefined();
  });
});
