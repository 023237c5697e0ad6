// Puts Nest 11 in the place of the Nest that package.json names, so that the tests run with it. `npm ci` undoes it.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const { devDependencies } = JSON.parse(readFileSync('package.json', 'utf8'));
/** `@nestjs/config` went by numbers of its own before 12. */
const versionOf = (name) => (name === '@nestjs/config' ? '4' : '11');
const packages = Object.keys(devDependencies)
  .filter((name) => name.startsWith('@nestjs/') && name !== '@nestjs/cli')
  .map((name) => `${name}@${versionOf(name)}`);
// Packages are named by what the lockfile holds for Nest 12: their peers do not agree until all are replaced.
const args = ['install', '--no-save', '--no-package-lock', '--ignore-scripts', '--legacy-peer-deps', ...packages];
process.exitCode = spawnSync('npm', args, { stdio: 'inherit' }).status ?? 1;
