import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { WebSocketGateway, WebSocketServer } from '@nestjs/websockets';
import type { Server } from 'socket.io';
import { RedisStreamsAdapterModule, RedisStreamsIoAdapter } from 'nestjs-redis-streams-adapter';
import { childOptions, serve } from '../kit/node-process-child.js';

@WebSocketGateway()
class ChatGateway {
  @WebSocketServer() server!: Server;
}

const { url, startTimeout } = childOptions<{ url: string; startTimeout: number }>();

/** An application as its `main.ts` would start it. */
@Module({
  imports: [
    RedisStreamsAdapterModule.forRoot({
      connection: { url },
      ...{ heartbeatInterval: 100, heartbeatTimeout: 300, startTimeout },
      serverOptions: { connectionStateRecovery: {} },
    }),
  ],
  providers: [ChatGateway],
})
class AppModule {}

const app = await NestFactory.create(AppModule, { logger: ['error', 'warn'] });
app.useWebSocketAdapter(app.get(RedisStreamsIoAdapter));
app.enableShutdownHooks();
await app.listen(0, '127.0.0.1');

serve({
  port: () => (app.getHttpServer().address() as { port: number }).port,
  emit: (...args: [string, ...unknown[]]) => void app.get(ChatGateway).server.emit(...args),
  close: () => app.close(),
});
