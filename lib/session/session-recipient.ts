import type { Recipient } from '../stream/recipient.js';
import type { EntryIdentity } from '../stream/room-index.js';
import { isInCut, type Cut } from '../wire/cut.js';
import type { Session } from '../wire/session.js';

/** A time that a client was in a room; without a beginning or an end: always until then, or still. */
interface Visit {
  from?: Cut;
  upTo?: Cut;
}

/** The client of a session, in the rooms in which it was when each entry was delivered. */
export class SessionRecipient implements Recipient {
  readonly nsp: string;
  private readonly visits = new Map<string, Visit[]>();

  constructor(nsp: string, { rooms, joined, left }: Pick<Session, 'rooms' | 'joined' | 'left'>) {
    this.nsp = nsp;
    for (const room of rooms) {
      this.visits.set(room, [{}]);
    }
    for (const [room, from] of joined ?? []) {
      if (this.visits.has(room)) {
        this.visits.set(room, [{ from }]);
      }
    }
    for (const [room, from, upTo] of left ?? []) {
      const visits = this.visits.get(room);
      if (visits) {
        visits.push({ from, upTo });
      } else {
        this.visits.set(room, [{ from, upTo }]);
      }
    }
  }

  get rooms(): Iterable<string> {
    return this.visits.keys();
  }

  wasIn(room: string, entry: EntryIdentity): boolean {
    const visits = this.visits.get(room);
    return (
      visits !== undefined &&
      visits.some(
        ({ from, upTo }) =>
          (from === undefined || !isInCut(entry, from)) && (upTo === undefined || isInCut(entry, upTo)),
      )
    );
  }
}
