import { carry, type NotCarried } from '../wire/carried.js';
import { encodeSession } from '../wire/session.js';
import type { SessionClaim } from './session-claim.js';

export interface SessionEncoderOptions {
  /** Called with what an app has put into `socket.data` and no other node can be given. */
  onLeftOut(namespace: string, what: NotCarried): void;
  /** Called when a session could not be written or read. */
  onError(operation: 'save' | 'checkpoint' | 'take', error: Error): void;
}

/** Encodes sessions as they are now, and reports what of them cannot be. */
export class SessionEncoder {
  constructor(private readonly options: SessionEncoderOptions) {}

  /** Undefined if the session cannot be serialized. */
  encode(operation: 'save' | 'checkpoint', claim: SessionClaim, epoch = claim.epoch): string | undefined {
    const session = { ...claim.current(), epoch };
    try {
      return encodeSession(session, ({ path, reason }) => {
        this.options.onLeftOut(claim.nsp, { path: path ? `data.${path}` : 'data', reason });
      });
    } catch (error) {
      this.options.onError(operation, error as Error); // such as a room that is nothing that can be sent
      return undefined;
    }
  }
}

/** What tells data from others, as far as they are kept; not what is binary in them. */
export function fingerprint(data: unknown): string {
  try {
    return JSON.stringify(data) ?? '';
  } catch {
    try {
      const kept = carry(data, { onLeftOut: () => undefined });
      return JSON.stringify(kept, (_key, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value));
    } catch {
      return ''; // reported when it is written
    }
  }
}
