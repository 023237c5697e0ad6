import { describe, expect, test } from '@jest/globals';
import { checkInfo } from '../../lib/redis/server-check.js';
import { RedisServer, servers } from '../kit/index.js';

const info = (fields: Record<string, string>): string =>
  ['# Server', ...Object.entries(fields).map(([name, value]) => `${name}:${value}`), ''].join('\r\n');
const needs = { writable: true };

describe('checkInfo refuses a server', () => {
  test('that is a replica, if it is written to', () => {
    const replica = info({ redis_version: '7.0.0', role: 'slave' });
    expect(() => checkInfo(replica, needs)).toThrow('is a replica');
    expect(checkInfo(replica, { writable: false })).toEqual([]);
  });

  test('that still loads its data', () => {
    expect(() => checkInfo(info({ redis_version: '7.0.0', loading: '1' }), needs)).toThrow('loading');
  });
});

describe('checkInfo warns', () => {
  test.each(['2.8.24', '4.0.0', '5.0.14', '6.0.20'])('of a server that says it is Redis %s', (redis_version) => {
    const [warning, ...rest] = checkInfo(info({ redis_version }), needs);
    expect(rest).toEqual([]);
    expect(warning).toContain(`says that it is Redis ${redis_version}; the oldest`);
  });

  test.each(['6.2.0', '6.2.11', '7.4.1', '8.0.0', '255.255.255', 'v24-custom'])(
    'not of version %s',
    (redis_version) => {
      expect(checkInfo(info({ redis_version }), needs)).toEqual([]);
    },
  );

  test.each([
    ['allkeys-lru', 'the stream, and sessions'],
    ['volatile-ttl', 'sessions of disconnected clients'],
  ])('of the eviction policy %s', (maxmemory_policy, lost) => {
    const [warning] = checkInfo(info({ redis_version: '7.2.0', maxmemory: '1000000', maxmemory_policy }), needs);
    expect(warning).toContain(`"${maxmemory_policy}"`);
    expect(warning).toContain(lost);
    expect(warning).toContain('Set maxmemory-policy to "noeviction"');
  });

  test.each([
    { maxmemory: '0', maxmemory_policy: 'allkeys-lru' },
    { maxmemory: '1000000', maxmemory_policy: 'noeviction' },
  ])('not of $maxmemory_policy with a maxmemory of $maxmemory', (fields) => {
    expect(checkInfo(info(fields), needs)).toEqual([]);
  });
});

test.each([
  ['Redis', servers.redis],
  ['Valkey', servers.valkey],
])('a real %s will do', async (_name, binary) => {
  const server = await RedisServer.start({ binary: binary() });
  expect(checkInfo(String(await server.command('INFO')), needs)).toEqual([]);
});
