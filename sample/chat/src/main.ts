import { Logger } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { RedisStreamsIoAdapter } from 'nestjs-redis-streams-adapter';
import { AppModule } from './app.module.js';

async function bootstrap(): Promise<void> {
  // The page keeps an event stream open, for which a server that closes would wait.
  const app = await NestFactory.create<NestExpressApplication>(AppModule, { forceCloseConnections: true });
  app.useWebSocketAdapter(app.get(RedisStreamsIoAdapter));
  app.useStaticAssets('public');
  app.enableShutdownHooks();
  await app.listen(process.env.PORT ?? 3000, process.env.HOST ?? '0.0.0.0');
  Logger.log(`Listening on ${await app.getUrl()}`, 'Chat');
}

void bootstrap();
