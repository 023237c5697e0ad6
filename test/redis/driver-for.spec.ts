import { describe, expect, test } from '@jest/globals';
import { createSentinel } from 'redis-5';
import { driverFor } from '../../lib/redis/driver-for.js';
import type { RedisDriver } from '../../lib/redis/driver.js';
import { RedisClientError } from '../../lib/redis/errors.js';
import { clusterRows, sentinelRows, singleRows } from './rows.js';

const address = { host: '127.0.0.1', port: 1 };

describe('the driver of a client', () => {
  test.each(singleRows)('$name', ({ name, create }) => {
    const { isCluster, name: driver } = driverFor(create(1));
    expect([isCluster, driver]).toEqual([false, name.startsWith('redis') ? 'redis' : 'ioredis']);
  });

  test.each(clusterRows)('$name with a cluster', ({ name, create }) => {
    const { isCluster, name: driver } = driverFor(create([address]));
    expect([isCluster, driver]).toEqual([true, name.split(' ')[0]]);
  });

  test.each(sentinelRows)('$name with Sentinel', ({ name, create }) => {
    const { isCluster, name: driver } = driverFor(create({ name: 'mymaster', addresses: [address] }));
    expect([isCluster, driver]).toEqual([false, name.split(' ')[0]]);
  });

  test('a driver is taken as it is', () => {
    const driver: RedisDriver = {
      name: 'mine',
      isCluster: false,
      open: () => {
        throw new Error('not opened');
      },
    };
    expect(driverFor(driver)).toBe(driver);
  });

  test.each([[undefined], [null], ['redis://127.0.0.1'], [{}], [new Map()], [() => undefined]])(
    '%p is refused with what is supported',
    (client) => {
      expect(() => driverFor(client)).toThrow(RedisClientError);
      expect(() => driverFor(client)).toThrow(/ioredis 5 or 6.*iovalkey.*redis 4\.7, 5 or 6.*RedisDriver/);
    },
  );

  test('a sentinel client of redis 5, which cannot be duplicated, is refused with what to do', () => {
    const client = createSentinel({ name: 'mymaster', sentinelRootNodes: [address] });
    expect(() => driverFor(client)).toThrow(/redisSentinelDriver\(createSentinel, options\)/);
  });
});
