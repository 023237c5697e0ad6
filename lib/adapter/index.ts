export { createAdapter, type RedisStreamsAdapterFactory } from './create-adapter.js';
export type { RedisStreamsAdapter } from './redis-streams.adapter.js';
export type { ClusterMember } from '../cluster/cluster-member.js';
export type { ClusterNodeListener } from '../cluster/cluster-node.js';
export type {
  ClusterEvent,
  ClusterNodeStatus,
  MessageRejectedEvent,
  NodeBackEvent,
  NodeDownEvent,
  NodeJoinedEvent,
  NodeLeftEvent,
  NodeState,
  NodeStatus,
  NodeSuspectedEvent,
  RedisLostEvent,
  RedisRegainedEvent,
  SessionRefusedEvent,
  StreamStatus,
} from '../cluster/events.js';
export type {
  EntryRejectedEvent,
  GapEvent,
  OutboxDrainedEvent,
  OutboxOverflowEvent,
  StreamEvent,
  StreamRefusedEvent,
  StreamReplacedEvent,
  StreamUsableEvent,
} from '../stream/events.js';
export type { RedisStreamsLogger } from '../cluster/logger.js';
export { InvalidOptionError, type RedisStreamsAdapterOptions } from '../cluster/options.js';
export { RedisClientError, RedisTimeoutError } from '../redis/driver.js';
export { redisSentinelDriver } from '../redis/node-redis-sentinel.driver.js';
