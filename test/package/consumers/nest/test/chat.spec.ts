import { Test } from '@nestjs/testing';
import type { INestApplication } from '@nestjs/common';
import { RedisStreamsHealthIndicator, RedisStreamsIoAdapter, RedisStreamsMonitor } from 'nestjs-redis-streams-adapter';
import { io } from 'socket.io-client';
import { AppModule } from '../src/app.module.js';

let app: INestApplication;

beforeAll(async () => {
  const module = await Test.createTestingModule({ imports: [AppModule] }).compile();
  app = module.createNestApplication();
  app.useWebSocketAdapter(app.get(RedisStreamsIoAdapter));
  await app.listen(0, '127.0.0.1');
});
afterAll(() => app.close());

it('is a node of the cluster', () => {
  expect(app.get(RedisStreamsMonitor).status.state).toBe('running');
});

it('is healthy', async () => {
  const result = await app.get(RedisStreamsHealthIndicator).isHealthy('redis-streams');
  expect(result['redis-streams']?.status).toBe('up');
});

it('says to everybody what one says', async () => {
  const socket = io(await app.getUrl(), { transports: ['websocket'] });
  const said = new Promise((resolve) => socket.once('said', resolve));
  socket.emit('say', 'hello');
  expect(await said).toBe('hello');
  socket.disconnect();
});
