import { Controller, Get, ServiceUnavailableException } from '@nestjs/common';
import { RedisStreamsMonitor } from 'nestjs-redis-streams-adapter';

@Controller('health')
export class HealthController {
  constructor(private readonly monitor: RedisStreamsMonitor) {}

  @Get()
  check(): { status: string } {
    const { state } = this.monitor.status;
    if (state !== 'running') throw new ServiceUnavailableException(state);
    return { status: 'ok' };
  }
}
