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
export { RedisClientError, RedisTimeoutError } from '../redis/driver.js';
