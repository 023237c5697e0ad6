import { Redis } from 'ioredis';
import {
  RedisStreamsAdapterModule,
  RedisStreamsHealthIndicator,
  RedisStreamsIoAdapter,
  RedisStreamsMonitor,
} from 'nestjs-redis-streams-adapter';

export const imports = [
  RedisStreamsAdapterModule.forRoot({ connection: { url: 'redis://127.0.0.1:6379' }, streamName: 'chat' }),
  RedisStreamsAdapterModule.forRootAsync({ useFactory: () => ({ client: new Redis() }) }),
];
// @ts-expect-error: a name of the package's own
imports.push(RedisStreamsAdapterModule.forRoot({ client: new Redis(), stream: 'chat' }));

export async function look(monitor: RedisStreamsMonitor, health: RedisStreamsHealthIndicator): Promise<string> {
  monitor.nodes$.subscribe((nodes) => console.log(nodes.map(({ id, state }) => `${id} ${state}`)));
  const result = await health.isHealthy('redis-streams');
  return result['redis-streams'].status;
}

export const adapter: typeof RedisStreamsIoAdapter = RedisStreamsIoAdapter;
