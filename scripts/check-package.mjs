// Checks the package as its users will get it: packs the build, lints the tarball, and loads each entry of it in both
// module systems, with no other packages beside it than those that package.json requires.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const scratch = mkdtempSync(join(tmpdir(), 'check-package-'));

try {
  if (!existsSync(join(root, 'dist/esm/index.js'))) throw new Error('There is no build: run "npm run build"');
  const { filename } = JSON.parse(
    run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', scratch], { stdio: 'pipe' }),
  )[0];
  const tarball = join(scratch, filename);
  run(bin('publint'), ['run', tarball, '--strict']);
  run(bin('attw'), [tarball, '--profile', 'node16']);

  const optional = (name) => manifest.peerDependenciesMeta?.[name]?.optional === true;
  const peers = Object.keys(manifest.peerDependencies);
  const required = [...Object.keys(manifest.dependencies), ...peers.filter((name) => !optional(name))];
  const plain = unpack(tarball, 'plain', required);
  const nest = unpack(tarball, 'nest', [...required, ...peers.filter(optional)]);
  for (const subpath of ['/adapter', '/driver', '/emitter']) load(plain, manifest.name + subpath);
  load(nest, manifest.name);
  load(nest, `${manifest.name}/opentelemetry`);
  // OpenTelemetry, and each Redis client, is needed by those only who use it.
  const withSockets = peers.filter(
    (name) => optional(name) && !/^(@opentelemetry\/api|ioredis|iovalkey|redis)$/.test(name),
  );
  load(unpack(tarball, 'nest-only', [...required, ...withSockets]), manifest.name);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

/** A folder whose node_modules holds the package and links to `dependencies`. */
function unpack(tarball, folder, dependencies) {
  const modules = join(scratch, folder, 'node_modules');
  const own = join(modules, manifest.name);
  mkdirSync(own, { recursive: true });
  run('tar', ['-xzf', tarball, '-C', own, '--strip-components=1']);
  for (const name of dependencies) {
    mkdirSync(dirname(join(modules, name)), { recursive: true });
    symlinkSync(join(root, 'node_modules', name), join(modules, name));
  }
  return join(scratch, folder);
}

function load(cwd, entry) {
  run(process.execPath, ['--input-type=module', '-e', `await import('${entry}')`], { cwd });
  run(process.execPath, ['--input-type=commonjs', '-e', `require('${entry}')`], { cwd });
  console.log(`${entry} can be imported and required`);
}

function bin(name) {
  return join(root, 'node_modules/.bin', name);
}

function run(command, args, options) {
  const { status, stdout } = spawnSync(command, args, { cwd: root, stdio: 'inherit', encoding: 'utf8', ...options });
  if (status !== 0) throw new Error(`"${[command, ...args].join(' ')}" failed`);
  return stdout;
}
