/**
 * The module for Nest, and all of `nestjs-redis-streams-adapter/adapter` (`createAdapter`) and
 * `nestjs-redis-streams-adapter/emitter` (`RedisStreamsEmitter`), which load nothing of Nest.
 *
 * @module nestjs-redis-streams-adapter
 */
export * from './adapter/index.js';
export {
  BroadcastOperator,
  RedisStreamsEmitter,
  type DefaultEventsMap,
  type EventArgs,
  type EventNames,
  type RedisStreamsEmitterEvent,
  type RedisStreamsEmitterOptions,
  type RedisStreamsEmitterStatus,
} from './emitter/index.js';
export * from './nest/index.js';
