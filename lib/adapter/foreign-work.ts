import type { BroadcastOptions } from 'socket.io-adapter';
import { callApp } from '../cluster/app-code.js';
import type { SocketLike } from './socket-io.js';

/** Calls a function for each socket that is meant. A method of socket.io-adapter, which has no way in for what is done here. */
type Apply = (opts: BroadcastOptions, callback: (socket: SocketLike) => void) => void;

/**
 * What one adapter does because another server has asked for it, so that no call of the application waits for it: a listener
 * that throws on one socket does not keep it from the others.
 */
export class ForeignWork {
  /** Whether it is being done now; not while the application does something by itself. */
  private isUnderWay = false;

  /** @param adapter - whose `apply` is wrapped */
  constructor(adapter: object) {
    const internals = adapter as { apply: Apply };
    const apply = internals.apply;
    internals.apply = (opts, callback) => {
      if (!this.isUnderWay) {
        apply.call(adapter, opts, callback);
        return;
      }
      this.isUnderWay = false; // what the application calls meanwhile, it calls by itself
      apply.call(adapter, opts, (socket) => callApp(() => callback(socket)));
      this.isUnderWay = true;
    };
  }

  /** Does something with sockets. */
  run(work: () => void): void {
    const before = this.isUnderWay;
    this.isUnderWay = true;
    try {
      work();
    } finally {
      this.isUnderWay = before;
    }
  }
}
