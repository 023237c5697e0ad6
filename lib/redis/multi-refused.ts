import { RedisClientError } from './errors.js';

const BEGINNING = 'MULTI was refused';

/** The error of a transaction of which the user may not, or may no longer, use MULTI. @param cause - the server's reply */
export function multiRefused(cause: Error): RedisClientError {
  return new RedisClientError(`${BEGINNING} (${cause.message})`, { cause });
}

/** Whether a transaction failed because the user may not use any. */
export function isMultiRefused(error: Error): boolean {
  return error.message.startsWith(BEGINNING);
}
