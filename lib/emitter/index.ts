export { RedisStreamsEmitter, type BroadcastTarget, type RedisStreamsEmitterOptions } from './redis-streams.emitter.js';
export { InvalidOptionError } from '../cluster/options.js';
export { RedisClientError } from '../redis/driver.js';
export type { StreamEvent } from '../stream/events.js';
export { MessageTooLargeError } from '../stream/message-size.js';
