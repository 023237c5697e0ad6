import { Module } from '@nestjs/common';
import { ConfigModule, ConfigService } from '@nestjs/config';
import { TerminusModule } from '@nestjs/terminus';
import { RedisStreamsAdapterModule } from 'nestjs-redis-streams-adapter';
import { ChatGateway } from './chat.gateway.js';
import { HealthController } from './health.controller.js';

@Module({
  imports: [
    ConfigModule.forRoot(),
    RedisStreamsAdapterModule.forRootAsync({
      imports: [ConfigModule],
      inject: [ConfigService],
      useFactory: (config: ConfigService) => ({
        connection: { url: config.getOrThrow<string>('REDIS_URL') },
        streamName: 'chat',
      }),
    }),
    TerminusModule,
  ],
  controllers: [HealthController],
  providers: [ChatGateway],
})
export class AppModule {}
