import type { RedisConnection } from '../redis/driver.js';
import { RefusedSize } from '../redis/refused-size.js';
import type { ChannelNames } from '../wire/channels.js';
import { encodeControlMessage, type ControlMessage } from '../wire/control.js';
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
}

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
    private readonly subscriptions: Pick<Subscriptions, 'add' | 'remove'>,
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
    const numbered = isVolatile(message) || !this.commands.ready ? stamped : order.number(stamped);
    try {
      await this.send(channels.requests(message.nsp), encodeBusMessage(numbered));
    } catch (error) {
      order.onUnsent(numbered);
      throw error;
    }
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
   * @param peers - uids, by the node that they belong to, of servers that may have the namespace
   * @throws if Redis cannot be reached now
   */
  async census(member: BusMember, peers: readonly (readonly string[])[]): Promise<Census> {
    const { channels } = this.options;
    const own = this.ownUids(member.name);
    const uids = [own, ...peers].flat();
    const asked = [channels.requests(member.name), ...uids.map((uid) => channels.responses(member.name, uid))];
    const [all = 0, ...counts] = await this.commands.countSubscribers(asked, this.timeout);
    const subscribed = new Set(uids.filter((_uid, i) => counts[i]! > 0));
    const processes = [own, ...peers].filter((servers) => servers.some((uid) => subscribed.has(uid))).length;
    own.forEach((uid) => subscribed.add(uid)); // whether or not Redis has its subscription yet
    subscribed.delete(member.uid);
    return { named: subscribed, others: Math.max(0, all - processes) };
  }

  /** The uids of this node's servers that have a namespace. */
  ownUids(nsp: string): string[] {
    return [...(this.members.get(this.options.channels.requests(nsp)) ?? [])].map(({ uid }) => uid);
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
