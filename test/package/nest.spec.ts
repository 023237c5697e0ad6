import { describe, expect, test } from '@jest/globals';
import { RedisServer, until } from '../kit/index.js';
import { Consumer, said } from './consumer.js';

/** Nest's shutdown hooks end the process by the signal that it has got, when everything is closed. */
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
/** Of one major version; `@nestjs/config` goes by numbers of its own until 12. */
const nest = (major: '11' | '12'): Record<string, string> => ({
  '@nestjs/common': `^${major}`,
  '@nestjs/config': major === '11' ? '^4' : '^12',
  '@nestjs/core': `^${major}`,
  '@nestjs/platform-express': `^${major}`,
  '@nestjs/platform-socket.io': `^${major}`,
  '@nestjs/websockets': `^${major}`,
  'reflect-metadata': '^0.2',
  rxjs: '^7',
  'socket.io': '^4.8',
  '@types/node': '^22',
  typescript: '^5.9',
});

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
  test('of Nest 12, in ESM, with Terminus and ioredis', async () => {
    const consumer = await Consumer.create({
      from: ['nest'],
      manifest: { type: 'module' },
      dependencies: { ...nest('12'), '@nestjs/terminus': '^12', ioredis: '^6' },
      files: {
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
      from: ['nest', 'nest-without'],
      manifest: { type: 'module' },
      dependencies: { ...nest('12'), redis: '^6' },
      files: {
        'tsconfig.json': JSON.stringify({
          compilerOptions: { ...compilerOptions, module: 'nodenext' },
          include: ['src'],
        }),
      },
    });
    await consumer.run('tsc', []);
    await startsTwice(consumer);
  });

  test('of Nest 11, in CommonJS, and its tests with ts-jest', async () => {
    const consumer = await Consumer.create({
      from: ['nest'],
      dependencies: {
        ...nest('11'),
        '@nestjs/terminus': '^11',
        ioredis: '^5',
        '@nestjs/testing': '^11',
        '@types/jest': '^30',
        jest: '^30',
        'socket.io-client': '^4.8',
        'ts-jest': '^29.4',
      },
      files: {
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
