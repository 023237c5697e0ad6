import { expect, test } from '@jest/globals';
import { ChatGateway } from '../../sample/chat/src/chat.gateway.js';
import { RedisStreamsAdapterModule } from 'nestjs-redis-streams-adapter';
import { NodeProcess, RedisServer, until } from '../kit/index.js';
import { connect, FAST, portOf, startApp } from './nest-app.js';

test('the worker of the samples notifies the users of the chat, on each node, until it is to end', async () => {
  const redis = await RedisServer.start();
  const start = () =>
    startApp({
      imports: [RedisStreamsAdapterModule.forRoot({ connection: redis.url, streamName: 'chat', ...FAST })],
      providers: [ChatGateway],
    });
  const [one, other] = await Promise.all([start(), start()]);
  const auth = { room: 'Lobby', name: 'Ann' };
  const clients = await Promise.all([connect(portOf(one), '/', { auth }), connect(portOf(other), '/', { auth })]);
  const received = clients.map((client) => {
    const messages: any[] = [];
    client.on('message', (message) => messages.push(message));
    return messages;
  });

  const worker = await NodeProcess.start(new URL('worker.child.ts', import.meta.url), {
    env: { REDIS_URL: redis.url, INTERVAL: '50' },
    name: 'the worker',
  });
  await until(() => received.every((messages) => messages.length >= 3), { what: 'three messages for each client' });
  expect(received[0]![0]).toMatchObject({ text: 'Time for a break.', name: 'Worker', room: 'Lobby' });

  await worker.stop();
  const sent = Number(await redis.command('XLEN', 'chat'));
  expect(sent).toBeGreaterThanOrEqual(3);
  for (const messages of received) {
    const first = messages[0].number as number;
    expect(messages.map(({ number }) => number as number)).toEqual(messages.map((_one, i) => first + i));
  }
  expect((await redis.clients()).filter(({ name }) => name.endsWith(':emitter'))).toEqual([]);
});
