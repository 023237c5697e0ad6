/**
 * A request to other servers (`fetchSockets`, `serverSideEmit` with an answer) has not been answered by all. Its code:
 *
 * - `REDIS_STREAMS_REQUEST_TIMEOUT`: a server did not answer in time, or Redis has not been reached since the start.
 * - `REDIS_STREAMS_REQUEST_UNSENT`: Redis did not take it; `cause` says why.
 * - `REDIS_STREAMS_REQUEST_ANSWER`: a server has answered what cannot be sent, such as a function.
 */
export class RequestError extends Error {
  override readonly name = 'RequestError';
  readonly code: `REDIS_STREAMS_REQUEST_${'TIMEOUT' | 'UNSENT' | 'ANSWER'}`;

  constructor(problem: 'TIMEOUT' | 'UNSENT' | 'ANSWER', message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = `REDIS_STREAMS_REQUEST_${problem}`;
  }
}
