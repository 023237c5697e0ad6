import { execFileSync } from 'node:child_process';
import { posix } from 'node:path';
import { expect, test } from '@jest/globals';
import { PACKAGE } from './consumer.js';

const tarball = process.env['PACKAGE_TARBALL']!;
const read = (path: string): string => execFileSync('tar', ['-xzOf', tarball, `package/${path}`], { encoding: 'utf8' });
const files = execFileSync('tar', ['-tzf', tarball], { encoding: 'utf8' })
  .trim()
  .split('\n')
  .map((path) => path.replace('package/', ''));

test('the tarball holds the two builds, what one reads, and no more', () => {
  const kinds = [
    /^(package\.json|README\.md|LICENSE|CHANGELOG\.md)$/,
    /^docs\/[\w-]+(\/[\w.-]+)*\.(md|json|svg)$/,
    /^dist\/(esm|cjs)\/[\w./-]+\.(js|js\.map|d\.ts)$/,
    /^dist\/cjs\/package\.json$/,
  ];
  expect(files.filter((path) => !kinds.some((kind) => kind.test(path)))).toEqual([]);
  for (const kind of kinds) expect(files.some((path) => kind.test(path))).toBe(true);
  expect(files.filter((path) => /\.(spec|test|child|bench)\./.test(path))).toEqual([]);
});

test('each link of README and docs to another file leads to one of the tarball', () => {
  const pages = files.filter((path) => path.endsWith('.md'));
  const broken = pages.flatMap((page) =>
    [...read(page).matchAll(/\]\((?!\w+:|#)([^)#\s]+)/g)]
      .map(([, link]) => posix.join(posix.dirname(page), link!))
      .filter((path) => !files.includes(path))
      .map((path) => `${page}: ${path}`),
  );
  expect(broken).toEqual([]);
});

test('every entry of "exports" is there, in both module systems with types', () => {
  type Conditions = Record<'import' | 'require', Record<'types' | 'default', string>>;
  const { exports, name } = JSON.parse(read('package.json')) as { exports: Record<string, Conditions>; name: string };
  expect(name).toBe(PACKAGE);
  const paths = Object.entries(exports)
    .filter(([entry]) => entry !== './package.json')
    .flatMap(([, { import: esm, require: cjs }]) => [esm.types, esm.default, cjs.types, cjs.default]);
  expect(paths.length).toBeGreaterThanOrEqual(12);
  expect(paths.filter((path) => !files.includes(path.replace('./', '')))).toEqual([]);
});
