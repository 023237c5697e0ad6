import type { RedisConnection } from '../redis/driver.js';
import { decodeMsgpack, encodeMsgpack } from '../wire/msgpack.js';

/** A request, an answer or a volatile broadcast: who sent it, in which namespace, its type and what it holds. */
export interface BusMessage {
  uid: string;
  nsp: string;
  type: number;
  data?: unknown;
}

/** Who gets the messages of a namespace's channels. */
export interface BusMember {
  readonly name: string;
  readonly uid: string;
  onMessage(message: BusMessage): void;
}

/** Which servers are subscribed to a namespace, this one excepted. */
export interface Census {
  /** Uids of servers of nodes that are known by their heartbeats. */
  named: Set<string>;
  /** How many others there are; the reference adapter's nodes have no heartbeat. */
  others: number;
}

/** How many times longer a reply may take here, for the connection may be busy with a large batch of entries. */
const BEHIND_A_BATCH = 4;

export interface RequestBusOptions {
  channelPrefix: string;
  /** Of the heartbeat channel, for clusters that share a channel prefix. */
  streamName: string;
  /** Milliseconds after which a command counts as unanswered. */
  commandTimeout: number;
  /** The node's own messages on the heartbeat channel are passed on too. */
  onAnnouncement(message: unknown): void;
  onRejected(channel: string, reason: string): void;
  /** Told of the sender of each message. */
  onHeard(uid: string, nsp: string): void;
}

/** PUB/SUB: what is not worth keeping. Everything on the channels is MessagePack. */
export class RequestBus {
  private readonly members = new Map<string, Set<BusMember>>();
  private readonly heartbeatChannel: string;
  private subscribed = false;
  private subscribing: Promise<void> = Promise.resolve();

  constructor(
    private readonly commands: RedisConnection,
    private readonly subscriber: () => RedisConnection,
    private readonly options: RequestBusOptions,
  ) {
    // A namespace begins with a slash, so no namespace's channel has this name.
    this.heartbeatChannel = `${options.channelPrefix}#heartbeat#${options.streamName}#`;
  }

  /** Whether messages are being received. */
  get isSubscribed(): boolean {
    return this.subscribed;
  }

  /** To be called when the subscriber's connection can be used. Resolves when all channels are subscribed. */
  onReady(): Promise<void> {
    return this.inTurn(async () => {
      await this.changeSubscriptions('subscribe', [this.heartbeatChannel, ...this.members.keys()]);
      this.subscribed = true;
    });
  }

  onLost(): void {
    this.subscribed = false;
  }

  /** Receives the messages of a namespace and the answers to this member. */
  async join(member: BusMember): Promise<void> {
    const added = this.channelsOf(member).filter((channel) => !this.members.has(channel));
    for (const channel of this.channelsOf(member)) {
      this.members.set(channel, (this.members.get(channel) ?? new Set()).add(member));
    }
    await this.inTurn(async () => {
      const wanted = added.filter((channel) => this.members.has(channel));
      if (this.subscriber().ready && wanted.length > 0) {
        await this.changeSubscriptions('subscribe', wanted);
      }
    });
  }

  async leave(member: BusMember): Promise<void> {
    for (const channel of this.channelsOf(member)) {
      const members = this.members.get(channel);
      members?.delete(member);
      if (members?.size === 0) {
        this.members.delete(channel);
      }
    }
    await this.inTurn(async () => {
      const unwanted = this.channelsOf(member).filter((channel) => !this.members.has(channel));
      if (this.subscriber().ready && unwanted.length > 0) {
        await this.changeSubscriptions('unsubscribe', unwanted);
      }
    });
  }

  /** Sends to all other servers of the namespace. Rejected if Redis cannot be reached now. */
  async publish(message: BusMessage): Promise<void> {
    await this.commands.publish(this.publicChannel(message.nsp), encodeMsgpack(message), this.timeout);
  }

  /** Sends to one server. */
  async respond(uid: string, message: BusMessage): Promise<void> {
    await this.commands.publish(this.privateChannel(message.nsp, uid), encodeMsgpack(message), this.timeout);
  }

  /** A heartbeat. As it has a deadline, it also finds out whether the connection still answers. */
  async announce(message: unknown): Promise<void> {
    await this.commands.publish(this.heartbeatChannel, encodeMsgpack(message), this.timeout);
  }

  /**
   * Asks Redis who is subscribed to a namespace.
   *
   * @param peers - uids, by the node that they belong to, of servers that may have the namespace
   */
  async census(member: BusMember, peers: readonly (readonly string[])[]): Promise<Census> {
    const nsp = member.name;
    const own = this.ownUids(nsp);
    const uids = [own, ...peers].flat();
    const channels = [this.publicChannel(nsp), ...uids.map((uid) => this.privateChannel(nsp, uid))];
    const [all = 0, ...counts] = await this.commands.countSubscribers(channels, this.timeout);
    const subscribed = new Set(uids.filter((_uid, i) => counts[i]! > 0));
    const processes = [own, ...peers].filter((servers) => servers.some((uid) => subscribed.has(uid))).length;
    subscribed.delete(member.uid);
    return { named: subscribed, others: Math.max(0, all - processes) };
  }

  /** Whether a server is there to hear what is sent to it alone. */
  async isSubscribedTo(nsp: string, uid: string): Promise<boolean> {
    const [count] = await this.commands.countSubscribers([this.privateChannel(nsp, uid)], this.timeout);
    return count! > 0;
  }

  /** A message of a subscribed channel. */
  receive(channel: string, payload: Buffer): void {
    try {
      const message = decodeMsgpack(payload);
      if (channel.endsWith(this.heartbeatChannel)) {
        this.options.onAnnouncement(message);
        return;
      }
      if (!isBusMessage(message)) {
        throw new Error('not a message with "uid", "nsp" and "type"');
      }
      this.options.onHeard(message.uid, message.nsp);
      for (const member of [...(this.members.get(channel) ?? [])]) {
        if (message.uid !== member.uid && message.nsp === member.name) {
          member.onMessage(message);
        }
      }
    } catch (error) {
      this.options.onRejected(channel, (error as Error).message);
    }
  }

  private get timeout(): number {
    return BEHIND_A_BATCH * this.options.commandTimeout;
  }

  private ownUids(nsp: string): string[] {
    return [...(this.members.get(this.publicChannel(nsp)) ?? [])].map(({ uid }) => uid);
  }

  private channelsOf({ name, uid }: BusMember): string[] {
    return [this.publicChannel(name), this.privateChannel(name, uid)];
  }

  private publicChannel(nsp: string): string {
    return `${this.options.channelPrefix}#${nsp}#`;
  }

  private privateChannel(nsp: string, uid: string): string {
    return `${this.options.channelPrefix}#${nsp}#${uid}#`;
  }

  private changeSubscriptions(how: 'subscribe' | 'unsubscribe', channels: string[]): Promise<void> {
    return this.subscriber()[how](channels, this.options.commandTimeout);
  }

  /** Subscribing and unsubscribing one after the other, so that the last word is the one that counts. */
  private inTurn(task: () => Promise<void>): Promise<void> {
    const done = this.subscribing.then(task);
    this.subscribing = done.catch(() => undefined); // the connection was lost: all is subscribed again when it is back
    return done;
  }
}

function isBusMessage(value: unknown): value is BusMessage {
  const message = value as Partial<BusMessage> | null;
  return (
    typeof message === 'object' &&
    typeof message?.uid === 'string' &&
    typeof message.nsp === 'string' &&
    typeof message.type === 'number'
  );
}
