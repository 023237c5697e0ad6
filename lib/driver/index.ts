export type {
  Command,
  CommandArg,
  ConnectionListener,
  ConnectionRole,
  OpenOptions,
  RedisConnection,
  RedisDriver,
} from '../redis/driver.js';
export { RedisClientError, RedisTimeoutError } from '../redis/driver.js';
