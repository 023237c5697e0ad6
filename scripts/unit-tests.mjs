// Runs the tests that start no server: npm run test:unit [-- further arguments of Jest]
// These are the specs that do not name what starts one, and whose own files of test/ do not either. No server is found while
// they run, so one that needs it fails.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const STARTS_A_SERVER = /\b(RedisServer|RedisCluster|RedisSentinel|Fleet|servers|openBrowser)\b/;
const IMPORT = /(?:from|import\(|new URL\()\s*'(\.{1,2}\/[^']+)'/g;

const test = join(root, 'test');
const specs = readdirSync(test, { recursive: true })
  .map(String)
  .filter((path) => path.endsWith('.spec.ts') && !path.startsWith('package/'))
  .map((path) => join(test, path));

function needsServer(path, seen = new Set()) {
  if (seen.has(path)) return false;
  seen.add(path);
  const text = readFileSync(path, 'utf8');
  if (STARTS_A_SERVER.test(text)) return true;
  return [...text.matchAll(IMPORT)]
    .map(([, target]) => resolve(dirname(path), target.replace(/\.js$/, '.ts')))
    .filter(
      (target) => target.startsWith(test) && target.endsWith('.ts') && !target.includes('/kit/') && existsSync(target),
    )
    .some((target) => needsServer(target, seen));
}

const files = specs.filter((path) => !needsServer(path));
const env = { ...process.env, REDIS_SERVER: 'none', VALKEY_SERVER: 'none', CHROMIUM: 'none' };
const args = ['run', '-s', 'jest', '--', '--runTestsByPath', ...files, ...process.argv.slice(2)];
process.exitCode = spawnSync('npm', args, { cwd: root, env, stdio: 'inherit' }).status ?? 1;
