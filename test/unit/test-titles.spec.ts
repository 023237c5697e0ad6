import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import ts from 'typescript';

const TESTS = fileURLToPath(new URL('../', import.meta.url));

/** A title is read in one line of a report, and typed in part to find the test. */
const MAX_TITLE_CHARACTERS = 100;

const files = (readdirSync(TESTS, { recursive: true }) as string[]).filter((file) => file.endsWith('.ts')).sort();
const titles = files.flatMap((file) => titlesOf(file, readFileSync(join(TESTS, file), 'utf8')));

/** The titles given to `describe`, `it` and `test`, with `.each` and without, but for those that are not a literal. */
function titlesOf(file: string, text: string): { file: string; title: string }[] {
  const found: { file: string; title: string }[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && isTestFunction(node.expression)) {
      const title = node.arguments[0];
      if (title && ts.isStringLiteralLike(title)) found.push({ file, title: title.text });
      else if (title && ts.isTemplateExpression(title)) found.push({ file, title: title.getText().slice(1, -1) });
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true));
  return found;
}

/** `test`, `describe.only`, or the `test.each([…])` of `test.each([…])('title', …)`. */
function isTestFunction(callee: ts.Expression): boolean {
  if (ts.isCallExpression(callee)) return isTestFunction(callee.expression);
  if (ts.isPropertyAccessExpression(callee)) return isTestFunction(callee.expression);
  return ts.isIdentifier(callee) && ['describe', 'it', 'test'].includes(callee.text);
}

describe('titles of tests', () => {
  test('are found in every form', () => {
    const text = `describe('a', () => { it.each<[string]>([['no title']])('b', () => {}); test(\`c \${1}\`, () => {}); });`;
    expect(titlesOf('a.ts', text).map(({ title }) => title)).toEqual(['a', 'b', 'c ${1}']);
    expect(titles.length).toBeGreaterThan(700);
  });

  test(`have at most ${MAX_TITLE_CHARACTERS} characters`, () => {
    expect(titles.filter(({ title }) => title.length > MAX_TITLE_CHARACTERS)).toEqual([]);
  });
});
