import { createServer } from 'node:http';
import { describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { Server } from 'socket.io';
import { createAdapter, InvalidOptionError } from '../../lib/adapter/index.js';
import { Member, RedisServer, until } from '../kit/index.js';

describe('connectionStateRecovery.maxDisconnectionDuration', () => {
  test.each([Infinity, Number.MAX_SAFE_INTEGER, undefined])(
    '%p lets a client come back on another node',
    async (value) => {
      const redis = await RedisServer.start();
      const server = { connectionStateRecovery: { maxDisconnectionDuration: value as number } };
      const [first, second] = [
        await Member.start({ port: redis.port, server }),
        await Member.start({ port: redis.port, server, client: false }),
      ];
      second.io.emit('msg', 1);
      await until(() => first.received.length === 1, { what: 'an offset' });
      const { _pid, _lastOffset } = first.socket as unknown as { _pid: string; _lastOffset: string };
      first.socket.io.reconnection(false); // it would take the session back before that is looked at
      first.socket.io.engine.close();
      await until(async () => (await redis.command('EXISTS', `sio:session:${_pid}`)) === 1, { what: 'the session' });
      const client = second.connect({ autoConnect: false });
      Object.assign(client, { _pid, _lastOffset });
      client.connect();
      await until(() => client.connected, { what: 'the client' });
      expect(client.recovered).toBe(true);
      expect([first, second].flatMap(({ events }) => events.filter(({ type }) => type === 'session-refused'))).toEqual(
        [],
      );
      client.disconnect();
    },
  );

  test.each([NaN, -1, '60000'])('%p is refused when the server is made', async (value) => {
    const redis = await RedisServer.start();
    const client = new Redis(redis.port);
    const adapter = createAdapter(client);
    const connectionStateRecovery = { maxDisconnectionDuration: value as number };
    const make = (): Server => new Server(createServer(), { adapter: adapter as never, connectionStateRecovery });
    expect(make).toThrow(InvalidOptionError);
    expect(make).toThrow(/^connectionStateRecovery\.maxDisconnectionDuration: /);
    await adapter.node.close();
    client.disconnect();
  });
});
