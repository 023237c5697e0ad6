import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { Consumer, PACKAGE } from './consumer.js';

let consumer: Consumer;

beforeAll(async () => {
  consumer = await Consumer.create({
    from: ['types'],
    dependencies: {
      '@nestjs/common': '^11',
      '@nestjs/core': '^11',
      '@nestjs/platform-socket.io': '^11',
      '@nestjs/websockets': '^11',
      '@opentelemetry/api': '^1.9',
      '@types/node': '^22',
      ioredis: '^5',
      'reflect-metadata': '^0.2',
      rxjs: '^7',
      'socket.io': '^4.8',
      'typescript-5': 'npm:typescript@~5.7',
      typescript: '^6',
    },
  });
});

describe('the types, with all libraries checked', () => {
  const rows = ['node16', 'nodenext', 'bundler'].flatMap((resolution) =>
    (['commonjs', 'module'] as const).map((type) => ({ resolution, type })),
  );

  test.each(rows)('in a project of type $type, with the resolution "$resolution"', async ({ resolution, type }) => {
    expect(await compile(type, resolution)).toBe('');
  });

  test('with copies of socket.io-adapter and ioredis that are not those of the application', async () => {
    const own = join(consumer.folder, 'node_modules', PACKAGE, 'node_modules');
    for (const name of ['socket.io-adapter', 'ioredis']) {
      await cp(join(consumer.folder, 'node_modules', name), join(own, name), { recursive: true });
      // TypeScript takes two copies of one version for one package.
      const path = join(own, name, 'package.json');
      const manifest = JSON.parse(await readFile(path, 'utf8')) as object;
      await writeFile(path, JSON.stringify({ ...manifest, version: '99.0.0' }));
    }
    expect(await compile('module', 'nodenext')).toBe('');
    await rm(own, { recursive: true });
  });

  test('with TypeScript 5.7', async () => {
    expect(await compile('commonjs', 'node16', 'typescript-5')).toBe('');
  });
});

async function compile(type: 'commonjs' | 'module', resolution: string, compiler = 'typescript'): Promise<string> {
  await writeFile(join(consumer.folder, 'package.json'), JSON.stringify({ private: true, type }));
  const config = {
    compilerOptions: {
      target: 'ES2022',
      module: resolution === 'bundler' ? 'esnext' : resolution,
      moduleResolution: resolution,
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      skipLibCheck: false,
      noEmit: true,
      types: ['node'],
    },
    include: ['*.ts'],
  };
  await writeFile(join(consumer.folder, 'tsconfig.json'), JSON.stringify(config));
  return consumer
    .run('node', [`node_modules/${compiler}/bin/tsc`, '--pretty', 'false'])
    .catch((error: Error) => error.message);
}
