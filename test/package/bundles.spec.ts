import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { RedisServer } from '../kit/index.js';
import { Consumer, said } from './consumer.js';

let consumer: Consumer;

/** What bundlers cannot put into an ES module by themselves: `require`, for the CommonJS packages in the bundle. */
const REQUIRE = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);";

beforeAll(async () => {
  consumer = await Consumer.create({
    from: ['plain'],
    dependencies: {
      esbuild: '^0.28',
      ioredis: '^6',
      redis: '^6',
      'socket.io': '^4.8',
      webpack: '^5',
      'webpack-cli': '^7',
    },
    files: {
      'webpack.config.cjs': `module.exports = {
        target: 'node',
        mode: 'production',
        entry: './server.cjs',
        output: { path: __dirname, filename: 'webpack.cjs' },
        ignoreWarnings: [{ module: /node_modules.(ws|express|socket.io|engine.io)/ }],
        // Native parts that ws uses if they are there.
        externals: { bufferutil: 'commonjs bufferutil', 'utf-8-validate': 'commonjs utf-8-validate' },
      };`,
    },
  });
  const esbuild = ['--bundle', '--platform=node', '--log-level=warning'];
  await consumer.run('esbuild', [
    'server.mjs',
    ...esbuild,
    '--format=esm',
    `--banner:js=${REQUIRE}`,
    '--outfile=esbuild.mjs',
  ]);
  await consumer.run('esbuild', ['server.cjs', ...esbuild, '--format=cjs', '--outfile=esbuild.cjs']);
  await consumer.run('webpack', []);
  // The bundles have to hold all.
  await rm(join(consumer.folder, 'node_modules'), { recursive: true });
});

describe('a bundle', () => {
  test.each([
    ['by esbuild, an ES module', 'esbuild.mjs'],
    ['by esbuild, in CommonJS', 'esbuild.cjs'],
    ['by webpack', 'webpack.cjs'],
  ])('made %s, runs without node_modules', async (_, script) => {
    const redis = await RedisServer.start();
    const env = { REDIS_URL: redis.url };
    const apps = [await consumer.start(script, env), await consumer.start(script, env)];
    expect(await said(apps)).toEqual([
      ['from 1', 'from 2'],
      ['from 1', 'from 2'],
    ]);
    for (const app of apps) expect(await app.stop()).toEqual({ code: 0, signal: null });
  });
});
