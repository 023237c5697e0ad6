// Runs a command with another version of Node, whose program comes from the npm package "node" if it is not this one:
//   node scripts/node.mjs 22 npm run jest -- test/unit
//   node scripts/node.mjs maintained npm test   this Node if it is maintained, else the version in DEFAULT
//   node scripts/node.mjs 22                    prints the folder of its program, to be put first on the PATH
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The release lines that get fixes, which are those that `engines` in package.json names. */
const MAINTAINED = ['22', '24', '26'];
const DEFAULT = '24';
/** Not in node_modules, which `npm ci` removes. */
const cache = fileURLToPath(new URL('../.cache/node/', import.meta.url));

function findOrInstall(wanted) {
  const own = process.versions.node.split('.')[0];
  const version = wanted === 'maintained' ? (MAINTAINED.includes(own) ? own : DEFAULT) : wanted;
  if (!/^\d+(\.\d+){0,2}$/.test(version)) {
    throw new Error(`"${wanted}" is no version of Node: give one such as ${DEFAULT}, or "maintained"`);
  }
  if (version === own) return dirname(process.execPath);

  const prefix = join(cache, version);
  const folder = join(prefix, 'node_modules/node/bin');
  const program = join(folder, 'node');
  if (existsSync(program)) return folder;
  mkdirSync(prefix, { recursive: true });
  const args = ['install', '--no-save', '--no-package-lock', '--prefix', prefix, `node@${version}`];
  spawnSync('npm', args, { stdio: ['ignore', 'ignore', 'inherit'] });
  if (!existsSync(program))
    throw new Error(`Node ${version} is not here, and "npm ${args.join(' ')}" did not bring it`);
  return folder;
}

const [wanted = '', ...command] = process.argv.slice(2);
try {
  const folder = findOrInstall(wanted);
  if (command.length === 0) {
    console.log(folder);
  } else {
    const [program, ...args] = command;
    const env = { ...process.env, PATH: `${folder}${delimiter}${process.env.PATH}` };
    const { status, error } = spawnSync(program, args, { stdio: 'inherit', env });
    if (error) throw error;
    process.exitCode = status ?? 1;
  }
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
