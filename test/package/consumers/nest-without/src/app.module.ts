import { Inject, Module, type OnApplicationShutdown } from '@nestjs/common';
import { RedisStreamsAdapterModule } from 'nestjs-redis-streams-adapter';
import { createClient, type RedisClientType } from 'redis';
import { ChatGateway } from './chat.gateway.js';
import { HealthController } from './health.controller.js';

const REDIS = Symbol('REDIS');

@Module({
  providers: [{ provide: REDIS, useFactory: () => createClient({ url: process.env['REDIS_URL'] }).connect() }],
  exports: [REDIS],
})
class RedisModule implements OnApplicationShutdown {
  constructor(@Inject(REDIS) private readonly client: RedisClientType) {}

  async onApplicationShutdown(): Promise<void> {
    await this.client.close();
  }
}

@Module({
  imports: [
    RedisStreamsAdapterModule.forRootAsync({
      imports: [RedisModule],
      inject: [REDIS],
      useFactory: (client: RedisClientType) => ({ client, streamName: 'chat' }),
    }),
  ],
  controllers: [HealthController],
  providers: [ChatGateway],
})
export class AppModule {}
