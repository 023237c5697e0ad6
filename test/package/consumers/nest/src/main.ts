import { NestFactory } from '@nestjs/core';
import { RedisStreamsIoAdapter } from 'nestjs-redis-streams-adapter';
import { AppModule } from './app.module.js';

async function bootstrap(): Promise<void> {
  const app = await NestFactory.create(AppModule);
  app.useWebSocketAdapter(app.get(RedisStreamsIoAdapter));
  app.enableShutdownHooks();
  await app.listen(0, '127.0.0.1');
  console.log(`Listening on ${new URL(await app.getUrl()).port}`);
}

void bootstrap();
