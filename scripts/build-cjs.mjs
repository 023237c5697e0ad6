// The CommonJS half of the build: the same sources again, and a package.json that says what they are.
import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));

rmSync(path('../dist/cjs'), { recursive: true, force: true });
const tsc = spawnSync(
  process.execPath,
  [path('../node_modules/typescript/bin/tsc'), '--project', path('tsconfig.cjs.json')],
  { stdio: 'inherit' },
);
if (tsc.status !== 0) process.exit(tsc.status ?? 1);
writeFileSync(path('../dist/cjs/package.json'), '{ "type": "commonjs" }\n');
