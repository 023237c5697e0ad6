import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import ts from 'typescript';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const PAGE = readFileSync(join(ROOT, 'docs/architecture.md'), 'utf8');

const all = (pattern: RegExp): string[] => [...PAGE.matchAll(pattern)].map(([, name]) => name!);

describe('docs/architecture.md', () => {
  test('names files and folders that exist', () => {
    const paths = all(/`((?:lib|test)\/[\w./-]*)`/g);
    expect(paths.length).toBeGreaterThan(20);
    expect(paths.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });

  test('has a row for each folder of lib/', () => {
    const folders = readdirSync(join(ROOT, 'lib'), { withFileTypes: true }).filter((entry) => entry.isDirectory());
    expect(all(/^\| `lib\/(\w+)\/`/gm).sort()).toEqual(folders.map(({ name }) => name).sort());
  });

  test('follows each way through functions that exist in the files named', () => {
    const steps = [...PAGE.matchAll(/^\d+\. `(lib\/[\w./-]+)`: ((?:.|\n {3,})*)/gm)];
    expect(steps.length).toBeGreaterThan(60);
    for (const [, file, text] of steps) {
      const source = readFileSync(join(ROOT, file!), 'utf8');
      const named = [...text!.matchAll(/`([a-z]\w+)`/g)].map(([, name]) => name!);
      expect(named.length).toBeGreaterThan(0);
      const missing = named.filter(
        (name) => !new RegExp(`^ *[\\w ]*\\b${name}(<\\w+>)?\\((.*[{(])?$`, 'm').test(source),
      );
      expect({ file, missing }).toEqual({ file, missing: [] });
    }
  });

  test('links to records of decisions that exist, and to each of them', () => {
    const linked = all(/\]\(decisions\/([\w-]+\.md)\)/g);
    expect(linked.sort()).toEqual(readdirSync(join(ROOT, 'docs/decisions')).sort());
  });
});

const isDocumented = (node: ts.Node): boolean => ts.getJSDocCommentsAndTags(node).length > 0;

const isFixed = (field: ts.Declaration): boolean =>
  (ts.getCombinedModifierFlags(field) & (ts.ModifierFlags.Readonly | ts.ModifierFlags.Ambient)) > 0;

/**
 * Fields of which no comment says anything, of the classes of a file: those that change and, where there are several of these,
 * all that are no parameters of the constructor or functions.
 */
function undocumented(file: string): string[] {
  const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true);
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isClassDeclaration(node)) {
      const fields = node.members
        .filter(ts.isPropertyDeclaration)
        .filter(({ initializer }) => !initializer || !ts.isArrowFunction(initializer));
      const changing = fields.filter((field) => !isFixed(field));
      const missing = (changing.length > 1 ? fields : changing).filter((field) => !isDocumented(field));
      found.push(...missing.map(({ name }) => `${basename(file)}: ${node.name?.text}.${name.getText()}`));
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

describe('the classes of lib/', () => {
  test('have a line for each field that changes, and for each field if several do', () => {
    const files = (readdirSync(join(ROOT, 'lib'), { recursive: true }) as string[]).filter((file) =>
      file.endsWith('.ts'),
    );
    expect(files.length).toBeGreaterThan(100);
    expect(files.flatMap((file) => undocumented(join(ROOT, 'lib', file)))).toEqual([]);
  });
});
