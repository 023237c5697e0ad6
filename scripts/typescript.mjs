// `node --import ./scripts/typescript.mjs file.ts` runs TypeScript from source, decorator metadata included.
import { register } from 'node:module';

process.setSourceMapsEnabled(true);
register('./typescript-hooks.mjs', import.meta.url);
