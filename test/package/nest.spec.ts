import { describe, expect, test } from '@jest/globals';
import { RedisServer, until } from '../kit/index.js';
import { blocksOf, nameOf } from '../docs/pages.js';
import { Consumer, PACKAGE, said } from './consumer.js';

/** Nest's shutdown hooks end the process by the signal that it has got, when everything is closed. */
const quickStart = blocksOf('README.md').filter(({ section }) => section === 'quick-start');
const ENDED = { code: null, signal: 'SIGTERM' };
const SAID = ['from 1', 'from 2'];

const compilerOptions = {
  target: 'ES2022',
  strict: true,
  experimentalDecorators: true,
  emitDecoratorMetadata: true,
  esModuleInterop: true,
  skipLibCheck: true,
  outDir: 'dist',
  rootDir: 'src',
  types: ['node'],
};
/** What a new Nest application has. */
const newApplication = (major: '11' | '12'): Record<string, string> => ({
  '@nestjs/common': `^${major}`,
  '@nestjs/core': `^${major}`,
  '@nestjs/platform-express': `^${major}`,
  'reflect-metadata': '^0.2',
  rxjs: '^7',
  '@types/node': '^22',
  typescript: '^5.9',
});

/** What the quick start has one install, as it is printed. */
function printedDependencies(major: '11' | '12'): Record<string, string> {
  const { code } = quickStart.find((block) => block.language === 'sh' && block.code.includes(`# with Nest ${major}`))!;
  const lines = code.split('\n');
  const line = lines[lines.indexOf(`# with Nest ${major}`) + 1]!;
  const packages = line.replace('npm install ', '').split(' ');
  const named = packages.map((name) => /^(@?[^@]+)(?:@(.+))?$/.exec(name)!);
  return Object.fromEntries(
    named.flatMap(([, name, version]) => (name === PACKAGE ? [] : [[name, version ?? 'latest']])),
  );
}

/** The files of the quick start, as they are printed. */
function printedFiles(without: string[] = []): Record<string, string> {
  const files = quickStart.filter((block) => block.language === 'ts' && !without.includes(nameOf(block)));
  return Object.fromEntries(files.map((block) => [`src/${nameOf(block)}`, block.code]));
}

async function startsTwice(consumer: Consumer): Promise<void> {
  const redis = await RedisServer.start();
  const env = { REDIS_URL: redis.url };
  const apps = [await consumer.start('dist/main.js', env), await consumer.start('dist/main.js', env)];
  expect(await said(apps)).toEqual([SAID, SAID]);
  for (const { port } of apps) {
    const answer = await fetch(`http://127.0.0.1:${port}/health`);
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({ status: 'ok' });
  }
  for (const app of apps) expect(await app.stop()).toEqual(ENDED);
  await until(async () => (await redis.clients()).length === 0, { what: 'the connections to Redis to end' });
}

describe('a Nest app', () => {
  test('of Nest 12, in ESM: the quick start as it is printed', async () => {
    const consumer = await Consumer.create({
      from: [],
      manifest: { type: 'module' },
      dependencies: { ...newApplication('12'), ...printedDependencies('12') },
      files: {
        ...printedFiles(),
        'tsconfig.json': JSON.stringify({
          compilerOptions: { ...compilerOptions, module: 'nodenext' },
          include: ['src'],
        }),
      },
    });
    await consumer.run('tsc', []);
    await startsTwice(consumer);
  });

  test('of Nest 12, in ESM, without Terminus and with node-redis in place of ioredis', async () => {
    const consumer = await Consumer.create({
      from: ['nest-without'],
      manifest: { type: 'module' },
      dependencies: {
        ...newApplication('12'),
        '@nestjs/platform-socket.io': '^12',
        '@nestjs/websockets': '^12',
        redis: '^6',
        'socket.io': '^4.8',
      },
      files: {
        ...printedFiles(['app.module.ts', 'health.controller.ts']),
        'tsconfig.json': JSON.stringify({
          compilerOptions: { ...compilerOptions, module: 'nodenext' },
          include: ['src'],
        }),
      },
    });
    await consumer.run('tsc', []);
    await startsTwice(consumer);
  });

  test('of Nest 11, in CommonJS: the quick start as it is printed, and its tests with ts-jest', async () => {
    const consumer = await Consumer.create({
      from: ['nest'],
      dependencies: {
        ...newApplication('11'),
        ...printedDependencies('11'),
        '@nestjs/testing': '^11',
        '@types/jest': '^30',
        jest: '^30',
        'socket.io-client': '^4.8',
        'ts-jest': '^29.4',
      },
      files: {
        ...printedFiles(),
        'tsconfig.json': JSON.stringify({
          compilerOptions: { ...compilerOptions, module: 'commonjs', moduleResolution: 'node10' },
          include: ['src'],
        }),
        'jest.config.js': `module.exports = {
          transform: { '\\\\.ts$': ['ts-jest', { tsconfig: 'tsconfig.test.json' }] },
          moduleNameMapper: { '^(\\\\.{1,2}/.*)\\\\.js$': '$1' },
          testEnvironment: 'node',
        };`,
        'tsconfig.test.json': JSON.stringify({
          extends: './tsconfig.json',
          compilerOptions: { rootDir: '.', types: ['node', 'jest'] },
          include: ['src', 'test'],
        }),
      },
    });
    await consumer.run('tsc', []);
    await startsTwice(consumer);

    const redis = await RedisServer.start();
    const output = await consumer.run('jest', ['--ci'], { REDIS_URL: redis.url });
    expect(output).toMatch(/Tests: +3 passed, 3 total/);
    expect(output).not.toMatch(/did not exit/);
  });
});
