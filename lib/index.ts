export * from './adapter/index.js';
export { RedisStreamsEmitter, type BroadcastTarget, type RedisStreamsEmitterOptions } from './emitter/index.js';
export * from './nest/index.js';
