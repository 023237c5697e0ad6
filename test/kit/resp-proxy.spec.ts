import { expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { closeAfterwards, RedisServer, RespProxy } from './index.js';

test('a RespProxy changes and refuses commands, and answers stay in order', async () => {
  const redis = await RedisServer.start();
  const proxy = await RespProxy.start(redis.port, (command) => {
    const [name, key, value] = command.map(String);
    if (name?.toLowerCase() === 'set' && key === 'refused') return { error: 'ERR not that one' };
    return name?.toLowerCase() === 'set' && value === 'old'
      ? { send: [...command.slice(0, 2), Buffer.from('new')] }
      : { send: command };
  });
  const client = new Redis({ port: proxy.port, host: '127.0.0.1' });
  closeAfterwards({ close: () => client.disconnect() });
  const large = 'x'.repeat(3_000_000);
  const answers = await Promise.all([
    client.set('a', 'old'),
    client.set('refused', 1).catch((error: Error) => error.message),
    client.get('a'),
    client.set('large', large),
    client.get('large').then((text) => text === large),
    client.mget('a', 'nothing', 'a'),
  ]);
  expect(answers).toEqual(['OK', 'ERR not that one', 'new', 'OK', true, ['new', null, 'new']]);
  expect(proxy.count('SET')).toBe(3);
});
