import type { BroadcastOptions, SocketId } from 'socket.io-adapter';
import { callApp } from '../cluster/app-code.js';

interface SocketOf {
  readonly id: SocketId;
}

/** Does something with a socket. */
type Act = (socket: SocketOf) => void;

/** A method of socket.io-adapter, which acts on each socket that is meant and has no way in for what is done here. */
type Apply = (opts: BroadcastOptions, act: Act) => void;

/** What becomes of an act. */
type Hook = (socket: SocketOf, act: Act) => void;

/** Comes between an adapter's `apply` and each socket, as long as some work lasts. */
export class ApplyHook {
  /** Undefined while no such work is done, and while the application, called by it, does something by itself. */
  private hook: Hook | undefined;

  /** @param adapter - whose `apply` is wrapped */
  constructor(adapter: object) {
    const internals = adapter as { apply: Apply };
    const { apply } = internals;
    internals.apply = (opts, act) => {
      const { hook } = this;
      if (!hook) {
        apply.call(adapter, opts, act);
        return;
      }
      this.hook = undefined; // what the application calls meanwhile, it calls by itself
      try {
        apply.call(adapter, opts, (socket) => hook(socket, act));
      } finally {
        this.hook = hook;
      }
    };
  }

  /**
   * Work that another server has asked for, so that no call of the application waits for it: a listener that throws on one
   * socket does not keep it from the others.
   */
  isolate(work: () => void): void {
    this.during((socket, act) => callApp(() => act(socket)), work);
  }

  /** Work for those of the sockets only that are accepted. */
  limit(accepts: (sid: SocketId) => boolean, work: () => void): void {
    this.during((socket, act) => {
      if (accepts(socket.id)) {
        act(socket);
      }
    }, work);
  }

  private during(hook: Hook, work: () => void): void {
    const outer = this.hook;
    this.hook = outer ? (socket, act) => outer(socket, (one) => hook(one, act)) : hook;
    try {
      work();
    } finally {
      this.hook = outer;
    }
  }
}
