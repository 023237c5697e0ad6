import { describe, expect, test } from '@jest/globals';
import { namesInRedis } from '../../lib/cluster/names.js';
import { resolveOptions, type RedisStreamsAdapterOptions } from '../../lib/cluster/options.js';

describe('namesInRedis', () => {
  const names = (driver: Parameters<typeof namesInRedis>[0], options: RedisStreamsAdapterOptions = {}) => {
    const { streams, channels, sessionKeys } = namesInRedis(driver, resolveOptions(options));
    return { streams, requests: channels.requests('/'), control: channels.control, sessionKeys };
  };
  const ioredis = { keys: 'app:', shardedChannels: 'app:' };

  test('are those of the reference for a client without a prefix, on database 0', () => {
    expect(names({})).toEqual({
      ...{ streams: ['socket.io'], requests: 'socket.io#/#', control: 'socket.io#heartbeat#socket.io#' },
      sessionKeys: 'sio:session:',
    });
  });

  test('begin with the prefix of the client; of channels, which have none, the scope says it', () => {
    expect(names({ prefix: ioredis, database: 2 }, { streamCount: 2 })).toEqual({
      streams: ['app:socket.io-0', 'app:socket.io-1'],
      requests: 'socket.io#db=2&prefix=app%3A#/#',
      control: 'socket.io#db=2&prefix=app%3A#heartbeat#socket.io#',
      sessionKeys: 'app:sio:session:',
    });
  });

  test('of sharded channels begin with what the client puts before them, and do not say it again', () => {
    expect(names({ prefix: ioredis }, { useShardedPubSub: true }).requests).toBe('app:socket.io#/#');
    const nodeRedis = { keys: 'app:', shardedChannels: '' };
    expect(names({ prefix: nodeRedis }, { useShardedPubSub: true }).requests).toBe('socket.io#prefix=app%3A#/#');
  });

  test('of a stream of its own tell channels and sessions apart, unless they are to be the reference’s', () => {
    const options = { streamName: 'chat' };
    expect(names({}, options)).toMatchObject({
      ...{ streams: ['chat'], requests: 'socket.io#stream=chat#/#', sessionKeys: 'sio:session:stream=chat:' },
    });
    expect(names({}, { ...options, referenceNames: true })).toMatchObject({
      ...{ streams: ['chat'], requests: 'socket.io#/#', sessionKeys: 'sio:session:' },
    });
  });
});
