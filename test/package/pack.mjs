// Packs the build once for all tests of a run. `PACKAGE_TARBALL` names a tarball to be tested instead.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export default function pack() {
  if (process.env.PACKAGE_TARBALL) return;
  const root = fileURLToPath(new URL('../..', import.meta.url));
  if (!existsSync(join(root, 'dist/esm/index.js'))) throw new Error('There is no build: run "npm run build"');
  const folder = mkdtempSync(join(tmpdir(), 'packed-'));
  const args = ['pack', '--ignore-scripts', '--json', '--pack-destination', folder];
  const { status, stdout, stderr } = spawnSync('npm', args, { cwd: root, encoding: 'utf8' });
  if (status !== 0) throw new Error(`npm pack failed:\n${stderr}`);
  process.env.PACKAGE_TARBALL = join(folder, JSON.parse(stdout)[0].filename);
}
