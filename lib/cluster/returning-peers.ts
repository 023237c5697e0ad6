import { ReaderBarrier } from '../stream/reader-barrier.js';
import { Signal } from '../time/signal.js';

/** Milliseconds after which somebody who waits looks again: a node may be later by then than it can be if it is alive. */
const LOOK_AGAIN_MS = 100;

export interface ReturningPeersOptions {
  /** Milliseconds of silence after which a node counts as down. */
  heartbeatTimeout: number;
  /** The ids of the other nodes that are not known to be gone. */
  present(): readonly string[];
}

/**
 * The other nodes that may have lost Redis together with this one, until each is *back*: it reads, it hears what it is asked,
 * and it has written again what Redis may have lost of its sessions. Before that, what Redis has of a session may be an
 * earlier state of it.
 *
 * Modes: away, from `onLost` until `onReady`: nobody can be asked anything, so nobody is waited for. Else here, with the nodes
 * that are waited for; at first none.
 */
export class ReturningPeers {
  /** See above. */
  private mode: 'here' | 'away' = 'here';
  /** Who is not back. */
  private readonly barrier: ReaderBarrier;
  /** Notified when somebody is back, and with each change of mode. */
  private readonly changed = new Signal();

  constructor(private readonly options: ReturningPeersOptions) {
    this.barrier = new ReaderBarrier(options.heartbeatTimeout);
  }

  /** The connection that writes sessions is lost. */
  onLost(): void {
    this.barrier.await(this.options.present(), performance.now());
    this.setMode('away');
  }

  /** It can be used, at first or again. */
  onReady(): void {
    this.barrier.restart(performance.now());
    this.setMode('here');
  }

  /** A node says that it is back. */
  onBack(node: string): void {
    if (this.mode === 'here') {
      this.remove(node); // else it may not know yet that Redis was lost
    }
  }

  onLeft(node: string): void {
    this.remove(node);
  }

  /** Resolves when a node is not waited for; at once if it is not. */
  async whenBack(node: string): Promise<void> {
    while (this.mode === 'here' && this.barrier.awaits(node, performance.now())) {
      await this.changed.wait(LOOK_AGAIN_MS);
    }
  }

  /** Resolves when no node is waited for, but such as are gone; at once if none is. */
  async whenAllBack(): Promise<void> {
    while (this.mode === 'here' && this.isAnyAwaited()) {
      await this.changed.wait(LOOK_AGAIN_MS);
    }
  }

  private isAnyAwaited(): boolean {
    const now = performance.now();
    return !this.barrier.isOver(now) && this.options.present().some((node) => this.barrier.awaits(node, now));
  }

  private remove(node: string): void {
    this.barrier.pass(node);
    this.changed.notify();
  }

  private setMode(mode: 'here' | 'away'): void {
    this.mode = mode;
    this.changed.notify();
  }
}
