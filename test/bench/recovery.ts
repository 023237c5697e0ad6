import { closeFrom } from '../kit/index.js';
import { comeback, type Comeback } from './comeback.js';
import { writeTable } from './docs-table.js';

/**
 * `npm run bench:recovery`: 500 clients that have 9,000 entries behind them come back at once, to a node with this
 * package's adapter and to one with the reference. Prints a table, and writes it into `docs/recovery.md`.
 */
const number = (digits: number, unit: string) => (value: number) =>
  `${value.toLocaleString('en', { maximumFractionDigits: digits })} ${unit}`.trim();

const METRICS: [title: string, value: (run: Comeback) => number, show: (value: number) => string][] = [
  ['sent by Redis', ({ bytes }) => bytes / 1e6, number(1, 'MB')],
  ['until all had everything', ({ ms }) => ms / 1_000, number(1, 's')],
  ["longest pause of the node's event loop", ({ pause }) => pause, number(0, 'ms')],
  ['the same when they connected first', ({ first }) => first.pause, number(0, 'ms')],
  ['clients not recovered', ({ clients, recovered }) => clients - recovered, number(0, '')],
  ['messages missing', ({ missing }) => missing, number(0, '')],
];

const rows = ['| 500 clients, 9,000 entries | this package | the reference | ratio |', '| --- | ---: | ---: | ---: |'];
for (const isFresh of [false, true]) {
  const [ours, reference] = [await comeback({ kind: 'ours', isFresh }), await comeback({ kind: 'reference', isFresh })];
  rows.push(`| **${isFresh ? 'to a node that has just started' : 'to the node that they left'}** | | | |`);
  for (const [title, value, show] of METRICS) {
    const [a, b] = [value(ours), value(reference)];
    rows.push(`| ${title} | ${show(a)} | ${show(b)} | ${a > 0 ? number(b / a < 10 ? 1 : 0, '')(b / a) : ''} |`);
  }
}
const table = rows.join('\n');
console.log(table);
await writeTable('recovery.md', 'comeback', table);
await closeFrom(0);
