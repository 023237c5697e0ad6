import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import ts from 'typescript';

const LIB = fileURLToPath(new URL('../../lib/', import.meta.url));

/** From the top down; those of one line do not know each other. Imports run downwards only. */
const LAYERS = [
  ['index.ts'],
  ['nest'],
  ['adapter', 'driver', 'emitter', 'opentelemetry'],
  ['cluster'],
  ['session'],
  ['stream'],
  ['redis'],
  ['queue', 'time', 'wire'],
];

interface Import {
  /** Path of the importing file, relative to `lib/`. */
  file: string;
  /** What it names: a package, or the path of a file relative to `lib/`. */
  target: string;
  isPackage: boolean;
}

const files = (readdirSync(LIB, { recursive: true }) as string[]).filter((file) => file.endsWith('.ts')).sort();
const imports = files.flatMap(importsOf);

function importsOf(file: string): Import[] {
  const source = ts.createSourceFile(file, readFileSync(join(LIB, file), 'utf8'), ts.ScriptTarget.Latest, true);
  const found: Import[] = [];
  const add = (specifier: ts.Node | undefined): void => {
    if (specifier && ts.isStringLiteralLike(specifier)) {
      const isPackage = !specifier.text.startsWith('.');
      const path = resolve(LIB, dirname(file), specifier.text.replace(/\.js$/, '.ts'));
      found.push({ file, target: isPackage ? specifier.text : relative(LIB, path), isPackage });
    }
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) {
      add(node.moduleSpecifier);
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node.arguments[0]);
    } else if (ts.isCallExpression(node) && node.expression.getText(source) === 'require') {
      add(node.arguments[0]);
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      add(node.argument.literal);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** Folder of a file, or the file itself if it lies in none. */
const roomOf = (file: string): string => file.split(sep)[0]!;

const layerOf = (file: string): number => LAYERS.findIndex((rooms) => rooms.includes(roomOf(file)));

/** All files that one needs, directly or not. */
function reach(from: string): Set<string> {
  const reached = new Set([from]);
  for (const file of reached) {
    for (const { target, isPackage } of imports.filter((one) => one.file === file)) {
      if (!isPackage) reached.add(target);
    }
  }
  return reached;
}

const packagesOf = (from: string): string[] => {
  const reached = reach(from);
  return imports.filter(({ file, isPackage }) => isPackage && reached.has(file)).map(({ target }) => target);
};

describe('the sources', () => {
  test('each lie in a room that has its place', () => {
    expect(files.length).toBeGreaterThan(20);
    expect(files.filter((file) => layerOf(file) < 0)).toEqual([]);
  });

  test('import files that exist', () => {
    expect(imports).toContainEqual({ file: 'wire/entry.ts', target: 'wire/msgpack.ts', isPackage: false });
    expect(imports.filter(({ target, isPackage }) => !isPackage && !files.includes(target))).toEqual([]);
  });

  test('import downwards only', () => {
    const upwards = imports.filter(
      ({ file, target, isPackage }) =>
        !isPackage && roomOf(target) !== roomOf(file) && layerOf(target) <= layerOf(file),
    );
    expect(upwards.map(({ file, target }) => `${file} imports ${target}`)).toEqual([]);
  });

  test('import nothing of Nest below nest/, and no Socket.IO server anywhere below it', () => {
    const below = imports.filter(({ file }) => !['nest', 'index.ts'].includes(roomOf(file)));
    const foreign = below.filter(({ target }) => /^(@nestjs\/|rxjs|reflect-metadata|socket\.io$)/.test(target));
    expect(foreign.map(({ file, target }) => `${file} imports ${target}`)).toEqual([]);
  });

  test.each(['adapter/index.ts', 'driver/index.ts', 'emitter/index.ts'])(
    'of the subpath %s need no package of Nest',
    (entry) => {
      expect(files).toContain(entry);
      const needed = new Set(packagesOf(entry).filter((name) => !name.startsWith('node:')));
      expect([...needed].filter((name) => /nest|rxjs|reflect-metadata/.test(name))).toEqual([]);
      expect([...needed].filter((name) => !['@msgpack/msgpack', 'debug', 'socket.io-adapter'].includes(name))).toEqual(
        [],
      );
    },
  );

  test('import nothing of OpenTelemetry but in opentelemetry/, which no other file imports', () => {
    const inside = (file: string): boolean => roomOf(file) === 'opentelemetry';
    expect(imports.some(({ file, target }) => inside(file) && target === '@opentelemetry/api')).toBe(true);
    const outside = imports.filter(({ file }) => !inside(file));
    expect(outside.filter(({ target }) => /opentelemetry/.test(target))).toEqual([]);
  });

  test('import no Redis client: the application brings its own', () => {
    const clients = imports.filter(
      ({ file, target, isPackage }) => isPackage && roomOf(file) !== 'nest' && /^(ioredis|redis|iovalkey)/.test(target),
    );
    expect(clients.map(({ file, target }) => `${file} imports ${target}`)).toEqual([]);
  });
});
