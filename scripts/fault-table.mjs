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
const rows = records
  .sort((a, b) => (a.row < b.row ? -1 : 1))
  .map(({ row, sent, once, doubled, reported }) =>
    ['', row, ...[sent, once, doubled, reported, sent - once - reported].map((n) => number.format(n)), '']
      .join(' | ')
      .trim(),
  );
const table = [
  '| Fault | to be received | received once | doubled | reported lost | lost in silence |',
  '| --- | ---: | ---: | ---: | ---: | ---: |',
  ...rows,
].join('\n');

const page = new URL('../docs/faults.md', import.meta.url);
const [before, after] = readFileSync(page, 'utf8').split(/<!-- table -->[^]*<!-- \/table -->/);
writeFileSync(page, `${before}<!-- table -->\n\n${table}\n\n<!-- /table -->${after}`);
process.exitCode = status ?? 1;
