import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { closeAfterwards } from '../kit/index.js';
import { ROOT } from './pages.js';

/** The text of each file of a folder, by its path. */
function filesOf(folder: string): Record<string, string> {
  const paths = (readdirSync(folder, { recursive: true }) as string[]).filter((path) =>
    statSync(join(folder, path)).isFile(),
  );
  return Object.fromEntries(paths.sort().map((path) => [path, readFileSync(join(folder, path), 'utf8')]));
}

test('docs/api is what the docstrings say, and each public class, interface, function and method has one', () => {
  const folder = mkdtempSync(join(tmpdir(), 'api-'));
  closeAfterwards({ close: () => rmSync(folder, { recursive: true }) });
  const typedoc = join(ROOT, 'node_modules/typedoc/bin/typedoc');
  const args = [typedoc, '--options', join(ROOT, 'scripts/typedoc.json'), '--out', folder, '--logLevel', 'Warn'];
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' });
  expect(stdout + stderr).toBe(''); // it names what has no docstring
  expect(status).toBe(0);
  // `npm run docs:api` writes them anew.
  expect(filesOf(join(ROOT, 'docs/api'))).toEqual(filesOf(folder));
}, 60_000);
