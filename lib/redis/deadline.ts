import { RedisTimeoutError, type RedisConnection } from './driver.js';

/**
 * Awaits a reply for at most `timeout` milliseconds. A connection that does not answer is dropped, for a reply that
 * comes later could not be told from the next one's.
 */
export function withDeadline<T>(
  connection: RedisConnection,
  timeout: number,
  what: string,
  reply: Promise<T>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new RedisTimeoutError(`Redis did not answer ${what} within ${timeout} ms`));
      connection.reset();
    }, timeout);
    reply.then(
      (value) => {
        clearTimeout(timer);
        resolve(value);
      },
      (error: Error) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}
