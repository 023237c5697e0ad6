import { RedisTimeoutError, type RedisConnection } from './driver.js';

/**
 * Awaits a reply for at most `timeout` milliseconds. A connection that does not answer is dropped, for a reply that
 * comes later could not be told from the next one's.
 */
export async function withDeadline<T>(
  connection: RedisConnection,
  timeout: number,
  what: string,
  reply: Promise<T>,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new RedisTimeoutError(`Redis did not answer ${what} within ${timeout} ms`));
      connection.reset();
    }, timeout);
  });
  try {
    return await Promise.race([reply, expired]);
  } finally {
    clearTimeout(timer);
  }
}
