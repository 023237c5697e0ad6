import { decodeEntry, EntryType } from '../wire/entry.js';

/** A message is larger than `maxMessageBytes` allows. Nothing of it was sent. */
export class MessageTooLargeError extends Error {
  override readonly name = 'MessageTooLargeError';
  readonly code = 'REDIS_STREAMS_MESSAGE_TOO_LARGE';

  /**
   * @param event - the name of the event that was to be emitted
   * @param bytes - about how large the message is, encoded
   */
  constructor(
    readonly event: string,
    readonly bytes: number,
    limit: number,
  ) {
    super(
      `${event} is too large: ${bytes} bytes, and maxMessageBytes is ${limit}. Send less, for instance a link to the data, ` +
        'or raise maxMessageBytes as far as Redis and what lies before it allow.',
    );
  }
}

/** @throws MessageTooLargeError if the encoded message is larger than `limit` bytes; 0: there is no limit */
export function checkSize(fields: readonly string[], limit: number): void {
  const length = fields.reduce((sum, field) => sum + field.length, 0);
  if (limit === 0 || length * 3 <= limit) {
    return; // UTF-8 takes at most three bytes for each UTF-16 unit
  }
  const bytes = fields.reduce((sum, field) => sum + Buffer.byteLength(field), 0);
  if (bytes > limit) {
    throw new MessageTooLargeError(nameOf(fields), bytes, limit);
  }
}

/**
 * The same of what goes by PUB/SUB.
 *
 * @param event - its name
 * @throws MessageTooLargeError
 */
export function checkBytes(event: unknown, { length }: Uint8Array, limit: number): void {
  if (limit !== 0 && length > limit) {
    throw new MessageTooLargeError(describeEvent(event), length, limit);
  }
}

/** What a message is called in errors and events: the name of its event, or what it does. */
export function nameOf(fields: readonly string[]): string {
  const [, uid = '', , nsp = '', , type = '', , data = ''] = fields;
  try {
    const message = decodeEntry({ uid, nsp, type: Number(type), data });
    switch (message?.type) {
      case EntryType.Broadcast:
        return describeEvent(message.data.packet.data[0]);
      case EntryType.SocketsJoin:
        return 'socketsJoin';
      case EntryType.SocketsLeave:
        return 'socketsLeave';
      default:
        return 'disconnectSockets';
    }
  } catch {
    return 'a message';
  }
}

/** What an event is called. @param name - its name */
export function describeEvent(name: unknown): string {
  return `the event ${JSON.stringify(name)}`;
}
