export { InjectRedisStreamsClient } from './inject-redis-streams-client.decorator.js';
export { RedisStreamsIoAdapter } from './redis-streams-io.adapter.js';
export type {
  RedisClusterOptions,
  RedisCredentials,
  RedisCredentialsProvider,
  RedisConnectionOptions,
  RedisStreamsCommonModuleOptions,
  RedisStreamsModuleOptions,
  RedisStreamsOptionsFactory,
  RedisStreamsServerOptions,
  RedisStreamsSource,
} from './redis-streams-options.interface.js';
export { REDIS_STREAMS_CLIENT } from './redis-streams.constants.js';
export {
  RedisStreamsHealthIndicator,
  type RedisStreamsClusterChecks,
  type RedisStreamsHealthChecks,
  type RedisStreamsHealthDetails,
  type RedisStreamsHealthResult,
} from './redis-streams.health.js';
export { RedisStreamsAdapterModule } from './redis-streams.module.js';
export type { RedisStreamsModuleExtras } from './redis-streams.module-definition.js';
export { RedisStreamsMonitor } from './redis-streams.monitor.js';
export { RedisStreamsNode } from './redis-streams.node.js';
export {
  RedisStreamsEmitterHealthIndicator,
  type RedisStreamsEmitterChecks,
  type RedisStreamsEmitterHealthResult,
} from './redis-streams-emitter.health.js';
export { RedisStreamsEmitterModule } from './redis-streams-emitter.module.js';
export type {
  RedisStreamsEmitterCommonModuleOptions,
  RedisStreamsEmitterModuleOptions,
  RedisStreamsEmitterOptionsFactory,
} from './redis-streams-emitter.module-definition.js';
