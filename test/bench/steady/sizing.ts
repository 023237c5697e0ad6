import { TITLES, type Contender } from './points.js';
import type { SeriesReport } from './report.js';

/** Of one contender, in microseconds of CPU a message at the rate at which the growth with nodes was measured. */
export interface UnitCosts {
  contender: Contender;
  /** Of a node, for each message of the cluster, whoever it is for. */
  passing: number;
  /** Of a node, for each message that it publishes, together with one that it delivers to a client. */
  handling: number;
  /** Of Redis, for a message, however many nodes there are. */
  append: number;
  /** Of Redis, for a message and each node that it goes to. */
  fanOut: number;
}

export interface Sizing {
  /** Messages a second at which the costs were measured. */
  rate: number;
  costs: UnitCosts[];
}

/** How much of a core is planned with: the rest is for bursts. */
const SHARE = 0.6;
const NODES = [3, 6, 12, 25, 50, 100];

/**
 * Splits what a message costs with more and more nodes into what each node pays for each, and what only those pay that have
 * to do with it. Undefined unless there are at least three sizes of cluster.
 */
export function sizingOf(reports: readonly SeriesReport[]): Sizing | undefined {
  const growth = reports.find(({ series, recovery }) => series.axis === 'nodes' && !recovery);
  if (growth === undefined || growth.points.length < 3) {
    return undefined;
  }
  const contenders: Contender[] = ['ours', 'reference', 'pubsub'];
  const costs = contenders.flatMap((contender): UnitCosts[] => {
    const rows = growth.points.flatMap(({ point, rows: all }) => {
      const row = all.find((one) => one.contender === contender);
      return row?.redis === undefined ? [] : [{ nodes: point.nodes, node: row.node, redis: row.redis }];
    });
    if (rows.length < 3) {
      return [];
    }
    // Each of N nodes publishes, and delivers, every N-th message.
    const node = fit(rows.map(({ nodes, node: y }) => ({ x: 1 / nodes, y })));
    const redis = fit(rows.map(({ nodes, redis: y }) => ({ x: nodes, y })));
    return [{ contender, passing: node.constant, handling: node.slope, append: redis.constant, fanOut: redis.slope }];
  });
  return costs.length > 0 ? { rate: growth.series.base.rate, costs } : undefined;
}

/** Messages a second that one Redis, and nodes with a core each, carry in a cluster of so many nodes. */
export function capacityOf(
  { passing, handling, append, fanOut }: UnitCosts,
  nodes: number,
): Record<'redis' | 'nodes', number> {
  return {
    redis: (SHARE * 1e6) / (append + fanOut * nodes),
    nodes: (SHARE * 1e6) / (passing + handling / nodes),
  };
}

export function sizingToMarkdown({ rate, costs }: Sizing): string {
  const costTable = [
    '| µs of CPU a message | each node | publishing and delivering | Redis, append | Redis, each node |',
    '| --- | --: | --: | --: | --: |',
    ...costs.map(
      ({ contender, passing, handling, append, fanOut }) =>
        `| ${TITLES[contender]} | ${[passing, handling, append, fanOut].map((cost) => cost.toFixed(1)).join(' | ')} |`,
    ),
  ];
  const capacityTable = [
    `| nodes | ${costs.map(({ contender }) => `${TITLES[contender]}, Redis | ${TITLES[contender]}, nodes`).join(' | ')} |`,
    `| --: |${' --: | --: |'.repeat(costs.length)}`,
    ...NODES.map((nodes) => {
      const cells = costs.flatMap((cost) => Object.values(capacityOf(cost, nodes)).map(roughly));
      return `| ${nodes} | ${cells.join(' | ')} |`;
    }),
  ];
  return [
    `Unit costs, measured at ${rate.toLocaleString('en-US')} messages a second in total:\n`,
    ...costTable,
    `\nMessages a second in total that ${SHARE * 100} % of a core carries, of Redis and of each node:\n`,
    ...capacityTable,
    '',
  ].join('\n');
}

/** Two digits: more are not known. A cost below 0 is noise, and bounds nothing. */
function roughly(value: number): string {
  return value > 0 && Number.isFinite(value) ? Number(value.toPrecision(2)).toLocaleString('en-US') : '–';
}

/** The straight line with the least squares. */
export function fit(points: readonly { x: number; y: number }[]): { constant: number; slope: number } {
  const mean = (read: (point: { x: number; y: number }) => number): number =>
    points.reduce((sum, point) => sum + read(point), 0) / points.length;
  const x = mean((point) => point.x);
  const y = mean((point) => point.y);
  const slope = mean((point) => (point.x - x) * (point.y - y)) / mean((point) => (point.x - x) ** 2);
  return { constant: y - slope * x, slope };
}
