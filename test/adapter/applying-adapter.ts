import type { BroadcastOptions } from 'socket.io-adapter';

export type Callback = (socket: { id: string }) => void;

export const OPTS: BroadcastOptions = { rooms: new Set() };

/** Calls back for each of three sockets, as an adapter does. */
export class ApplyingAdapter {
  private readonly sockets = ['a', 'b', 'c'].map((id) => ({ id }));

  apply(_opts: BroadcastOptions, callback: Callback): void {
    this.sockets.forEach(callback);
  }
}
