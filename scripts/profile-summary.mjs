// Where a process spent its time, of CPU profiles that the bench wrote, or "node --cpu-prof":
//   node scripts/profile-summary.mjs [--top 30] file.cpuprofile ...
// Shares are of the time in which it was not idle; several files are taken as one.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

const { values, positionals: files } = parseArgs({
  options: { top: { type: 'string', default: '30' } },
  allowPositionals: true,
});
if (files.length === 0) {
  console.error('usage: node scripts/profile-summary.mjs [--top 30] file.cpuprofile ...');
  process.exit(1);
}

/** Microseconds of each function itself, without what it calls. */
const functions = new Map();
const packages = new Map();
/** The same, with what Node and the kernel do counted for the package that asked for it. */
const askers = new Map();
let busy = 0;
let whole = 0;
for (const file of files) {
  const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(file, 'utf8'));
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id])));
  const askerOf = (id) => {
    for (let at = id; at !== undefined; at = parents.get(at)) {
      const name = packageOf(byId.get(at).callFrame);
      if (name !== 'native' && name !== 'node') return name;
    }
    return 'node';
  };
  // A delta is the time before its sample.
  for (let i = 0; i < samples.length; i++) {
    const { callFrame } = byId.get(samples[i]);
    const { functionName, url, lineNumber } = callFrame;
    const time = Math.max(0, timeDeltas[i + 1] ?? 0);
    whole += time;
    if (functionName === '(idle)') continue;
    busy += time;
    const where = packageOf(callFrame);
    add(functions, `${functionName || '(anonymous)'}  ${where}${url ? ` ${fileOf(url)}:${lineNumber + 1}` : ''}`, time);
    add(packages, where, time);
    add(askers, askerOf(samples[i]), time);
  }
}

console.log(`busy ${share(busy, whole)} of ${(whole / 1e6).toFixed(1)} s\n`);
print('by package, itself', packages, Infinity);
print('by package, with what Node and the kernel do for it', askers, Infinity);
print('by function', functions, Number(values.top));

function packageOf({ url, functionName }) {
  if (functionName === '(garbage collector)' || functionName === '(program)') return functionName;
  if (url === '') return functionName === '(root)' ? 'node' : 'native';
  if (url.startsWith('node:')) return 'node';
  const own = /\/(lib|dist\/(?:esm|cjs))\/(adapter|cluster|session|stream|wire|redis|nest|emitter|time)\//.exec(url);
  // The bench's compiled copy of this package lies below node_modules too.
  if (own && !/node_modules\/(?!\.cache\/)/.test(url)) return `own ${own[2]}/`;
  const name = /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1];
  return name === undefined || name === '.cache' ? 'app' : name;
}

function fileOf(url) {
  return url.startsWith('node:') ? url : url.split('/').slice(-1)[0];
}

function add(map, key, time) {
  map.set(key, (map.get(key) ?? 0) + time);
}

function share(part, all) {
  return `${((part / all) * 100).toFixed(1)} %`;
}

function print(title, map, top) {
  console.log(title);
  for (const [key, time] of [...map].sort((a, b) => b[1] - a[1]).slice(0, top)) {
    console.log(`${share(time, busy).padStart(8)}  ${key}`);
  }
  console.log();
}
