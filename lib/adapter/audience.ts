import type { BroadcastOptions, SocketId } from 'socket.io-adapter';

/** Calls a function for each socket that is meant. A method of socket.io-adapter, which has no way in for what is done here. */
type Apply = (opts: BroadcastOptions, callback: (socket: { readonly id: SocketId }) => void) => void;

/** For which sockets an adapter does what it does, among those that a call means. */
export class Audience {
  /** Undefined while it is all, and while the application calls by itself. */
  private accepts: ((sid: SocketId) => boolean) | undefined;

  /** @param adapter - whose `apply` is wrapped */
  constructor(adapter: object) {
    const internals = adapter as { apply: Apply };
    const { apply } = internals;
    internals.apply = (opts, callback) => {
      const { accepts } = this;
      if (!accepts) {
        apply.call(adapter, opts, callback);
        return;
      }
      this.accepts = undefined; // what the application calls meanwhile, it calls by itself
      try {
        apply.call(adapter, opts, (socket) => {
          if (accepts(socket.id)) {
            callback(socket);
          }
        });
      } finally {
        this.accepts = accepts;
      }
    };
  }

  /** Does something for those of the sockets only that are accepted. */
  limit(accepts: (sid: SocketId) => boolean, work: () => void): void {
    const before = this.accepts;
    this.accepts = before ? (sid) => before(sid) && accepts(sid) : accepts;
    try {
      work();
    } finally {
      this.accepts = before;
    }
  }
}
