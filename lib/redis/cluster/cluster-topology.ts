import { ClusterSlots, formatAddress, parseAddress, type Address } from './cluster-slots.js';
import { RedisTimeoutError } from '../errors.js';
import type { RedisSocket, RedisSocketOptions } from '../redis-socket.js';
import { withinOr } from '../../time/within.js';

/** Milliseconds in which a node must have answered what it knows of the cluster. */
const ASK_TIMEOUT_MS = 2_000;
/** Milliseconds in which the client library must have found the nodes to begin with. */
const SEED_TIMEOUT_MS = 5_000;

/** How the nodes of a cluster are reached with one kind of client. */
export interface ClusterAccess {
  /** The nodes that the user's client begins with. `signal` ends the search. */
  seeds(signal: AbortSignal): Promise<Address[]>;
  /** From an address that the cluster reports to one that can be reached from here. */
  map(address: Address): Address;
  /** Makes a socket to a node; not before `seeds` has found one. */
  connect(address: Address, options: RedisSocketOptions): RedisSocket;
}

/** What the connections of one client know of the cluster, together. */
export class ClusterTopology {
  /** Which node has which slots; undefined until the first has answered. */
  private slots: ClusterSlots | undefined;
  /** The question that is under way; all who ask meanwhile share it. `ending` gives it up. */
  private refreshing: { done: Promise<void>; ending: AbortController } | undefined;
  /** See {@link onChange}. */
  private readonly listeners = new Set<() => void>();

  constructor(readonly access: ClusterAccess) {}

  /** Undefined until the first node has answered. */
  get current(): ClusterSlots | undefined {
    return this.slots;
  }

  /**
   * Calls a function after each change, until the function that is returned is called. With the last that does not
   * listen any more, a question that is under way is given up: it would keep a process alive for seconds.
   */
  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
      if (this.listeners.size === 0) {
        this.refreshing?.ending.abort();
        this.refreshing = undefined;
      }
    };
  }

  /** Takes the word of a node that redirected a command. */
  move(slot: number, address: string): void {
    if (this.slots && this.slots.masterOf(slot) !== address) {
      this.slots.move(slot, address);
      this.notify();
    }
  }

  /**
   * Asks the nodes one after the other, until one answers.
   *
   * @throws the last node's error if none did
   */
  refresh(): Promise<void> {
    this.refreshing ??= this.startRefresh();
    return this.refreshing.done;
  }

  private startRefresh(): { done: Promise<void>; ending: AbortController } {
    const ending = new AbortController();
    const refreshing = {
      ending,
      done: this.doRefresh(ending.signal).finally(() => {
        if (this.refreshing === refreshing) {
          this.refreshing = undefined;
        }
      }),
    };
    return refreshing;
  }

  private async doRefresh(ended: AbortSignal): Promise<void> {
    for (const address of shuffle(this.slots?.nodes ?? [])) {
      try {
        return await this.askNode(parseAddress(address), ended);
      } catch {
        ended.throwIfAborted();
        // The next may know.
      }
    }
    // Those that were known are gone, or there were none.
    let lastError = new Error('the cluster has no nodes');
    for (const address of shuffle(await this.seeds(ended))) {
      try {
        return await this.askNode(address, ended);
      } catch (error) {
        ended.throwIfAborted();
        lastError = error as Error;
      }
    }
    throw lastError;
  }

  private async seeds(ended: AbortSignal): Promise<Address[]> {
    const searching = new AbortController();
    const late = new RedisTimeoutError(`no node of the cluster was found within ${SEED_TIMEOUT_MS} ms`);
    try {
      const seeds = unlessAborted(ended, this.access.seeds(searching.signal));
      return await withinOr(SEED_TIMEOUT_MS, seeds, late);
    } finally {
      searching.abort();
    }
  }

  private async askNode(address: Address, ended: AbortSignal): Promise<void> {
    let fail!: (error: Error) => void;
    const closed = new Promise<never>((_resolve, reject) => (fail = reject));
    const socket = this.access.connect(address, {
      connectionName: 'redis-streams:topology',
      sharded: false,
      onMessage: () => undefined,
      onClosed: (error) => fail(error),
    });
    const ask = async (): Promise<unknown> => {
      await socket.open();
      return socket.call(['CLUSTER', 'SLOTS']);
    };
    try {
      const late = new RedisTimeoutError(`${formatAddress(address)} did not answer within ${ASK_TIMEOUT_MS} ms`);
      const answer = unlessAborted(ended, Promise.race([ask(), closed]));
      const reply = await withinOr(ASK_TIMEOUT_MS, answer, late);
      this.slots = ClusterSlots.parse(reply, address, (reported) => this.access.map(reported));
      this.notify();
    } finally {
      socket.destroy();
    }
  }

  private notify(): void {
    for (const listener of [...this.listeners]) {
      listener();
    }
  }
}

/** What a promise settles with, or a rejection as soon as the signal is aborted. */
function unlessAborted<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
    void promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

function shuffle<T>(list: readonly T[]): T[] {
  const shuffled = [...list];
  for (let i = shuffled.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [shuffled[i], shuffled[j]] = [shuffled[j]!, shuffled[i]!];
  }
  return shuffled;
}
