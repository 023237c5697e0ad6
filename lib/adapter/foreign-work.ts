import type { BroadcastOptions, SocketId } from 'socket.io-adapter';
import { callApp } from './app-code.js';
import type { SocketLike } from './socket-io.js';

/** Calls a function for each socket that is meant. A method of socket.io-adapter, which has no way in for what is done here. */
type Apply = (opts: BroadcastOptions, callback: (socket: SocketLike) => void) => void;

/**
 * What one adapter does because another server has asked for it, so that no call of the application waits for it: a listener
 * that throws on one socket does not keep it from the others.
 */
export class ForeignWork {
  /** What is being done now; undefined while there is nothing, and while the application does something by itself. */
  private current: { withheld: ReadonlySet<SocketId> | undefined } | undefined;

  /** @param adapter - whose `apply` is wrapped */
  constructor(adapter: object) {
    const internals = adapter as { apply: Apply };
    const apply = internals.apply;
    internals.apply = (opts, callback) => {
      const { current } = this;
      if (!current) {
        apply.call(adapter, opts, callback);
        return;
      }
      this.current = undefined; // what the application calls meanwhile, it calls by itself
      apply.call(adapter, opts, (socket) => {
        if (!current.withheld?.has(socket.id)) {
          callApp(() => callback(socket));
        }
      });
      this.current = current;
    };
  }

  /**
   * Does something with sockets.
   *
   * @param withheld - sockets with which it is not done
   */
  run(work: () => void, withheld?: ReadonlySet<SocketId>): void {
    const before = this.current;
    this.current = { withheld };
    try {
      work();
    } finally {
      this.current = before;
    }
  }
}
