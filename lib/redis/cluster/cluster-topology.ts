import { ClusterSlots, formatAddress, parseAddress, type Address } from './cluster-slots.js';
import { RedisTimeoutError } from '../driver.js';
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
  /** From an address that the cluster announces to one that can be reached from here. */
  map(address: Address): Address;
  /** Makes a socket to a node; not before `seeds` has found one. */
  connect(address: Address, options: RedisSocketOptions): RedisSocket;
}

/** What the connections of one client know of the cluster, together. */
export class ClusterTopology {
  private slots: ClusterSlots | undefined;
  private refreshing: Promise<void> | undefined;
  private readonly listeners = new Set<() => void>();

  constructor(readonly access: ClusterAccess) {}

  /** Undefined until the first node has answered. */
  get current(): ClusterSlots | undefined {
    return this.slots;
  }

  /** Calls a function after each change, until the function that is returned is called. */
  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
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
    this.refreshing ??= this.doRefresh().finally(() => (this.refreshing = undefined));
    return this.refreshing;
  }

  private async doRefresh(): Promise<void> {
    for (const address of shuffle(this.slots?.nodes ?? [])) {
      try {
        return await this.askNode(parseAddress(address));
      } catch {
        // The next may know.
      }
    }
    // Those that were known are gone, or there were none.
    let lastError = new Error('the cluster has no nodes');
    for (const address of shuffle(await this.seeds())) {
      try {
        return await this.askNode(address);
      } catch (error) {
        lastError = error as Error;
      }
    }
    throw lastError;
  }

  private async seeds(): Promise<Address[]> {
    const searching = new AbortController();
    const late = new RedisTimeoutError(`no node of the cluster was found within ${SEED_TIMEOUT_MS} ms`);
    try {
      return await withinOr(SEED_TIMEOUT_MS, this.access.seeds(searching.signal), late);
    } finally {
      searching.abort();
    }
  }

  private async askNode(address: Address): Promise<void> {
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
      const reply = await withinOr(ASK_TIMEOUT_MS, Promise.race([ask(), closed]), late);
      this.slots = ClusterSlots.parse(reply, address, (announced) => this.access.map(announced));
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

function shuffle<T>(list: readonly T[]): T[] {
  const shuffled = [...list];
  for (let i = shuffled.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [shuffled[i], shuffled[j]] = [shuffled[j]!, shuffled[i]!];
  }
  return shuffled;
}
