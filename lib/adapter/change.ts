import type { Room } from 'socket.io-adapter';
import { EntryType, isRoom, type LoggedPacket, type LogMessage, type WireOptions } from '../wire/entry.js';

/** Something to be done with sockets, here and elsewhere. */
export type Change =
  | { readonly type: typeof EntryType.Broadcast; readonly data: { readonly packet: LoggedPacket } }
  | {
      readonly type: typeof EntryType.SocketsJoin | typeof EntryType.SocketsLeave;
      readonly data: { readonly rooms: Room[] };
    }
  | { readonly type: typeof EntryType.DisconnectSockets; readonly data: { readonly close: boolean } };

/** The server that makes a change. */
export interface Sender {
  readonly uid: string;
  /** Of the namespace. */
  readonly nsp: string;
  /** Whether the values of its packets are meant as they are; see {@link LogMessage}. */
  readonly areExact: boolean;
}

/** What the log says of a change to the other servers. @param opts - which of their sockets are meant */
export function toMessage(change: Change, opts: WireOptions, { uid, nsp, areExact }: Sender): LogMessage {
  switch (change.type) {
    case EntryType.Broadcast: {
      const { type, data } = change;
      return { uid, nsp, type, data: { packet: data.packet, opts }, ...(areExact && { exact: true }) };
    }
    case EntryType.DisconnectSockets:
      return { uid, nsp, type: change.type, data: { opts, close: change.data.close } };
    default:
      return { uid, nsp, type: change.type, data: { opts, rooms: change.data.rooms.filter(isRoom) } };
  }
}
