import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { driverFor } from '../../lib/redis/driver-for.js';
import type { RedisConnection } from '../../lib/redis/driver.js';
import { StoredStream } from '../../lib/stream/stored-stream.js';
import { RedisServer, until } from '../kit/index.js';

describe('StoredStream', () => {
  let connection: RedisConnection;
  let stored: StoredStream;
  let tries: number;
  let redis: RedisServer;

  beforeAll(async () => {
    redis = await RedisServer.start();
    for (let n = 1; n <= 5; n++) {
      await redis.command('XADD', 'log', `${n}-0`, 'uid', 'a', 'nsp', '/', 'type', '3', 'data', `{"n":${n}}`);
    }
    const client = new Redis({ port: redis.port, lazyConnect: true });
    const listener = { onReady: () => undefined, onLost: () => undefined };
    connection = driverFor(client).open({ role: 'commands', connectionName: 'test', sharded: false, listener });
    await until(() => connection.ready, { what: 'the connection to be ready' });
    tries = 0;
    const retry = <T>(run: () => Promise<T>): Promise<T> => {
      tries++;
      return run().catch(run);
    };
    stored = new StoredStream(connection, { stream: 'log', commandTimeout: 1_000, retry });
  });
  afterAll(() => connection.close());

  test('gives entries up to an id, newest first, and says whether there are older ones', async () => {
    const { entries, oldest, atStart } = await stored.upTo('4-0', 2);
    expect([entries.map(({ id, data }) => [id, data]), oldest, atStart]).toEqual([
      [
        ['4-0', '{"n":4}'],
        ['3-0', '{"n":3}'],
      ],
      '3-0',
      false,
    ]);
    expect(await stored.upTo('2-0', 10)).toMatchObject({ oldest: '1-0', atStart: true });
    expect(await stored.upTo('0-5', 10)).toEqual({ entries: [], oldest: undefined, atStart: true });
  });

  test('finds the entry with an id, and the oldest', async () => {
    expect(await stored.at('3-0')).toMatchObject({ id: '3-0', data: '{"n":3}' });
    expect(await stored.at('3-1')).toBeUndefined();
    expect(await stored.first()).toMatchObject({ id: '1-0' });
  });

  test('knows whether the stream goes as far as an id', async () => {
    expect(await Promise.all(['4-7', '5-0', '5-1'].map((id) => stored.reaches(id)))).toEqual([true, true, false]);
  });

  test('asks again through the retry that it was given, but not whether the stream goes so far', async () => {
    tries = 0;
    await stored.reaches('1-0');
    expect(tries).toBe(0);
    await stored.first();
    expect(tries).toBe(1);
    await redis.command('SET', 'log-2', 'no stream');
    const wrong = new StoredStream(connection, { stream: 'log-2', commandTimeout: 1_000, retry: (run) => run() });
    await expect(wrong.first()).rejects.toThrow('WRONGTYPE');
  });
});
