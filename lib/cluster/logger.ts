import debug from 'debug';
import { callApp } from './app-code.js';
import { InvalidOptionError } from './options.js';

/** Where log lines go. Nest's `Logger` and `console` are of this kind. */
export interface RedisStreamsLogger {
  /** What is as it should be: started, reconnected, a node joined. */
  log(message: string): void;
  /** What is not, and mends itself: Redis lost, a node suspected. */
  warn(message: string): void;
  /** What was lost, or does not work. */
  error(message: string): void;
}

const NAMESPACE = 'redis-streams-adapter';
const lines = debug(NAMESPACE);

/**
 * Where log lines go without Nest and without a logger of the application: to `debug`, as those of Socket.IO do, so that they
 * are seen with `DEBUG=redis-streams-adapter`. But what is lost, or does not work, is not kept quiet: errors are on the console.
 */
export const debugLogger: RedisStreamsLogger = {
  log: (message) => lines(message),
  warn: (message) => lines(message),
  error: (message) => {
    if (lines.enabled) {
      lines(message);
    } else {
      console.error(`${NAMESPACE}: ${message}`);
    }
  },
};

/**
 * The logger, so that what it throws harms nothing that happens here.
 *
 * @throws InvalidOptionError if it is none: loggers of other kinds, such as those of pino, have no method `log`
 */
export function guardLogger(logger: RedisStreamsLogger): RedisStreamsLogger {
  const methods = logger as Partial<RedisStreamsLogger> | null;
  if (![methods?.log, methods?.warn, methods?.error].every((method) => typeof method === 'function')) {
    throw new InvalidOptionError('logger', logger, 'an object with the methods log, warn and error, such as console');
  }
  return {
    log: (message) => callApp(() => logger.log(message)),
    warn: (message) => callApp(() => logger.warn(message)),
    error: (message) => callApp(() => logger.error(message)),
  };
}
