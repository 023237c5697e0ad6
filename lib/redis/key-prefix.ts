import type { Command, Keyspace, OpenOptions, RedisConnection } from './driver.js';

/** Where a command has its key. */
export function keyIndex(command: Command): number {
  switch (String(command[0]).toUpperCase()) {
    case 'XREAD':
      return command.findIndex((word) => String(word).toUpperCase() === 'STREAMS') + 1;
    case 'XINFO':
      return 2;
    default:
      return 1;
  }
}

/** The key of a command. */
export function keyOf(command: Command): string {
  return String(command[keyIndex(command)]);
}

/** What a user's client puts before names. */
export interface Prefix {
  /** Before keys. */
  key: string;
  /** Before the names of sharded channels, which ioredis takes for keys; those of other channels have none. */
  shardedChannel: string;
}

/** @param database - number of the database that the client selects; in a cluster, there is only the first */
export function keyspaceOf({ key, shardedChannel }: Prefix, database: number | undefined = 0): Keyspace {
  return { database: Number(database), keyPrefix: key, prefixesShardedChannels: shardedChannel !== '' };
}

/** Opens a connection whose keys, and sharded channels, have a prefix that its owner does not see. */
export function withPrefix(
  prefix: Prefix,
  options: OpenOptions,
  open: (options: OpenOptions) => RedisConnection,
): RedisConnection {
  if (prefix.key === '' && prefix.shardedChannel === '') {
    return open(options);
  }
  const { listener, key, sharded } = options;
  const channelPrefix = sharded ? prefix.shardedChannel : '';
  const connection = open({
    ...options,
    ...(key !== undefined && { key: prefix.key + key }),
    listener: {
      onReady: () => listener.onReady(),
      onLost: (error) => listener.onLost(error),
      onMessage: (channel, payload) => listener.onMessage?.(channel.slice(channelPrefix.length), payload),
    },
  });
  return new PrefixedConnection(connection, prefix.key, channelPrefix);
}

class PrefixedConnection implements RedisConnection {
  constructor(
    private readonly connection: RedisConnection,
    private readonly keyPrefix: string,
    private readonly channelPrefix: string,
  ) {}

  get ready(): boolean {
    return this.connection.ready;
  }

  call(command: Command, timeout?: number): Promise<unknown> {
    return this.connection.call(this.prefixed(command), timeout);
  }

  read(command: Command, timeout?: number): Promise<unknown> {
    return this.connection.read(this.prefixed(command), timeout);
  }

  transaction(commands: readonly Command[], timeout?: number): Promise<unknown[]> {
    const prefixed = commands.map((command) => this.prefixed(command));
    return this.connection.transaction(prefixed, timeout);
  }

  publish(channel: string, payload: Buffer, timeout?: number): Promise<void> {
    return this.connection.publish(this.channelPrefix + channel, payload, timeout);
  }

  subscribe(channels: readonly string[], timeout?: number): Promise<void> {
    return this.connection.subscribe(this.named(channels), timeout);
  }

  unsubscribe(channels: readonly string[], timeout?: number): Promise<void> {
    return this.connection.unsubscribe(this.named(channels), timeout);
  }

  countSubscribers(channels: readonly string[], timeout?: number): Promise<number[]> {
    return this.connection.countSubscribers(this.named(channels), timeout);
  }

  reset(): void {
    this.connection.reset();
  }

  close(): Promise<void> {
    return this.connection.close();
  }

  private named(channels: readonly string[]): string[] {
    return channels.map((channel) => this.channelPrefix + channel);
  }

  private prefixed(command: Command): Command {
    const index = keyIndex(command);
    return command.map((word, i) => (i === index ? this.keyPrefix + String(word) : word));
  }
}
