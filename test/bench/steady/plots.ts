import { slugOf, valueOf, type Row, type SeriesReport } from './report.js';
import { draw } from './plot.js';
import { CONTENDERS, TITLES } from './points.js';

const METRICS = {
  net: { title: 'CPU of a node, without the app', unit: 'microseconds a message of the cluster' },
  redis: { title: 'CPU of Redis', unit: 'microseconds a message' },
  p99: { title: 'Latency, 99th percentile', unit: 'milliseconds' },
} satisfies Partial<Record<keyof Row, { title: string; unit: string }>>;
type Metric = keyof typeof METRICS;

export interface PlotFile {
  name: string;
  title: string;
  svg: string;
}

/** The plots of one series, of each metric that was measured. */
export function plotsOf(report: SeriesReport): PlotFile[] {
  const { series, recovery, points } = report;
  if (points.length === 0) {
    return [];
  }
  // Latencies depend on the rate more than on anything else.
  const metrics = (Object.keys(METRICS) as Metric[]).filter((metric) => metric !== 'p99' || series.axis === 'rate');
  return metrics.flatMap((metric) => {
    const lines = CONTENDERS.map((contender) => ({
      title: TITLES[contender],
      values: points.map(({ rows }) => rows.find((row) => row.contender === contender)?.[metric]),
    }));
    if (lines.every(({ values }) => values.every((value) => value === undefined))) {
      return [];
    }
    const { title, unit } = METRICS[metric];
    const whole = `${title}${recovery ? ', recovery on' : ''}`;
    const svg = draw({
      ...{ title: whole, unit, label: series.label },
      ticks: points.map(({ point }) => valueOf(point, series)),
      // A contender keeps its colour, whoever else takes part.
      lines,
    });
    return [{ name: `${slugOf(report)}.${metric}.svg`, title: `${whole} by ${series.label}`, svg }];
  });
}
