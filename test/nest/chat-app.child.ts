import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { WebSocketGateway, WebSocketServer } from '@nestjs/websockets';
import type { Server } from 'socket.io';
import { RedisStreamsAdapterModule, RedisStreamsIoAdapter } from 'nestjs-redis-streams-adapter';
import { serve } from '../kit/node-process-child.js';

@WebSocketGateway()
class ChatGateway {
  @WebSocketServer() server!: Server;
}

/** An application as its `main.ts` would start it; its arguments are Redis' URL and `startTimeout`. */
@Module({
  imports: [
    RedisStreamsAdapterModule.forRoot({
      connection: { url: process.argv[2]! },
      ...{ heartbeatInterval: 100, heartbeatTimeout: 300, startTimeout: Number(process.argv[3]) },
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
