import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';

/** Writes a table into a page of `docs/`, between the comments `<!-- name -->` and `<!-- /name -->`. */
export async function writeTable(page: string, name: string, table: string): Promise<void> {
  const path = fileURLToPath(new URL(`../../docs/${page}`, import.meta.url));
  const [before, after] = (await readFile(path, 'utf8')).split(new RegExp(`<!-- ${name} -->[^]*<!-- /${name} -->`));
  if (after === undefined) {
    throw new Error(`docs/${page} has no place for the table "${name}"`);
  }
  const text = `${before}<!-- ${name} -->\n\n${table}\n\n<!-- /${name} -->${after}`;
  await writeFile(path, await format(text, { ...(await resolveConfig(path)), filepath: path }));
}
