import type { RedisConnection } from '../redis/driver.js';
import { RefusedSize } from '../redis/refused-size.js';
import type { ChannelNames } from '../wire/channels.js';
import { encodeControlMessage, MAX_UNHEARD, type ControlMessage, type Hearing } from '../wire/control.js';
import { decodeBusMessage, encodeBusMessage, RequestType, type BusMessage } from '../wire/requests.js';
import type { EntryRouter } from './entry-router.js';
import type { NodeCounters } from './node-counters.js';
import type { RequestOrder } from './request-order.js';
import type { Subscriptions } from './subscriptions.js';

export type { BusMessage } from '../wire/requests.js';

/** A namespace of a server: it gets the messages of the namespace's channels. */
export interface BusMember {
  /** Of the namespace. */
  readonly name: string;
  readonly uid: string;
  /** @throws Error if the message cannot be understood */
  onMessage(message: BusMessage): void;
}

/** Which servers have a namespace, this one excepted. */
export interface Census {
  /** Uids of servers of nodes that are known by their heartbeats. */
  named: Set<string>;
  /** How many others there are: nodes of the reference adapter have no heartbeat. */
  others: number;
  /** Of those in `named` that say so, whether what is sent now reaches them. */
  hearing: Map<string, ServerHearing>;
  /** Whether Redis has counted them; else it is what was heard of them: who is not in it may be there. */
  isCounted: boolean;
}

/** Whether a server hears what is sent to all of its namespace. It knows a request that comes twice. */
export interface ServerHearing {
  hears: boolean;
  /** How often its node has lost its subscriptions: a request that was sent before the last loss may not have reached it. */
  losses: number;
}

/** A node that may have a namespace. */
export interface CensusPeer {
  readonly id: string;
  readonly uids: readonly string[];
  /** Whether it says that it has the namespace "/". */
  readonly isInRoot: boolean;
}

/** What Redis says of the subscriptions to a namespace. */
export interface Subscribers {
  /** Uids of servers that are subscribed to what is for them. */
  named: Set<string>;
  others: number;
  /** Peers that say they have the namespace "/", and are not subscribed there: they have lost their subscriptions, or were killed. */
  silent: Set<string>;
}

/** Each Socket.IO server has this namespace, for as long as it is there. */
const ROOT = '/';
/** How many times longer a reply may take here, for the connection may be busy with a large batch of entries. */
const BEHIND_A_BATCH = 4;

export interface RequestBusOptions {
  channels: ChannelNames;
  /** Milliseconds after which a command counts as unanswered. */
  commandTimeout: number;
  order: RequestOrder;
  /** Runs commands, again when the connection that failed them is back. */
  retry<T>(run: () => Promise<T>): Promise<T>;
  /** Called with each control message, this node's own among them. @throws Error if it is none */
  onControl(payload: Buffer): void;
  /** Counts messages that were passed over. */
  counters: Pick<NodeCounters, 'reject'>;
  /** Hears of the sender of each message. */
  router: Pick<EntryRouter, 'onTraffic'>;
}

/** PUB/SUB: what is not worth keeping. Everything on the channels is MessagePack. */
export class RequestBus {
  /** By channel. */
  private readonly members = new Map<string, Set<BusMember>>();
  /** What is too large for Redis. */
  private readonly refusedSize = new RefusedSize();

  constructor(
    private readonly commands: Pick<RedisConnection, 'ready' | 'publish' | 'countSubscribers'>,
    private readonly subscriptions: Pick<Subscriptions, 'add' | 'remove' | 'has' | 'isBroken' | 'losses'>,
    private readonly options: RequestBusOptions,
  ) {}

  /** From now on, the member gets the requests of its namespace and the responses to it. */
  join(member: BusMember): void {
    const channels = this.channelsOf(member);
    this.subscriptions.add(channels.filter((channel) => !this.members.has(channel)));
    for (const channel of channels) {
      this.members.set(channel, (this.members.get(channel) ?? new Set()).add(member));
    }
  }

  leave(member: BusMember): void {
    for (const channel of this.channelsOf(member)) {
      const members = this.members.get(channel);
      members?.delete(member);
      if (members?.size === 0) {
        this.members.delete(channel);
        this.subscriptions.remove([channel]);
      }
    }
    this.options.order.forget({ uid: member.uid, nsp: member.name });
  }

  /**
   * Sends to all other servers of the namespace. They handle it after what this node has appended so far; and, unless it is
   * volatile, what is appended with its {@link mark} after it.
   *
   * @throws if Redis cannot be reached now; PayloadTooLargeError
   */
  async publish(message: BusMessage): Promise<void> {
    const { channels, order } = this.options;
    const stamped = order.stamp(message);
    const isNumbered = !isVolatile(message) && this.commands.ready && this.isJoined(message);
    const numbered = isNumbered ? order.number(stamped) : stamped;
    try {
      await this.send(channels.requests(message.nsp), encodeBusMessage(numbered));
    } catch (error) {
      order.onUnsent(numbered);
      throw error;
    }
  }

  /**
   * Sends a request to one server, which may not have heard it: at once, and after what this node has appended so far.
   *
   * @throws as {@link publish}
   */
  async repeat(uid: string, message: BusMessage): Promise<void> {
    const { channels, order } = this.options;
    await this.send(channels.responses(message.nsp, uid), encodeBusMessage(order.stamp(message)));
  }

  /** To be appended with the next entry of a server: the number of the request that comes before it, if there is one. */
  mark({ uid, name }: Pick<BusMember, 'uid' | 'name'>): number | undefined {
    return this.options.order.mark({ uid, nsp: name });
  }

  /**
   * Sends to one server, again when the connection is back if that is lost meanwhile: what does no harm if it comes twice.
   *
   * @throws if Redis stays away; PayloadTooLargeError
   */
  async respond(uid: string, message: BusMessage): Promise<void> {
    const { channels } = this.options;
    const payload = encodeBusMessage(message); // as it is now
    await this.options.retry(() => this.send(channels.responses(message.nsp, uid), payload));
  }

  /** The namespaces that channels belong to. */
  namespacesOf(channels: readonly string[]): Set<string> {
    return new Set(channels.flatMap((channel) => [...(this.members.get(channel) ?? [])].map(({ name }) => name)));
  }

  /** What this node hears, as it says in its heartbeats. */
  get hearing(): Hearing {
    const { isBroken, losses } = this.subscriptions;
    return { losses, unheard: isBroken ? this.unheard() : [], root: this.ownUids(ROOT).length > 0 };
  }

  private unheard(): string[] | true {
    const names = this.namespacesOf([...this.members.keys()].filter((channel) => !this.subscriptions.has(channel)));
    return names.size > MAX_UNHEARD ? true : [...names];
  }

  private send(channel: string, payload: Buffer): Promise<void> {
    return this.refusedSize.guard(payload.length, () => this.commands.publish(channel, payload, this.timeout));
  }

  /** Sends to all nodes. As it has a deadline, it also finds out whether the connection still answers. */
  async control(message: ControlMessage): Promise<void> {
    await this.commands.publish(this.options.channels.control, encodeControlMessage(message), this.timeout);
  }

  /**
   * Asks Redis who is subscribed to a namespace.
   *
   * @param peers - the nodes that may have the namespace
   * @throws if Redis cannot be reached now
   */
  async census({ name, uid: self }: BusMember, peers: readonly CensusPeer[]): Promise<Subscribers> {
    const { channels } = this.options;
    const own = this.ownUids(name);
    const servers = [own, ...peers.map((peer) => peer.uids)];
    const uids = servers.flat();
    const inRoot = peers.filter(({ isInRoot }) => isInRoot);
    const rootUids = name === ROOT ? [] : inRoot.flatMap((peer) => peer.uids);
    const [all = 0, ...counts] = await this.commands.countSubscribers(
      [
        channels.requests(name),
        ...uids.map((uid) => channels.responses(name, uid)),
        ...rootUids.map((uid) => channels.responses(ROOT, uid)),
      ],
      this.timeout,
    );
    const named = new Set(uids.filter((_uid, i) => counts[i]! > 0));
    const heard = new Set([...named, ...rootUids.filter((_uid, i) => counts[uids.length + i]! > 0)]);
    const processes = servers.filter((ofProcess) => ofProcess.some((uid) => named.has(uid))).length;
    own.forEach((uid) => named.add(uid)); // whether or not Redis has its subscription yet
    named.delete(self);
    const silent = inRoot.filter((peer) => !peer.uids.some((uid) => heard.has(uid))).map(({ id }) => id);
    return { named, others: Math.max(0, all - processes), silent: new Set(silent) };
  }

  /** The uids of this node's servers that have a namespace. */
  ownUids(nsp: string): string[] {
    return [...(this.members.get(this.options.channels.requests(nsp)) ?? [])].map(({ uid }) => uid);
  }

  /** What comes from a server that has left is the last of it: its number would be kept for ever. */
  private isJoined({ nsp, uid }: BusMessage): boolean {
    return this.ownUids(nsp).includes(uid);
  }

  /** Whether a server is there to hear what is sent to it alone. @throws if Redis cannot be reached now */
  async isSubscribedTo(nsp: string, uid: string): Promise<boolean> {
    const channel = this.options.channels.responses(nsp, uid);
    const [count] = await this.commands.countSubscribers([channel], this.timeout);
    return count! > 0;
  }

  /** A message of a subscribed channel. */
  receive(channel: string, payload: Buffer): void {
    try {
      if (channel === this.options.channels.control) {
        this.options.onControl(payload);
      } else {
        this.deliver(channel, decodeBusMessage(payload));
      }
    } catch (error) {
      this.options.counters.reject(channel, (error as Error).message);
    }
  }

  private deliver(channel: string, message: BusMessage): void {
    this.options.router.onTraffic(message.uid, message.nsp);
    const isFor = ({ uid, name }: BusMember): boolean => uid !== message.uid && name === message.nsp;
    if ([...(this.members.get(channel) ?? [])].some(isFor)) {
      this.options.order.receive(message, () => this.handle(channel, message, isFor));
    }
  }

  private handle(channel: string, message: BusMessage, isFor: (member: BusMember) => boolean): void {
    for (const member of [...(this.members.get(channel) ?? [])].filter(isFor)) {
      try {
        member.onMessage(message);
      } catch (error) {
        this.options.counters.reject(channel, (error as Error).message);
      }
    }
  }

  private get timeout(): number {
    return BEHIND_A_BATCH * this.options.commandTimeout;
  }

  private channelsOf({ name, uid }: BusMember): string[] {
    const { channels } = this.options;
    return [channels.requests(name), channels.responses(name, uid)];
  }
}

/** A broadcast that asks for no acknowledgements: it may be lost, so nothing waits for it. */
function isVolatile({ type, data }: BusMessage): boolean {
  return type === RequestType.Broadcast && (data as { requestId?: unknown } | undefined)?.requestId === undefined;
}
