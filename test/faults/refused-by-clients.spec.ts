import { beforeAll, describe, expect, test } from '@jest/globals';
import { RedisStreamsEmitter, type RedisStreamsEmitterEvent } from '../../lib/emitter/index.js';
import { closeAfterwards, numbers, until } from '../kit/index.js';
import { startDeployment, type Deployment } from '../kit/deployment.js';
import { openRedisClient, type RedisClientKind } from '../kit/redis-client.js';
import { SocketServer } from '../kit/socket-server.js';
import { TestClient } from '../kit/test-client.js';

const CLIENTS: RedisClientKind[] = ['ioredis 5', 'ioredis 6', 'iovalkey', 'redis 4', 'redis 5', 'redis 6'];
const large = 'x'.repeat(2 * 1024 * 1024);

describe.each(['single', 'cluster'] as const)('What Redis refuses because of its size (%s)', (topology) => {
  let deployment: Deployment;
  beforeAll(async () => {
    deployment = await startDeployment('Redis', topology, ['proto-max-bulk-len 1mb']);
  }, 60_000);

  test.each(CLIENTS)(
    'is dropped from log and emitter, and all others arrive in order; answers come in pieces: %s',
    async (client) => {
      const { address } = deployment;
      const options = { streamName: client, heartbeatInterval: 300, heartbeatTimeout: 3_000, blockTimeInMs: 200 };
      const settings = { adapter: 'ours' as const, client, address, options, server: { maxHttpBufferSize: 1e7 } };
      const servers = await Promise.all([0, 1].map(() => SocketServer.start(settings)));
      servers.forEach((one) => closeAfterwards(one));
      const [a, b] = servers as [SocketServer, SocketServer];
      await until(async () => (await a.io.of('/').adapter.serverCount()) === 2, { what: 'both servers' });
      const receiver = closeAfterwards(await TestClient.connect(b.url, { answer: large }));
      const received = (): unknown[] => receiver.argumentsOf('msg').map(([i]) => i);

      for (const i of numbers(60)) {
        if (i === 20 || i === 40) a.io.emit('upload', large);
        a.io.emit('msg', i);
      }
      await until(() => received().length === 60, { what: 'the messages', timeout: 20_000 });
      expect(received()).toEqual(numbers(60));
      expect(a.events.filter(({ type }) => type === 'message-refused')).toHaveLength(2);

      b.io.on('question', (answer: (value: string) => void) => answer(large));
      await until(() => servers.every(({ node }) => node!.status().state === 'running'), { what: 'Redis again' });
      expect(await a.io.timeout(10_000).emitWithAck('question')).toEqual([large]);
      expect(await a.io.serverSideEmitWithAck('question')).toEqual([large]);

      const redis = await openRedisClient(client, address);
      const events: RedisStreamsEmitterEvent[] = [];
      const emitter = new RedisStreamsEmitter(redis.client, options, (event) => events.push(event));
      for (const i of numbers(20)) {
        if (i === 10) emitter.emit('upload', large);
        emitter.emit('msg', 60 + i);
      }
      await until(() => received().length === 80, { what: 'those of the emitter', timeout: 20_000 });
      expect(received()).toEqual(numbers(80));
      expect(events.filter(({ type }) => type === 'message-refused')).toHaveLength(1);
      await emitter.close();
      await redis.close();
    },
    60_000,
  );
});
