import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import ts from 'typescript';
import { EntryType } from '../../lib/wire/entry.js';
import { RequestType } from '../../lib/wire/requests.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

const page = read('docs/protocol.md');
/** All that is set as code. */
const code = page.match(/`[^`\n]+`/g)!.join(' ');

/** Declarations whose fields are sent as they are, by file. */
const SENT = {
  'entry.ts': ['WireOptions', 'EventPacket'],
  'requests.ts': ['BusMessage'],
  'request-data.ts': ['Pieces', 'Request', 'Response', 'ResponsePiece'],
  'control.ts': ['NodeInfo', 'Heartbeat', 'Goodbye', 'SessionRequest', 'SessionResponse'],
  'session.ts': ['Session', 'SessionClaimRecord'],
};

function fieldsOf(file: string, declarations: readonly string[]): string[] {
  const source = ts.createSourceFile(file, read(`lib/wire/${file}`), ts.ScriptTarget.Latest, true);
  const fields = new Set<string>();
  const visit = (node: ts.Node): void => {
    if (ts.isPropertySignature(node)) {
      fields.add(node.name.getText());
    }
    node.forEachChild(visit);
  };
  for (const statement of source.statements) {
    const isDeclaration = ts.isInterfaceDeclaration(statement) || ts.isTypeAliasDeclaration(statement);
    if (isDeclaration && declarations.includes(statement.name.text)) {
      visit(statement);
    }
  }
  return [...fields];
}

function textsIn(path: string, pattern: RegExp): string[] {
  return [...read(path).matchAll(pattern)].map((match) => match[1]!);
}

const has = (name: string): boolean => new RegExp(`(?<![\\w-])${name}(?![\\w-])`).test(code);

describe('docs/protocol.md', () => {
  test.each(Object.entries(SENT))('names each field that %s sends', (file, declarations) => {
    const fields = fieldsOf(file, declarations);
    expect(fields.length).toBeGreaterThan(declarations.length);
    expect(fields.filter((field) => !has(field))).toEqual([]);
  });

  test('names each field of an entry', () => {
    const [list] = textsIn('lib/wire/parse-entry.ts', /const NAMES = \[(.*?)\] as const/g);
    const names = [...list!.matchAll(/'(\w+)'/g)].map((match) => match[1]!);
    expect(names).toContain('trace');
    expect(names.filter((name) => !page.includes(`| \`${name}\``))).toEqual([]);
  });

  test('names each type of message with its number', () => {
    const rows = [...Object.entries(EntryType), ...Object.entries(RequestType)];
    const missing = rows.filter(([name, type]) => !new RegExp(`\\| ${type} +\\| \`${name}\``).test(page));
    expect(missing).toEqual([]);
  });

  test('names each kind of control message, each extension type, key and channel', () => {
    const kinds = textsIn('lib/wire/control.ts', /case '([\w-]+)'/g);
    const extensions = textsIn('lib/wire/msgpack.ts', /^ {2}(\w+): \d,$/gm);
    const keys = textsIn('lib/wire/keys.ts', /\$\{this\.prefix\}([\w:]+)/g);
    const channels = textsIn('lib/wire/channels.ts', /\| `(<prefix>[^`]*)`/g);
    expect([kinds.length, extensions.length, keys.length, channels.length]).toEqual([5, 5, 3, 3]);
    expect([...kinds, ...extensions].filter((name) => !has(name))).toEqual([]);
    expect(keys.filter((key) => !code.includes(`<prefix>${key}`))).toEqual([]);
    const named = channels.map((name) => name.replace('<namespace>', '<nsp>').replace('<stream name>', '<streamName>'));
    expect(named.filter((name) => !code.includes(`\`${name}\``))).toEqual([]);
  });
});
