import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import ts from 'typescript';
import { blocksOf, PAGES, ROOT, slug, writeFiles, type Block } from './pages.js';

const FOLDER = join(ROOT, '.cache/docs/types');
/** What a test runner gives to each test file, Jest and Vitest alike. */
const GLOBALS = `import type * as jest from '@jest/globals';
declare global {
  const afterEach: typeof jest.afterEach;
  const beforeEach: typeof jest.beforeEach;
  const expect: typeof jest.expect;
  const test: typeof jest.test;
}`;
const HAS_TOP_LEVEL_AWAIT = /^(const .*= )?await /m;

/** What is wrong with the code of the pages, each fault named by page and line. */
function faults(): string[] {
  const esm = writeFiles(join(FOLDER, 'esm'));
  const commonjs = writeFiles(join(FOLDER, 'commonjs'));
  writeFileSync(join(FOLDER, 'commonjs/package.json'), JSON.stringify({ type: 'commonjs' }));
  const blocks = new Map([...esm, ...commonjs]);
  const globals = join(FOLDER, 'globals.d.ts');
  writeFileSync(globals, GLOBALS);
  const files = [...blocks]
    .filter(([path, { code }]) => !(commonjs.has(path) && HAS_TOP_LEVEL_AWAIT.test(code)))
    .map(([path]) => path);
  const { config } = ts.readConfigFile(join(ROOT, 'tsconfig.json'), (path) => ts.sys.readFile(path)) as {
    config: object;
  };
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, ROOT);
  const program = ts.createProgram([...files, globals], { ...options, types: ['node'], checkJs: true });
  const found = ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => {
    const text = ts.flattenDiagnosticMessageText(messageText, '\n');
    const block = file && blocks.get(file.fileName);
    if (!block) return `${file?.fileName ?? ''}: ${text}`;
    const { line } = file.getLineAndCharacterOfPosition(start ?? 0);
    return `${block.page}:${block.line + line}: ${text}`;
  });
  return [...new Set(found)];
}

const blocks = PAGES.flatMap(blocksOf);
const ofLanguage = (language: string): Block[] => blocks.filter((block) => block.language === language);

describe('the code of README and docs', () => {
  test('compiles as it is printed, with strict types, as ES modules and (but for top-level await) CommonJS', () => {
    expect(ofLanguage('ts').length).toBeGreaterThan(20);
    expect(faults()).toEqual([]);
  }, 120_000);

  test('is in languages that are checked here', () => {
    const languages = new Set(blocks.map(({ language }) => language));
    languages.delete(''); // pictures
    expect([...languages].filter((language) => !['ts', 'js', 'sh'].includes(language))).toEqual([]);
  });
});

describe('the commands of README and docs', () => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: object };
  /** Scripts that a new Nest application has. */
  const nest = ['build', 'start', 'start:dev', 'test', 'test:e2e'];

  test('run npm scripts that are there', () => {
    const pages = PAGES.map((page) => ({ page, text: readFileSync(join(ROOT, page), 'utf8') }));
    const named = pages.flatMap(({ page, text }) =>
      [...text.matchAll(/npm run (?:-s )?([\w:]+)/g)].map(([, script]) => ({ page, script: script! })),
    );
    expect(named.length).toBeGreaterThan(20);
    expect(named.filter(({ script }) => !(script in scripts) && !nest.includes(script))).toEqual([]);
  });

  test('run files that are there', () => {
    const missing: string[] = [];
    let count = 0;
    for (const { page, code, line } of blocks.filter(({ language }) => ['sh', ''].includes(language))) {
      let folder = ROOT;
      for (const command of code.split(/\n|&&/)) {
        const target = /^\s*cd (\S+)/.exec(command)?.[1];
        if (target) {
          folder = join(folder, target);
          continue;
        }
        const paths = [...command.matchAll(/(?<=\s)((?:\.\.\/|\.\/)*(?:scripts|sample|src|test)\/[\w./-]+)/g)];
        for (const [, path] of paths) {
          count++;
          // Of a file of the repository, seen from its root or from the page's folder.
          const places = [folder, join(ROOT, dirname(page))];
          if (!places.some((place) => existsSync(join(place, path!)))) missing.push(`${page}:${line}: ${path}`);
        }
      }
    }
    expect(count).toBeGreaterThan(2);
    expect(missing).toEqual([]);
  });

  test('of a shell have a syntax that it understands', () => {
    for (const { page, line, code } of ofLanguage('sh')) {
      const { status, stderr } = spawnSync('bash', ['-n'], { input: code, encoding: 'utf8' });
      expect({ at: `${page}:${line}`, status, stderr }).toEqual({ at: `${page}:${line}`, status: 0, stderr: '' });
    }
  });
});

describe('the links of README and docs', () => {
  const anchors = (page: string): Set<string> => {
    const text = readFileSync(join(ROOT, page), 'utf8').replace(/^ *```[^]*?^ *```$/gm, '');
    return new Set([...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => slug(heading!)));
  };

  test('lead to files and headings that are there', () => {
    const broken: string[] = [];
    for (const page of PAGES) {
      const text = readFileSync(join(ROOT, page), 'utf8').replace(/^ *```[^]*?^ *```$/gm, '');
      for (const [, path, anchor] of text.matchAll(/\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)/g)) {
        const target = path === '' ? page : join(dirname(page), path!);
        if (!existsSync(join(ROOT, target))) broken.push(`${page}: ${path}`);
        else if (anchor && !anchors(target).has(anchor)) broken.push(`${page}: ${path}#${anchor}`);
      }
    }
    expect(broken).toEqual([]);
  });
});
