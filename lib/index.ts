export * from './adapter/index.js';
export {
  BroadcastOperator,
  RedisStreamsEmitter,
  type DefaultEventsMap,
  type EventArgs,
  type EventNames,
  type RedisStreamsEmitterOptions,
  type RedisStreamsEmitterStatus,
} from './emitter/index.js';
export * from './nest/index.js';
