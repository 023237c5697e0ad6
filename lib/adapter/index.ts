export { createAdapter, type RedisStreamsAdapterFactory } from './create-adapter.js';
export type { RedisStreamsAdapter } from './redis-streams.adapter.js';
export { RequestError } from './request-error.js';
export type { ClusterMember } from '../cluster/cluster-member.js';
export type { ClusterNodeListener } from '../cluster/event-publisher.js';
export type {
  ClusterEvent,
  ClusterNodeStatus,
  DataLeftOut,
  MessageRejected,
  NodeBack,
  NodeDown,
  NodeEvent,
  NodeJoined,
  NodeLeft,
  NodeState,
  NodeStatus,
  NodeSuspected,
  RecoveryRefusal,
  RecoveryRefused,
  RedisLost,
  RedisReconnected,
  SessionRefused,
} from '../cluster/events.js';
export type {
  EntryRejected,
  OutboxAccepting,
  OutboxDropped,
  MessageRefused,
  StreamEvent,
  StreamGap,
  ReadsNotBlocking,
  StreamRecovered,
  StreamRefused,
  StreamReplaced,
  StreamStatus,
} from '../stream/events.js';
export { MessageTooLargeError } from '../stream/message-size.js';
export type * from '../cluster/telemetry.js';
export type { RedisStreamsLogger } from '../cluster/logger.js';
export { InvalidOptionError, type RedisStreamsAdapterOptions } from '../cluster/options.js';
export { RedisClientError, RedisTimeoutError } from '../redis/errors.js';
export { redisSentinelDriver } from '../redis/drivers/node-redis-sentinel.driver.js';
