import { describe, expect, test } from '@jest/globals';
import { RedisServer, until } from '../kit/index.js';
import { Consumer, said, type PackageManager } from './consumer.js';

const ENDED = { code: 0, signal: null };
const SAID = ['from 1', 'from 2'];

describe('a Socket.IO server without Nest', () => {
  const rows: [what: string, manager: PackageManager, script: string, dependencies: Record<string, string>][] = [
    ['in ESM, with ioredis', 'npm', 'server.mjs', { ioredis: '^6' }],
    ['in CommonJS, with node-redis and without ioredis', 'npm', 'server.cjs', { redis: '^6' }],
    ['in ESM, installed by pnpm', 'pnpm', 'server.mjs', { ioredis: '^5' }],
    ['in CommonJS, installed by pnpm', 'pnpm', 'server.cjs', { redis: '^5' }],
    ['in ESM, with Yarn Plug’n’Play', 'yarn', 'server.mjs', { ioredis: '^6' }],
    ['in CommonJS, with Yarn Plug’n’Play', 'yarn', 'server.cjs', { redis: '^6' }],
  ];

  test.each(rows)('%s', async (_, manager, script, dependencies) => {
    const redis = await RedisServer.start();
    const env = { REDIS_URL: redis.url };
    const consumer = await Consumer.create({
      from: ['plain'],
      manager,
      dependencies: { 'socket.io': '^4.8', ...dependencies },
    });
    const apps = [await consumer.start(script, env), await consumer.start(script, env)];
    expect(await said(apps)).toEqual([SAID, SAID]);

    if ('ioredis' in dependencies) {
      const client = await apps[0]!.connect();
      const texts: string[] = [];
      client.on('said', (text: string) => texts.push(text));
      await consumer.run('node', ['worker.mjs'], env);
      await until(() => texts.length > 0, { what: 'what the worker says' });
      expect(texts).toEqual(['from a worker']);
    }
    const logging = await consumer.start(script, { ...env, DEBUG: 'redis-streams-adapter' });
    expect(logging.output).toMatch(/redis-streams-adapter this node is \w+/);
    expect(apps[0]!.output).toMatch(/^Listening on \d+\n$/);
    for (const app of [...apps, logging]) expect(await app.stop()).toEqual(ENDED);
    await until(async () => (await redis.clients()).length === 0, { what: 'the connections to Redis to end' });
  });
});

test('metrics of OpenTelemetry are collected, in ESM and in CommonJS', async () => {
  const redis = await RedisServer.start();
  const consumer = await Consumer.create({
    from: ['plain'],
    dependencies: { '@opentelemetry/api': '^1.9', '@opentelemetry/sdk-metrics': '^2', ioredis: '^6', redis: '^6' },
  });
  for (const script of ['metrics.mjs', 'metrics.cjs']) {
    const names = (await consumer.run('node', [script], { REDIS_URL: redis.url })).split('\n');
    expect(names).toContain('messaging.client.sent.messages');
    expect(names).toContain('messaging.client.operation.duration');
  }
});
