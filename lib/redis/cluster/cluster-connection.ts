import { Backoff } from '../backoff.js';
import {
  formatAddress,
  keyOf,
  keySlot,
  parseAddress,
  toRedirect,
  type ClusterSlots,
  type Redirect,
} from './cluster-slots.js';
import type { ClusterTopology } from './cluster-topology.js';
import type { Command, OpenOptions, RedisConnection } from '../driver.js';
import { RedisClientError } from '../errors.js';
import { needsOf, ReconnectingConnection } from '../reconnecting-connection.js';
import { isClusterChanging } from '../reply-code.js';
import { outsideContext } from '../outside-context.js';
import { Signal } from '../../time/signal.js';

/** How often one command is sent on from node to node. */
const MAX_REDIRECTS = 5;
/** Milliseconds that a command waits for a node to which a connection is only being opened. */
const OPEN_TIMEOUT_MS = 1_000;
/** Milliseconds in which a node must have counted its subscribers. */
const COUNT_TIMEOUT_MS = 2_000;
/** Milliseconds after which the nodes are looked up again although nothing has failed: there may be new replicas. */
const REFRESH_INTERVAL_MS = 30_000;

interface NodeConnection {
  connection: ReconnectingConnection;
  /** Whether it was ready once, or has failed. */
  isTried: boolean;
  /** Since when the cluster does not list it any more. */
  unlistedSince?: number | undefined;
}

/**
 * The connections to those nodes of a cluster that a role needs:
 *
 * - commands: all masters, and all replicas, which are asked for their subscribers;
 * - reader: the master of its key;
 * - subscriber: one node, for the cluster passes messages on to all; all masters, if PUB/SUB is sharded.
 *
 * It is complete when all of these are ready (of replicas it is enough that they were tried). The listener is notified
 * that the connection is lost when it is not complete any more, and with each error until it is; and, for commands, when a
 * master has been replaced, though its connection has held: what it was told last may be lost.
 *
 * A command is sent on by `MOVED` and `ASK`, which say that it was not executed, and never otherwise: the outcome of
 * one whose connection is lost is not known. This is why the cluster clients of the libraries are not used, which send
 * it again to another node.
 */
export class ClusterConnection implements RedisConnection {
  /** By address. */
  private readonly nodes = new Map<string, NodeConnection>();
  /** The pauses before the topology is asked for again after a failure. */
  private readonly backoff = new Backoff();
  /** Ends the listening for changes of the topology. */
  private readonly unlisten: () => void;
  /** A node has become ready or failed, or is not needed any more. */
  private readonly nodeChanged = new Signal();
  /** Whether all nodes that are needed are ready, which the listener knows. */
  private isComplete = false;
  /** The masters as they were known last. */
  private masters: readonly string[] = [];
  /** Set by `close`, for ever. */
  private isClosed = false;
  /** The node that a subscriber has chosen. */
  private chosen: string | undefined;
  /** The one that it had before, whose connection was lost. */
  private abandoned: string | undefined;
  /** Runs until the topology is asked for again. */
  private refreshTimer: NodeJS.Timeout | undefined;
  /** Why the connection cannot be used, unless it is complete. */
  private lastError = new Error('the connection is being opened');

  constructor(
    private readonly topology: ClusterTopology,
    private readonly options: OpenOptions,
  ) {
    this.unlisten = topology.onChange(() => this.onTopology());
    if (topology.current) {
      this.scheduleRefresh(REFRESH_INTERVAL_MS);
      queueMicrotask(() => this.onTopology());
    } else {
      this.scheduleRefresh(0);
    }
  }

  get ready(): boolean {
    // With a master away, commands for the others are still sent.
    return this.isComplete || (this.options.role === 'commands' && this.readyNodes().length > 0);
  }

  call(command: Command, timeout?: number): Promise<unknown> {
    return this.route(keySlot(keyOf(command)), (node, asking) => node.call(command, timeout, asking));
  }

  read(command: Command, timeout?: number): Promise<unknown> {
    return this.route(keySlot(keyOf(command)), (node, asking) => node.read(command, timeout, asking));
  }

  transaction(commands: readonly Command[], timeout?: number): Promise<unknown[]> {
    return this.route(keySlot(keyOf(commands[0]!)), (node, asking) => node.transaction(commands, timeout, asking));
  }

  async publish(channel: string, payload: Buffer, timeout?: number): Promise<void> {
    const slot = keySlot(channel);
    if (this.options.sharded) {
      await this.route(slot, (node, asking) => node.publish(channel, payload, timeout, asking));
      return;
    }
    // Any node will do; one and the same keeps the order of a channel's messages.
    const master = this.nodes.get(this.topology.current?.masterOf(slot) ?? '')?.connection;
    const node = master?.ready ? master : this.readyNodes()[0];
    if (!node) {
      throw this.unavailable();
    }
    await node.publish(channel, payload, timeout);
  }

  async subscribe(channels: readonly string[], timeout?: number): Promise<void> {
    if (this.options.sharded) {
      await Promise.all(channels.map((one) => this.route(keySlot(one), (node) => node.subscribe([one], timeout))));
    } else {
      await this.subscriberNode().subscribe(channels, timeout);
    }
  }

  async unsubscribe(channels: readonly string[], timeout?: number): Promise<void> {
    if (this.options.sharded) {
      await Promise.all(channels.map((one) => this.route(keySlot(one), (node) => node.unsubscribe([one], timeout))));
    } else {
      await this.subscriberNode().unsubscribe(channels, timeout);
    }
  }

  /** Each node knows its own subscribers only. One that cannot be reached has none. */
  async countSubscribers(channels: readonly string[], timeout = Infinity): Promise<number[]> {
    await this.until(() => [...this.nodes.values()].every(({ isTried }) => isTried));
    const nodes = this.readyNodes();
    if (nodes.length === 0) {
      throw this.unavailable();
    }
    const countTimeout = Math.min(timeout, COUNT_TIMEOUT_MS);
    const counts = await Promise.allSettled(nodes.map((node) => node.countSubscribers(channels, countTimeout)));
    const known = counts.filter((count) => count.status === 'fulfilled').map(({ value }) => value);
    if (known.length === 0) {
      throw (counts[0] as PromiseRejectedResult).reason;
    }
    return channels.map((_channel, i) => known.reduce((sum, count) => sum + count[i]!, 0));
  }

  reset(): void {
    for (const { connection } of [...this.nodes.values()]) {
      if (connection.isBusy || this.options.role === 'subscriber') {
        connection.reset();
      }
    }
  }

  async close(): Promise<void> {
    this.isClosed = true;
    this.isComplete = false;
    this.unlisten();
    clearTimeout(this.refreshTimer);
    const nodes = [...this.nodes.values()];
    this.nodes.clear();
    this.nodeChanged.notify();
    await Promise.all(nodes.map(({ connection }) => connection.close()));
  }

  /** Sends to the master of a slot, and on to where it redirects. */
  private async route<T>(
    slot: number,
    send: (node: ReconnectingConnection, asking: boolean) => Promise<T>,
  ): Promise<T> {
    let address = this.topology.current?.masterOf(slot);
    let node = address === undefined ? undefined : this.nodes.get(address)?.connection;
    let asking = false;
    for (let redirects = 0; ; redirects++) {
      if (this.isClosed || address === undefined || !node) {
        throw this.unavailable();
      }
      try {
        return await send(node, asking);
      } catch (error) {
        const redirect = toRedirect(error as Error);
        if (!redirect || redirects === MAX_REDIRECTS || this.isClosed) {
          if (isClusterChanging(error)) {
            this.scheduleRefresh(0);
          }
          throw error;
        }
        address = this.targetOf(redirect, address);
        asking = redirect.kind === 'ASK';
        if (!asking) {
          this.topology.move(redirect.slot, address);
          this.scheduleRefresh(0);
        }
        node = await this.connected(address);
      }
    }
  }

  private targetOf({ address }: Redirect, from: string): string {
    return address.host === ''
      ? formatAddress({ host: parseAddress(from).host, port: address.port })
      : formatAddress(this.topology.access.map(address));
  }

  /** The connection to a node, once it is ready or has failed to become so. */
  private async connected(address: string): Promise<ReconnectingConnection> {
    const { connection } = this.nodes.get(address) ?? this.openNode(address);
    await this.until(() => connection.ready);
    return connection;
  }

  /** Waits for a condition, which can only change when a node does, for at most OPEN_TIMEOUT_MS. */
  private async until(condition: () => boolean): Promise<void> {
    const end = performance.now() + OPEN_TIMEOUT_MS;
    while (!condition() && !this.isClosed) {
      if (!(await this.nodeChanged.wait(Math.max(0, end - performance.now())))) {
        return;
      }
    }
  }

  /** Asks for the topology after a while, unless it is asked for sooner. */
  private scheduleRefresh(delay: number): void {
    if (this.isClosed) {
      return;
    }
    clearTimeout(this.refreshTimer);
    const refresh = (): void => {
      this.scheduleRefresh(REFRESH_INTERVAL_MS);
      this.topology.refresh().catch((error: Error) => this.onError(error));
    };
    this.refreshTimer = outsideContext(() => setTimeout(refresh, delay));
    if (delay === REFRESH_INTERVAL_MS) {
      this.refreshTimer.unref();
    }
  }

  private onTopology(): void {
    const { current } = this.topology;
    if (this.isClosed || !current) {
      return;
    }
    const { masters, replicas } = this.needed(current);
    const needed = new Set([...masters, ...replicas]);
    for (const [address, node] of this.nodes) {
      if (needed.has(address)) {
        node.unlistedSince = undefined;
      } else if (!this.isKept(node)) {
        this.nodes.delete(address);
        void node.connection.close();
      }
    }
    for (const address of needed) {
      if (!this.nodes.has(address)) {
        this.openNode(address);
      }
    }
    this.nodeChanged.notify();
    this.noteReplaced(current);
    this.updateReadiness();
  }

  /** Reports the loss of a master that is none any more, unless that is known from its connection. */
  private noteReplaced(current: ClusterSlots): void {
    const replaced = this.masters.find((address) => !current.masters.has(address));
    this.masters = [...current.masters];
    if (replaced !== undefined && this.isComplete && this.options.role === 'commands') {
      this.lose(new Error(`${replaced} is no master any more, and may not have passed on what it was told last`));
    }
  }

  /**
   * In a failover, a master that is on its way to being a replica is not listed for a while. Those who are subscribed
   * there are to be counted all the same.
   */
  private isKept(node: NodeConnection): boolean {
    node.unlistedSince ??= performance.now();
    return (
      this.options.role === 'commands' &&
      node.connection.ready &&
      performance.now() - node.unlistedSince < REFRESH_INTERVAL_MS
    );
  }

  private openNode(address: string): NodeConnection {
    const { role, listener } = this.options;
    const connection = new ReconnectingConnection(
      (socket) => this.topology.access.connect(parseAddress(address), socket),
      {
        ...this.options,
        ...needsOf(this.options),
        writable: false, // a node that is a replica redirects
        listener: {
          onReady: () => {
            node.isTried = true;
            this.nodeChanged.notify();
            this.updateReadiness();
          },
          onLost: (cause) => {
            node.isTried = true;
            this.nodeChanged.notify();
            if (role === 'subscriber' && this.chosen === address) {
              this.chosen = undefined;
              this.abandoned = address;
            }
            this.onError(new Error(`${address}: ${cause.message}`, { cause }));
          },
          onMessage: (channel, payload) => listener.onMessage?.(channel, payload),
          onWarning: (warning) => listener.onWarning?.(warning),
        },
      },
    );
    const node: NodeConnection = { connection, isTried: false };
    this.nodes.set(address, node);
    return node;
  }

  /** Which nodes this connection is to have, those that it cannot do without as `masters`. */
  private needed(slots: ClusterSlots): { masters: readonly string[]; replicas: readonly string[] } {
    const { role, key, sharded } = this.options;
    if (role === 'reader' && key !== undefined) {
      const master = slots.masterOf(keySlot(key));
      return { masters: master === undefined ? [] : [master], replicas: [] };
    }
    if (role === 'subscriber' && !sharded) {
      if (this.chosen === undefined || !slots.nodes.includes(this.chosen)) {
        const others = [...slots.masters].filter((address) => address !== this.abandoned);
        const choice = others.length > 0 ? others : [...slots.masters];
        this.chosen = choice[Math.floor(Math.random() * choice.length)];
      }
      return { masters: this.chosen === undefined ? [] : [this.chosen], replicas: [] };
    }
    return { masters: [...slots.masters], replicas: role === 'commands' ? [...slots.replicas] : [] };
  }

  private updateReadiness(): void {
    const { current } = this.topology;
    if (this.isClosed || !current) {
      return;
    }
    const { masters, replicas } = this.needed(current);
    const missing = masters.filter((address) => !this.nodes.get(address)?.connection.ready);
    if (masters.length === 0) {
      this.onError(new Error('no node of the cluster serves the slot'));
    } else if (missing.length > 0) {
      if (this.isComplete) {
        this.onError(new Error(`slots have moved to ${missing.join(', ')}`));
      }
    } else if (!this.isComplete && replicas.every((address) => this.nodes.get(address)?.isTried)) {
      this.isComplete = true;
      this.backoff.reset();
      this.scheduleRefresh(REFRESH_INTERVAL_MS);
      this.options.listener.onReady();
    }
  }

  /** A node has failed, or none knows the topology. */
  private onError(error: Error): void {
    const { current } = this.topology;
    if (this.isClosed) {
      return;
    }
    const masters = current ? this.needed(current).masters : [];
    const ready = masters.length > 0 && masters.every((address) => this.nodes.get(address)?.connection.ready);
    if (!ready) {
      this.scheduleRefresh(this.backoff.next());
      this.lose(error);
    } else {
      this.updateReadiness(); // a replica: its subscribers are gone with it
    }
  }

  private lose(error: Error): void {
    this.isComplete = false;
    this.lastError = error;
    this.options.listener.onLost(error);
  }

  private readyNodes(): ReconnectingConnection[] {
    return [...this.nodes.values()].map(({ connection }) => connection).filter(({ ready }) => ready);
  }

  private subscriberNode(): ReconnectingConnection {
    const node = this.nodes.get(this.chosen ?? '')?.connection;
    if (!node) {
      throw this.unavailable();
    }
    return node;
  }

  private unavailable(): Error {
    return new RedisClientError(`the cluster cannot be used now: ${this.lastError.message}`, { cause: this.lastError });
  }
}
