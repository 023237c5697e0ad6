import { createServer } from 'node:http';
import { describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { Server } from 'socket.io';
import { createAdapter } from '../../lib/adapter/index.js';
import { connectionsOf } from '../kit/deployment.js';
import { Fleet } from '../kit/fleet.js';
import { closeAfterwards, RedisServer, until } from '../kit/index.js';

describe('io.close()', () => {
  test('leaves nothing open that would keep the process alive, nor a connection to Redis', async () => {
    const fleet = await Fleet.start({
      client: 'ioredis 6',
      server: 'Redis',
      topology: 'single',
      nodes: ['ours', 'ours'],
      recovery: true,
      processes: true,
    });
    const [first, second] = fleet.nodes;
    const client = await fleet.connect(0, { nsp: '/', rooms: ['room'], answer: 'yes' });
    // All that may take its time: acknowledgements, questions, volatile broadcasts, sessions.
    await second!.run(({ io }) => void io.on('who?', () => undefined));
    const answers = await first!.run(async ({ io }) => {
      io.volatile.emit('hello');
      io.serverSideEmit('who?', () => undefined);
      io.of('/other').emit('hello');
      return io.timeout(60_000).emitWithAck('ask');
    });
    expect(answers).toEqual(['yes']);

    await first!.process!.call('close');
    await until(() => !client.socket.connected, { what: 'the client to be disconnected' });
    expect(await first!.process!.release(5_000)).toEqual({ code: 0, signal: null });
    await second!.close();
    expect(await connectionsOf(fleet.deployment)).toEqual([]);
  });

  test('leaves the client open that the application has passed', async () => {
    const redis = await RedisServer.start();
    const client = new Redis(redis.port);
    closeAfterwards({ close: () => client.disconnect() });
    const factory = createAdapter(client);
    const io = new Server(createServer(), { adapter: factory as never });
    await factory.node.start();
    await io.close();
    expect(await client.ping()).toBe('PONG');
    expect((await redis.clients()).length).toBe(1);
  });

  test('ends a node that has not reached Redis yet', async () => {
    const redis = await RedisServer.start();
    redis.pause();
    const client = new Redis(redis.port);
    client.on('error', () => undefined);
    closeAfterwards({ close: () => client.disconnect() });
    const factory = createAdapter(client, { closeTimeout: 100 });
    const io = new Server(createServer(), { adapter: factory as never });
    await io.close();
    await factory.node.start();
    expect(factory.node.status().state).toBe('closed');
    redis.resume();
  });
});
