/** What came is not RESP, or a form of it that Redis does not use. */
export class RespError extends Error {
  override readonly name = 'RespError';
  readonly code = 'REDIS_STREAMS_INVALID_REPLY';
}
