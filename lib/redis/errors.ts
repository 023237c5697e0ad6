/** Redis cannot be used: the client passed in is not one that this package knows, or it cannot be reached (`cause` says why). */
export class RedisClientError extends Error {
  override readonly name = 'RedisClientError';
  readonly code = 'REDIS_STREAMS_CLIENT';
}

/** Redis did not answer a command in time. */
export class RedisTimeoutError extends Error {
  override readonly name = 'RedisTimeoutError';
  readonly code = 'REDIS_STREAMS_TIMEOUT';
}

/** What is published is larger than Redis, or a proxy before it, takes: it was not sent, or not accepted. */
export class PayloadTooLargeError extends Error {
  override readonly name = 'PayloadTooLargeError';
  readonly code = 'REDIS_STREAMS_PAYLOAD_TOO_LARGE';

  constructor(
    readonly bytes: number,
    options?: ErrorOptions,
  ) {
    super(`${bytes} bytes are more than Redis, or a proxy before it, takes at once`, options);
  }
}
