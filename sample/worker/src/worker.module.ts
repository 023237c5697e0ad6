import { Module } from '@nestjs/common';
import { ConfigModule, ConfigService } from '@nestjs/config';
import { RedisStreamsEmitterModule } from 'nestjs-redis-streams-adapter';
import { Reminders } from './reminders.js';

@Module({
  imports: [
    ConfigModule.forRoot({ isGlobal: true }),
    RedisStreamsEmitterModule.forRootAsync({
      inject: [ConfigService],
      useFactory: (config: ConfigService) => ({
        connection: config.getOrThrow<string>('REDIS_URL'),
        streamName: config.get<string>('STREAM_NAME', 'chat'), // that of the chat's nodes
      }),
    }),
  ],
  providers: [Reminders],
})
export class WorkerModule {}
