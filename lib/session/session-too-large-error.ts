/** Redis, or a proxy before it, has refused a session for its size: it is not kept until it is smaller. */
export class SessionTooLargeError extends Error {
  override readonly name = 'SessionTooLargeError';
  readonly code = 'REDIS_STREAMS_SESSION_TOO_LARGE';

  constructor(
    /** Its size, encoded. */
    readonly bytes: number,
    cause: Error,
  ) {
    super(
      `the session of a client is too large: one of ${bytes} bytes was refused (${cause.message}). Keep less in ` +
        'socket.data, and let clients join fewer rooms, or let Redis accept more (proto-max-bulk-len)',
      { cause },
    );
  }
}
