/**
 * The types of a driver, for those who bring a Redis client that this package does not know.
 *
 * @module nestjs-redis-streams-adapter/driver
 */
export type {
  Command,
  CommandArg,
  ConnectionListener,
  ConnectionRole,
  NamePrefix,
  OpenOptions,
  ProbeOptions,
  RedisConnection,
  RedisDriver,
} from '../redis/driver.js';
export { RedisClientError, RedisTimeoutError } from '../redis/errors.js';
