import { Module } from '@nestjs/common';
import { ConfigModule, ConfigService } from '@nestjs/config';
import { TerminusModule } from '@nestjs/terminus';
import { RedisStreamsAdapterModule } from 'nestjs-redis-streams-adapter';
import { openTelemetry } from 'nestjs-redis-streams-adapter/opentelemetry';
import { ChatGateway } from './chat.gateway.js';
import { HealthController } from './health.controller.js';
import { meterProvider, MetricsController } from './metrics.controller.js';
import { NodesController } from './nodes.controller.js';

@Module({
  imports: [
    ConfigModule.forRoot({ isGlobal: true }),
    RedisStreamsAdapterModule.forRootAsync({
      inject: [ConfigService],
      useFactory: (config: ConfigService) => ({
        connection: { url: config.getOrThrow<string>('REDIS_URL') },
        streamName: config.get<string>('STREAM_NAME', 'chat'),
        heartbeatInterval: Number(config.get('HEARTBEAT_INTERVAL', 5_000)), // milliseconds
        heartbeatTimeout: Number(config.get('HEARTBEAT_TIMEOUT', 10_000)),
        telemetry: openTelemetry({ meterProvider }),
      }),
    }),
    TerminusModule,
  ],
  controllers: [HealthController, MetricsController, NodesController],
  providers: [ChatGateway],
})
export class AppModule {}
