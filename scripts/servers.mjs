// Finds the programs that the tests run against, and installs those that are missing:
//   node scripts/servers.mjs
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { findOnPath, findOrInstallRedis, installPackage } from '../sample/redis-server.mjs';

const cache = fileURLToPath(new URL('../node_modules/.cache/valkey/', import.meta.url));
const cachedValkey = join(cache, 'valkey-server');

/** @returns {string | undefined} */
export const findRedis = () => process.env.REDIS_SERVER || findOnPath(['redis-server', 'valkey-server']);

/** @returns {string | undefined} */
export const findValkey = () =>
  process.env.VALKEY_SERVER || findOnPath(['valkey-server']) || (existsSync(cachedValkey) ? cachedValkey : undefined);

/** @returns {string | undefined} */
export const findChromium = () =>
  process.env.CHROMIUM || findOnPath(['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome']);

export function findOrInstallValkey() {
  const found = findValkey();
  if (found !== undefined) return found;
  if (findOnPath(['apt-get'])) unpackValkeyFromApt();
  else installPackage('Valkey', { dnf: 'valkey', apk: 'valkey', brew: 'valkey' });
  return findValkey() ?? missing('Valkey', 'valkey-server', 'VALKEY_SERVER');
}

export function findOrInstallChromium() {
  const found = findChromium();
  if (found !== undefined) return found;
  installPackage('Chromium', { 'apt-get': 'chromium', dnf: 'chromium', apk: 'chromium' });
  return findChromium() ?? missing('Chromium', 'chromium', 'CHROMIUM');
}

function missing(what, program, variable) {
  throw new Error(
    `${what} was not found, and could not be installed. Install it so that ${program} is on the PATH, ` +
      `or set ${variable} to the path of the program.`,
  );
}

/**
 * Unpacks the distribution's Valkey into the cache folder, beside an installed Redis. Debian 12 has it among its
 * backports only: they are added to a private copy of apt's sources, so that the machine's own setup stays as it is.
 */
function unpackValkeyFromApt() {
  console.log('Valkey is not on this machine: unpacking the package "valkey-server" below node_modules/.cache ...');
  const apt = join(cache, 'apt');
  rmSync(cache, { recursive: true, force: true });
  for (const folder of ['sources', 'lists/partial', 'archives/partial', 'debs'])
    mkdirSync(join(apt, folder), { recursive: true });

  const codename = /^VERSION_CODENAME=(\S+)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? '';
  const sources = ['/etc/apt/sources.list', ...list('/etc/apt/sources.list.d')].filter(
    (path) => /\.(list|sources)$/.test(path) && existsSync(path),
  );
  sources.forEach((path, i) => {
    const text = readFileSync(path, 'utf8');
    const extended = path.endsWith('.sources')
      ? text.replace(/^Suites:.*$/gm, (line) =>
          line.split(/\s+/).includes(codename) ? `${line} ${codename}-backports` : line,
        )
      : text.replace(/^deb .*$/gm, (line) =>
          line.split(/\s+/).includes(codename) && line.split(/\s+/).includes('main')
            ? `${line}\n${line.replace(` ${codename} `, ` ${codename}-backports `)}`
            : line,
        );
    writeFileSync(join(apt, 'sources', `${i}.${path.split('.').pop()}`), extended);
  });

  const settings = [
    'Dir::Etc::sourcelist=/dev/null',
    `Dir::Etc::sourceparts=${join(apt, 'sources')}`,
    `Dir::State::lists=${join(apt, 'lists')}`,
    `Dir::Cache=${apt}`,
    'APT::Sandbox::User=',
  ].flatMap((setting) => ['-o', setting]);
  // A source that has no backports fails alone; whether the packages can be had is what counts.
  run('apt-get', [...settings, '-qq', 'update'], { stdio: 'ignore' });
  // The libraries too: they are on the machine only if another package needed them.
  const packages = ['valkey-server', 'valkey-tools', 'libjemalloc2', 'liblzf1', 'libatomic1'];
  for (const name of packages) run('apt-get', [...settings, '-qq', 'download', name], { cwd: join(apt, 'debs') });
  for (const deb of list(join(apt, 'debs'))) run('dpkg-deb', ['-x', deb, join(cache, 'root')]);
  rmSync(apt, { recursive: true, force: true });

  const server = join(cache, 'root/usr/bin/valkey-server');
  if (!existsSync(server)) return;
  const libraries = list(join(cache, 'root/usr/lib')).filter((path) => path.includes('linux'));
  writeFileSync(cachedValkey, `#!/bin/sh\nLD_LIBRARY_PATH='${libraries.join(':')}' exec '${server}' "$@"\n`);
  chmodSync(cachedValkey, 0o755);
}

const list = (folder) => (existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : []);

const run = (command, args, options) =>
  spawnSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'], ...options }).status === 0;

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    console.log(`Redis:    ${findOrInstallRedis()}`);
    console.log(`Valkey:   ${findOrInstallValkey()}`);
    console.log(`Chromium: ${findOrInstallChromium()}`);
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
}
