import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** A piece of code that a page shows. */
export interface Block {
  /** The page, from the root of the repository: `docs/guide.md`. */
  page: string;
  /** The line of the page in which its code begins. */
  line: number;
  /** Of the nearest heading above it, as the page's links have it. */
  section: string;
  /** What is behind the three backquotes: `ts`, `sh`. */
  language: string;
  code: string;
}

export const PAGES = [
  'README.md',
  'CONTRIBUTING.md',
  ...readdirSync(join(ROOT, 'sample')).flatMap((name) => (/\./.test(name) ? [] : [`sample/${name}/README.md`])),
  ...(readdirSync(join(ROOT, 'docs'), { recursive: true }) as string[])
    .filter((name) => name.endsWith('.md') && !name.startsWith('api/'))
    .map((name) => `docs/${name}`)
    .sort(),
];

/** All blocks of a page, and of its comments `<!-- given: name.ts`: files that the reader has already. */
export function blocksOf(page: string): Block[] {
  const lines = readFileSync(join(ROOT, page), 'utf8').split('\n');
  const blocks: Block[] = [];
  let section = 'top';
  for (let i = 0; i < lines.length; i++) {
    const heading = /^#+ (.+)$/.exec(lines[i]!);
    if (heading) section = slug(heading[1]!);
    const given = /^<!-- given: (\S+)$/.exec(lines[i]!);
    const fence = /^( *)```(\w*)$/.exec(lines[i]!);
    if (!given && !fence) continue;
    const indent = fence?.[1]?.length ?? 0;
    const end = lines.indexOf(given ? '-->' : `${' '.repeat(indent)}\`\`\``, i + 1);
    if (end < 0) throw new Error(`${page}:${i + 1}: has no end`);
    const code = lines.slice(i + 1, end).map((line) => line.slice(indent));
    if (given) code.unshift(`// ${given[1]}`);
    blocks.push({ page, line: i + 2, section, language: given ? 'ts' : fence![2]!, code: code.join('\n') + '\n' });
    i = end;
  }
  return blocks;
}

/** What a link to a heading is made of, as GitHub has it. */
export const slug = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, '')
    .replaceAll(' ', '-');

/** What is written as files. */
const PROGRAMS = ['ts', 'js'];

/** The file that a block says it is in its first line, or one named after its place. */
export const nameOf = ({ code, line }: Block): string =>
  /^\/\/ ([\w./-]+\.(?:ts|mjs))\n/.exec(code)?.[1] ?? `line-${line}.ts`;

/** The folder of a section, below that of all pages. */
export const folderOf = (page: string, section: string): string => join(basename(page, '.md').toLowerCase(), section);

/** What a reader has who has followed the quick start. */
const QUICK_START = ['app.module.ts', 'chat.gateway.ts', 'health.controller.ts', 'main.ts'];

/**
 * Writes the programs of all pages as files, each section into a folder of its own, where the files of the quick start
 * are as well, unless the section has its own of that name.
 *
 * @returns of each file, its path and its block
 */
export function writeFiles(folder: string, pages = PAGES): Map<string, Block> {
  rmSync(folder, { recursive: true, force: true });
  const written = new Map<string, Block>();
  const write = (path: string, block: Block): void => {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, block.code);
    written.set(path, block);
  };
  for (const block of pages.flatMap(blocksOf).filter(({ language }) => PROGRAMS.includes(language))) {
    const path = join(folder, folderOf(block.page, block.section), nameOf(block));
    if (written.has(path)) throw new Error(`${block.page}:${block.line}: its section has two files ${nameOf(block)}`);
    write(path, block);
  }
  const start = blocksOf('README.md').filter(
    (block) => block.section === 'quick-start' && QUICK_START.includes(nameOf(block)),
  );
  for (const sectionFolder of new Set([...written.keys()].map((path) => dirname(path)))) {
    for (const block of start) {
      const path = join(sectionFolder, nameOf(block));
      if (!written.has(path)) write(path, block);
    }
  }
  return written;
}
