import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

/** Packages that must come from one folder, as there must be one copy of each in a process. */
const PACKAGES = {
  '@nestjs/common': '^11.1.0',
  '@nestjs/core': '^11.1.0',
  '@nestjs/platform-express': '^11.1.0',
  '@nestjs/platform-socket.io': '^11.1.0',
  '@nestjs/testing': '^11.1.0',
  '@nestjs/websockets': '^11.1.0',
  'reflect-metadata': '^0.2.2',
  rxjs: '^7.8.2',
};

/**
 * A folder with the packages of Nest 11, which cannot stand beside those of Nest 12 in one: they ask for each other by
 * name. Installed once on a machine.
 */
export async function nest11(): Promise<string> {
  const folder = join(
    tmpdir(),
    `nest-11-${Object.values(PACKAGES)
      .join('-')
      .replace(/[^\d.-]/g, '')}`,
  );
  if (!existsSync(folder)) {
    const scratch = await mkdtemp(join(tmpdir(), 'nest-11-'));
    await writeFile(join(scratch, 'package.json'), JSON.stringify({ private: true, dependencies: PACKAGES }));
    await promisify(execFile)('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts'], { cwd: scratch });
    // Another worker may have been faster.
    await rename(scratch, folder).catch(() => rm(scratch, { recursive: true }));
  }
  return folder;
}

/** Arguments of `node` that lead all imports of those packages there. */
export function importingFrom(folder: string): string[] {
  const hooks = `
    const parentURL = ${JSON.stringify(pathToFileURL(join(folder, 'package.json')).href)};
    const elsewhere = /^(@nestjs\\/|rxjs|reflect-metadata)/;
    export const resolve = (specifier, context, next) =>
      elsewhere.test(specifier) ? next(specifier, { ...context, parentURL }) : next(specifier, context);`;
  const url = (code: string): string => `data:text/javascript,${encodeURIComponent(code)}`;
  return ['--import', url(`import { register } from 'node:module'; register(${JSON.stringify(url(hooks))});`)];
}
