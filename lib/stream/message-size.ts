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

/** What a message is called in errors and events: the name of its event, or what it does. */
export function nameOf(fields: readonly string[]): string {
  const [, uid = '', , nsp = '', , type = '', , data = ''] = fields;
  try {
    const message = decodeEntry({ uid, nsp, type: Number(type), data });
    switch (message?.type) {
      case EntryType.Broadcast:
        return `the event ${JSON.stringify(message.data.packet.data[0])}`;
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

/** Replies with which servers, and proxies before them, refuse a command because it is too large. */
const TOO_LARGE =
  /Protocol error: (invalid|too big) (bulk|mbulk|multibulk)|max(imum)? (allowed )?(request|payload|command|value) size|(request|payload|command|value|elements?|entry|string) (is |are )?(too (large|big)|exceeds)/i;

/** Whether a command was refused because it is too large, so that it will be refused again. */
export function isTooLarge(error: Error): boolean {
  return TOO_LARGE.test(error.message);
}

/** Whether a transaction was refused because the user may not use any (of a server that is not checked for that). */
export function isWithoutTransactions(error: Error): boolean {
  return error.message.startsWith('MULTI was refused');
}
