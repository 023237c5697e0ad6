import { expect, test } from '@jest/globals';
import type { INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { ConnectedSocket, MessageBody, SubscribeMessage, WebSocketGateway, WebSocketServer } from '@nestjs/websockets';
import type { Server, Socket } from 'socket.io';
import { RedisStreamsAdapterModule, RedisStreamsIoAdapter, RedisStreamsMonitor } from 'nestjs-redis-streams-adapter';
import { closeAfterwards, freePort, RedisServer, until } from '../kit/index.js';
import { connect, FAST, portOf } from './nest-app.js';

@WebSocketGateway()
class Gateway {
  @WebSocketServer() server!: Server;

  @SubscribeMessage('say')
  say(@MessageBody() text: string, @ConnectedSocket() socket: Socket): string {
    this.server.emit('said', text);
    return socket.id;
  }
}

/** What the development server of a user does with each change of a file: the process stays. */
test.each([
  ['the next one is made when the last one is closed', { overlaps: false, forces: false }],
  ['the next one is made before, on another port', { overlaps: true, forces: false }],
  ['with forceCloseConnections', { overlaps: false, forces: true }],
])('An application made again and again in one process keeps its clients and leaves nothing: %s', async (_how, how) => {
  const redis = await RedisServer.start();
  const signals = process.listenerCount('SIGTERM');
  const start = async (port: number): Promise<INestApplication> => {
    const connection = redis.url;
    const options = { connection, serverOptions: { connectionStateRecovery: {} }, ...FAST };
    const imports = [RedisStreamsAdapterModule.forRoot(options)];
    const compiled = await Test.createTestingModule({ imports, providers: [Gateway] }).compile();
    const app = compiled.createNestApplication({ forceCloseConnections: how.forces });
    closeAfterwards(app);
    app.useWebSocketAdapter(app.get(RedisStreamsIoAdapter));
    app.enableShutdownHooks();
    await app.listen(port, '127.0.0.1');
    return app;
  };
  const other = await start(0);
  other.get(Gateway).server.emit('said', 'before all');
  await until(async () => Number(await redis.command('XLEN', 'socket.io')) === 1, { what: 'the first message' });
  const connections = (await redis.clients()).length;

  const port = how.overlaps ? 0 : await freePort();
  let app = await start(port);
  const client = await connect(portOf(app), '/', { reconnectionDelay: 20, reconnectionDelayMax: 50 });
  const received: string[] = [];
  const recovered: boolean[] = [];
  client.on('said', (text: string) => received.push(text));
  client.on('connect', () => recovered.push(client.recovered));
  for (let i = 0; i < 3; i++) {
    await client.emitWithAck('say', `here ${i}`);
    const closing = app.close();
    if (!how.overlaps) await closing;
    other.get(Gateway).server.emit('said', `elsewhere ${i}`);
    app = await start(port);
    Object.assign(client.io, { uri: `http://127.0.0.1:${portOf(app)}` });
    await closing;
    await until(() => received.length === 2 * (i + 1) && client.connected, { what: `the messages of round ${i}` });
  }
  expect(recovered).toEqual([true, true, true]);
  expect(received).toEqual([0, 1, 2].flatMap((i) => [`here ${i}`, `elsewhere ${i}`]));
  const up = other.get(RedisStreamsMonitor).nodes.filter(({ state }) => state === 'up');
  expect(up).toHaveLength(2);
  await app.close();
  await until(async () => (await redis.clients()).length === connections, { what: 'all connections to be closed' });
  await other.close();
  expect(process.listenerCount('SIGTERM')).toBe(signals);
});
