import { transformFile } from '@swc/core';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { swcOptions } from './swc-options.mjs';

/** The package's own name leads to its sources, as `paths` of tsconfig.json has it. */
const own = new Map(
  ['', '/adapter', '/driver', '/emitter', '/opentelemetry'].map((subpath) => [
    `nestjs-redis-streams-adapter${subpath}`,
    new URL(`../lib${subpath}/index.ts`, import.meta.url).href,
  ]),
);

export async function resolve(specifier, context, nextResolve) {
  const source = own.get(specifier);
  if (source !== undefined) return { url: source, format: 'module', shortCircuit: true };
  if (specifier.startsWith('.') && specifier.endsWith('.js') && context.parentURL?.endsWith('.ts')) {
    const url = new URL(`${specifier.slice(0, -'.js'.length)}.ts`, context.parentURL);
    if (existsSync(url)) return { url: url.href, format: 'module', shortCircuit: true };
  }
  return nextResolve(specifier, context);
}

export async function load(url, context, nextLoad) {
  if (!url.startsWith('file:') || !url.endsWith('.ts')) return nextLoad(url, context);
  const { code } = await transformFile(fileURLToPath(url), { ...swcOptions, module: { type: 'es6' }, swcrc: false });
  return { format: 'module', source: code, shortCircuit: true };
}
