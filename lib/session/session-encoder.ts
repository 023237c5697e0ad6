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

  /** Undefined if the session is not known yet, cannot be serialized, or is too large. */
  encode(operation: 'save' | 'checkpoint', claim: SessionClaim, epoch = claim.epoch): string | undefined {
    if (!claim.isKnown) {
      return undefined;
    }
    const session = { ...claim.current(), epoch };
    try {
      const encoded = encodeSession(session, (what) => this.options.onLeftOut(claim.nsp, what));
      return claim.isTooLarge(encoded.length) ? undefined : encoded;
    } catch (error) {
      this.options.onError(operation, error as Error); // such as a room that is nothing that can be sent
      return undefined;
    }
  }
}

/** What JSON makes of a Map, of a Set, and of other objects that it sees nothing in. */
const EMPTY = '{}';

/** Two values of `socket.data` with different fingerprints differ. Only what is kept counts, without what is binary in it. */
export function fingerprint(data: unknown): string {
  try {
    const json = JSON.stringify(data) ?? '';
    return json.includes(EMPTY) ? exactFingerprint(data) : json;
  } catch {
    return exactFingerprint(data);
  }
}

function exactFingerprint(data: unknown): string {
  try {
    return JSON.stringify(carry(data, { onLeftOut: () => undefined }), (_key, value: unknown) => {
      return typeof value === 'bigint'
        ? `${value}n`
        : value instanceof Map || value instanceof Set
          ? [...value]
          : value;
    });
  } catch {
    return ''; // reported when it is written
  }
}
