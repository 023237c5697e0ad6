import type { EntryIdentity, Recipient } from '../stream/room-index.js';
import { compareStreamIds, STREAM_START, type StreamId } from '../wire/stream-id.js';
import type { Session } from '../wire/session.js';

/** The client of a session, in the rooms in which it was when each entry was delivered. */
export class SessionRecipient implements Recipient {
  readonly nsp: string;
  private readonly visits = new Map<string, { from: StreamId; upTo?: StreamId }[]>();

  constructor(nsp: string, { rooms, joined, left }: Pick<Session, 'rooms' | 'joined' | 'left'>) {
    this.nsp = nsp;
    for (const room of rooms) {
      this.visits.set(room, [{ from: STREAM_START }]);
    }
    for (const [room, from] of joined ?? []) {
      if (this.visits.has(room)) {
        this.visits.set(room, [{ from }]);
      }
    }
    for (const [room, from, upTo] of left ?? []) {
      this.visits.set(room, [...(this.visits.get(room) ?? []), { from, upTo }]);
    }
  }

  get rooms(): Iterable<string> {
    return this.visits.keys();
  }

  /** An entry without an id, which was not read back yet, comes after all marks. */
  wasIn(room: string, { id }: EntryIdentity): boolean {
    const visits = this.visits.get(room);
    return (
      visits !== undefined &&
      visits.some(
        ({ from, upTo }) =>
          (from === STREAM_START || id === undefined || compareStreamIds(id, from) > 0) &&
          (upTo === undefined || (id !== undefined && compareStreamIds(id, upTo) <= 0)),
      )
    );
  }
}
