/** A message that cannot be understood. It is passed over. */
export class InvalidEntryError extends Error {
  override readonly name = 'InvalidEntryError';
  readonly code = 'REDIS_STREAMS_INVALID_ENTRY';
}
