import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import ts from 'typescript';
import { resolveOptions } from '../../lib/cluster/options.js';
import { INSTRUMENTS } from '../../lib/opentelemetry/measurements.js';
import { ROOT } from './pages.js';

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** The cells of the rows whose first one is code, of all tables of a page. */
const rowsOf = (page: string): string[][] =>
  read(page)
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) =>
      line
        .slice(1, -1)
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim()),
    );

const codesOf = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code!);

/** What a cell of defaults says: `"chat"`, `10_000`, 128 MiB, `0` (no limit). */
function valueOf(cell: string): unknown {
  const mebibytes = /^(\d+) MiB$/.exec(cell);
  if (mebibytes) return Number(mebibytes[1]) * 1024 * 1024;
  const [code] = codesOf(cell);
  return code === undefined ? undefined : (JSON.parse(code.replaceAll('_', '')) as unknown);
}

const ofTheModule = ['client', 'connection', 'role', 'enabled', 'serverOptions'];
/** Their defaults are made where they are used. */
const computed = { ordering: 'local-first', role: 'node', enabled: true };
const defaults: Record<string, unknown> = { ...resolveOptions(), ...computed };

test('docs/options.md has every option, with its default', () => {
  const rows = rowsOf('docs/options.md');
  const names = rows.map(([name]) => codesOf(name!)[0]!);
  expect([...names].sort()).toEqual([...Object.keys(resolveOptions()), ...ofTheModule].sort());
  for (const [name, value] of rows) {
    const option = codesOf(name!)[0]!;
    expect({ option, value: valueOf(value!) }).toEqual({ option, value: defaults[option] });
  }
  expect(rows.filter(([, , text]) => text!.startsWith('(module)')).map(([name]) => codesOf(name!)[0])).toEqual(
    ofTheModule,
  );
});

test('README has eight of the options, with their defaults', () => {
  const rows = rowsOf('README.md').filter(
    ([name]) => codesOf(name!)[0]! in { ...defaults, connection: 1, serverOptions: 1 },
  );
  expect(rows).toHaveLength(8);
  for (const [name, value] of rows) {
    const option = codesOf(name!)[0]!;
    expect({ option, value: valueOf(value!) }).toEqual({ option, value: defaults[option] });
  }
});

test('docs/events.md has every event, with its fields', () => {
  const events: Record<string, string[]> = {};
  for (const path of ['lib/cluster/events.ts', 'lib/stream/events.ts']) {
    const source = ts.createSourceFile(path, read(path), ts.ScriptTarget.Latest, true);
    for (const statement of source.statements.filter(ts.isInterfaceDeclaration)) {
      const members = statement.members.filter(ts.isPropertySignature);
      const type = members.find(({ name }) => name.getText() === 'type')?.type?.getText();
      if (type) events[type.slice(1, -1)] = members.map(({ name }) => name.getText()).filter((name) => name !== 'type');
    }
  }
  expect(Object.keys(events).length).toBeGreaterThan(15);
  const rows = rowsOf('docs/events.md').filter(([type]) => !/^`(type|code)`$/.test(type!) && /^`[a-z-]+`$/.test(type!));
  const documented = Object.fromEntries(rows.map(([type, , fields]) => [codesOf(type!)[0]!, codesOf(fields!)]));
  expect(documented).toEqual(events);
});

test('docs/operating.md has every metric', () => {
  const rows = rowsOf('docs/operating.md').filter(([name]) => /^`(messaging|redis_streams)/.test(name!));
  // `redis_streams_adapter.sockets`, `.sessions`
  const documented = rows.flatMap(([cell]) =>
    codesOf(cell!).map((name) => name.replace(/^\./, 'redis_streams_adapter.')),
  );
  const histograms = ['messaging.client.operation.duration', 'redis_streams_adapter.delivery.duration'];
  expect(documented.sort()).toEqual([...Object.keys(INSTRUMENTS), ...histograms].sort());
});
