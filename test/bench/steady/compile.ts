import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { transformFile, type Options } from '@swc/core';
import { swcOptions } from '../../../scripts/swc-options.mjs';
import { closeAfterwards } from '../../kit/index.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
/** Below `node_modules`, for what is compiled finds the packages from there. */
const cache = join(root, 'node_modules/.cache');

/**
 * Compiles this package and the bench, so that the processes that are measured run JavaScript as a user's do, without a
 * compiler in them. Returns where a file of the sources is then.
 */
export async function compile(): Promise<(source: string) => URL> {
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, 'bench-'));
  closeAfterwards({ close: () => rm(folder, { recursive: true, force: true }) });
  // Without it, a file below node_modules is taken for CommonJS.
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }\n');
  const sources = ['local-server', 'node-process-child', 'random'].map((name) => `test/kit/${name}.ts`);
  for (const part of ['lib', 'test/bench']) {
    const files = await readdir(join(root, part), { recursive: true });
    sources.push(...files.filter((file) => /(?<!\.spec)\.ts$/.test(file)).map((file) => join(part, file)));
  }
  const compiled = (source: string): string => join(folder, source.replace(/\.ts$/, '.js'));
  await Promise.all(
    sources.map(async (source) => {
      const { code } = await transformFile(join(root, source), {
        ...swcOptions,
        sourceMaps: false,
        module: { type: 'es6' },
        swcrc: false,
      } as Options);
      await mkdir(dirname(compiled(source)), { recursive: true });
      await writeFile(compiled(source), code);
    }),
  );
  return (source) => pathToFileURL(compiled(source));
}
