import { describe, expect, test } from '@jest/globals';
import { checkInfo } from '../../lib/redis/server-check.js';
import { RedisServer, servers } from '../kit/index.js';

const info = (fields: Record<string, string>): string =>
  ['# Server', ...Object.entries(fields).map(([name, value]) => `${name}:${value}`), ''].join('\r\n');
const needs = { sharded: false, writable: true };

describe('a server is refused', () => {
  test.each(['2.8.24', '5.0.14', '6.0.20'])('that is Redis %s', (redis_version) => {
    expect(() => checkInfo(info({ redis_version }), needs)).toThrow(`Redis ${redis_version} is too old: Redis 6.2`);
  });

  test('that has no sharded PUB/SUB, if that is wanted', () => {
    const redis62 = info({ redis_version: '6.2.14' });
    expect(() => checkInfo(redis62, needs)).not.toThrow();
    expect(() => checkInfo(redis62, { ...needs, sharded: true })).toThrow(
      'useShardedPubSub needs Redis 7.0 or later, or Valkey, but the server is Redis 6.2.14',
    );
  });

  test('that is a replica, if it is written to', () => {
    const replica = info({ redis_version: '7.0.0', role: 'slave' });
    expect(() => checkInfo(replica, needs)).toThrow('is a replica');
    expect(() => checkInfo(replica, { ...needs, writable: false })).not.toThrow();
  });

  test('that still loads its data', () => {
    expect(() => checkInfo(info({ redis_version: '7.0.0', loading: '1' }), needs)).toThrow('loading');
  });
});

test.each([
  ['Redis', servers.redis],
  ['Valkey', servers.valkey],
])('a real %s will do', async (_name, binary) => {
  const server = await RedisServer.start({ binary: binary() });
  expect(() => checkInfo('redis_version:10.0.1\r\n', { sharded: true, writable: true })).not.toThrow();
  checkInfo(String(await server.command('INFO')), { sharded: true, writable: true });
});
