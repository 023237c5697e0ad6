import type { BroadcastOptions, Room, SocketId } from 'socket.io-adapter';
import { isRoom, type WireOptions } from '../wire/entry.js';
import { isSocketId } from './socket-io.js';

/** Who is here, as an adapter knows it. */
export interface Members {
  /** The rooms of each socket. */
  readonly sids: ReadonlyMap<SocketId, ReadonlySet<Room>>;
  /** The sockets in each room. */
  readonly rooms: ReadonlyMap<Room, ReadonlySet<SocketId>>;
}

/** For whom a call on the adapter, or an entry of the log, is meant. */
export class Targets {
  /**
   * @param here - who is in the rooms of this server
   * @param connected - the sockets that have passed their middlewares
   * @param hasRecovery - whether a client may come to this server and be recovered
   */
  constructor(
    private readonly here: Members,
    private readonly connected: ReadonlyMap<SocketId, unknown>,
    private readonly hasRecovery: boolean,
  ) {}

  /** What is meant of the other servers; undefined: nobody can be. */
  elsewhere({ rooms, except, flags }: BroadcastOptions): WireOptions | undefined {
    const meant = [...rooms].filter(isRoom);
    if (flags?.local || (meant.length === 0 && rooms.size > 0)) {
      return undefined;
    }
    return { rooms: meant, except: [...(except ?? [])].filter(isRoom), flags: { ...flags } };
  }

  /** Whether somebody here may be in one of these rooms; without rooms, whether anybody is here. */
  hasRecipient(rooms: readonly Room[]): boolean {
    return rooms.length === 0 ? this.here.sids.size > 0 : rooms.some((room) => this.here.rooms.has(room));
  }

  /** Whether all that is meant is one socket of this server. */
  isOne({ rooms }: BroadcastOptions): boolean {
    const [room] = rooms;
    return rooms.size === 1 && this.connected.has(room!);
  }

  /**
   * Whether all that is meant is one socket of this server, or may be one that is not here, or not yet. The client of such a
   * one may arrive before this node has read back what it sends now; what it sends then must not overtake it, so both go one
   * way.
   */
  mayBeOne(opts: BroadcastOptions): boolean {
    if (this.isOne(opts)) {
      return true;
    }
    const [room] = opts.rooms;
    if (!this.hasRecovery || opts.rooms.size !== 1 || !isSocketId(room)) {
      return false;
    }
    const members = this.here.rooms.get(room);
    return !members || (members.size === 1 && members.has(room)); // it is in its middlewares
  }
}
