// Runs the fault tests with the long outages too, and writes what they measured into docs/faults.md.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folder = mkdtempSync(join(tmpdir(), 'faults-'));
const file = join(folder, 'records.jsonl');
writeFileSync(file, '');
const { status } = spawnSync('npm', ['run', '-s', 'jest', '--', 'test/faults', '--silent'], {
  stdio: 'inherit',
  env: { ...process.env, FAULTS_RECORD: file },
});
const records = readFileSync(file, 'utf8').trim().split('\n').map(JSON.parse);
rmSync(folder, { recursive: true });

const number = new Intl.NumberFormat('en');
const byFirst = (a, b) => (Object.values(a)[0] < Object.values(b)[0] ? -1 : 1);
const line = (cells) => ['', ...cells, ''].join(' | ').trim();
const tables = {
  table: [
    line(['Fault', 'to be received', 'received once', 'doubled', 'reported lost', 'lost in silence']),
    line(['---', '---:', '---:', '---:', '---:', '---:']),
    ...records
      .filter(({ row }) => row)
      .sort(byFirst)
      .map(({ row, sent, once, doubled, reported }) =>
        line([row, ...[sent, once, doubled, reported, sent - once - reported].map((n) => number.format(n))]),
      ),
  ],
  observations: [
    line(['Fault', 'what was measured']),
    line(['---', '---']),
    ...records
      .filter(({ fault }) => fault)
      .sort(byFirst)
      .map(({ fault, observed }) => line([fault, observed])),
  ],
};

const page = new URL('../docs/faults.md', import.meta.url);
let text = readFileSync(page, 'utf8');
for (const [name, rows] of Object.entries(tables)) {
  const [before, after] = text.split(new RegExp(`<!-- ${name} -->[^]*<!-- /${name} -->`));
  text = `${before}<!-- ${name} -->\n\n${rows.join('\n')}\n\n<!-- /${name} -->${after}`;
}
writeFileSync(page, text);
spawnSync('npx', ['prettier', '--write', page.pathname]);
process.exitCode = status ?? 1;
