export { BroadcastOperator } from './broadcast-operator.js';
export {
  RedisStreamsEmitter,
  type RedisStreamsEmitterEvent,
  type RedisStreamsEmitterOptions,
  type RedisStreamsEmitterStatus,
} from './redis-streams.emitter.js';
export type { DefaultEventsMap, EventArgs, EventNames } from './typed-events.js';
export { InvalidOptionError } from '../cluster/options.js';
export { RedisClientError } from '../redis/errors.js';
export type {
  EntryRejected,
  MessageRefused,
  OutboxAccepting,
  OutboxDropped,
  StreamEvent,
  StreamGap,
  ReadsNotBlocking,
  StreamRecovered,
  StreamRefused,
  StreamReplaced,
} from '../stream/events.js';
export type { RedisLost, RedisReconnected } from '../cluster/events.js';
export type * from '../cluster/telemetry.js';
export { MessageTooLargeError } from '../stream/message-size.js';
