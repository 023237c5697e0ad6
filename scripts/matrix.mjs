// Writes what came of the tests in test/matrix/ into docs/compatibility.md:
//   node scripts/matrix.mjs                       runs them first
//   node scripts/matrix.mjs --from results.json   takes what jest has written of a run of all tests
//   node scripts/matrix.mjs --check results.json  only looks whether the page says the same as that
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';

const page = fileURLToPath(new URL('../docs/compatibility.md', import.meta.url));
const topologies = { single: 'A single server', cluster: 'Cluster', sentinel: 'Sentinel' };

/** The numbers of tests that passed and that there are, by topology, feature, client and server. */
function count({ testResults }) {
  const tables = {};
  const results = testResults.filter(({ name }) => name.includes('/test/matrix/'));
  for (const { ancestorTitles, title, status } of results.flatMap(({ assertionResults }) => assertionResults)) {
    const [, client, server, topology, options] = /\((.*?), (\w+) (\w+)(.*), recovery\)$/.exec(ancestorTitles[0]);
    const table = (tables[topologies[topology] + options] ??= {});
    const row = (table[ancestorTitles[1]?.replace(/:$/, '') ?? title] ??= {});
    const cell = ((row[client] ??= {})[server] ??= { passed: 0, all: 0 });
    cell.passed += status === 'passed' ? 1 : 0;
    cell.all++;
  }
  return tables;
}

function toTable([topology, rows]) {
  const keys = (objects) => [...new Set(objects.flatMap(Object.keys))].sort();
  const clients = keys(Object.values(rows));
  const servers = keys(Object.values(rows).flatMap(Object.values));
  const toText = ({ passed, all }) => (passed === all ? passed : `**${passed} of ${all}**`);
  const toCell = (counts = {}) => servers.map((server) => (counts[server] ? toText(counts[server]) : '–')).join(' + ');
  const toLine = (cells) => `| ${cells.join(' | ')} |`;
  return [
    `**${topology}** (${servers.join(' + ')})\n`,
    toLine(['', ...clients]),
    toLine(['---', ...clients.map(() => '---:')]),
    ...Object.entries(rows).map(([feature, cells]) => toLine([feature, ...clients.map((one) => toCell(cells[one]))])),
  ].join('\n');
}

function runTests() {
  const folder = mkdtempSync(join(tmpdir(), 'matrix-'));
  const file = join(folder, 'results.json');
  const jest = ['run', '-s', 'jest', '--', 'test/matrix', '--silent', '--json', '--outputFile', file];
  const { status } = spawnSync('npm', jest, { stdio: 'inherit' });
  const results = JSON.parse(readFileSync(file, 'utf8'));
  rmSync(folder, { recursive: true });
  process.exitCode = status ?? 1;
  return results;
}

const [mode, file] = process.argv.slice(2);
const results = file ? JSON.parse(readFileSync(file, 'utf8')) : runTests();
const tables = Object.entries(count(results)).sort(([a], [b]) => (a < b ? -1 : 1));
const text = readFileSync(page, 'utf8');
const [before, after] = text.split(/<!-- matrix -->[^]*<!-- \/matrix -->/);
const written = await format(
  `${before}<!-- matrix -->\n\n${tables.map(toTable).join('\n\n')}\n\n<!-- /matrix -->${after}`,
  { ...(await resolveConfig(page)), filepath: page },
);
if (mode !== '--check') {
  writeFileSync(page, written);
} else if (written !== text) {
  console.error('docs/compatibility.md does not say what this run came to: npm run matrix writes it');
  process.exitCode = 1;
}
