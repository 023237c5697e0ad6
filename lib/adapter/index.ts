export { createAdapter, type RedisStreamsAdapterFactory } from './create-adapter.js';
export { RedisStreamsAdapter } from './redis-streams.adapter.js';
export { ClusterNode, type ClusterNodeListener } from '../cluster/cluster-node.js';
export type {
  ClusterEvent,
  ClusterNodeStatus,
  MessageRejected,
  NodeBack,
  NodeDown,
  NodeEvent,
  NodeJoined,
  NodeLeft,
  NodeState,
  NodeStatus,
  NodeSuspected,
  RedisLost,
  RedisReconnected,
  SessionRefused,
  StreamStatus,
} from '../cluster/events.js';
export type {
  EntryRejected,
  OutboxAccepting,
  OutboxDropped,
  MessageRefused,
  StreamEvent,
  StreamGap,
  StreamRecovered,
  StreamRefused,
  StreamReplaced,
} from '../stream/events.js';
export { MessageTooLargeError } from '../stream/message-size.js';
export type { RedisStreamsLogger } from '../cluster/logger.js';
export { InvalidOptionError, type RedisStreamsAdapterOptions } from '../cluster/options.js';
export {
  RedisClientError,
  RedisTimeoutError,
  type Command,
  type CommandArg,
  type ConnectionListener,
  type ConnectionRole,
  type NamePrefix,
  type OpenOptions,
  type ProbeOptions,
  type RedisConnection,
  type RedisDriver,
} from '../redis/driver.js';
export { redisSentinelDriver } from '../redis/drivers/node-redis-sentinel.driver.js';
