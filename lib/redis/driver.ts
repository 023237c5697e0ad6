/** One word of a Redis command. */
export type CommandArg = string | Buffer;

/** A Redis command: its name and its arguments. */
export type Command = readonly CommandArg[];

/** What a connection is for. It is the last part of the name that `CLIENT LIST` shows. */
export type ConnectionRole = 'commands' | 'reader' | 'subscriber';

/** What the owner of a connection is called with. */
export interface ConnectionListener {
  /** The connection can be used. Called again after each reconnection. */
  onReady(): void;
  /** The connection is gone, or an attempt to open it failed. Another attempt follows by itself. */
  onLost(error: Error): void;
  /** A message of a subscribed channel. */
  onMessage?(channel: string, payload: Buffer): void;
  /** Something about the server that its owner should know, as a sentence. Called again with each connection made. */
  onWarning?(warning: string): void;
}

/**
 * One connection to Redis (in Redis Cluster: one cluster client).
 *
 * It reconnects by itself, for ever, and never queues: a command is sent now or rejected now, and a command whose
 * connection is lost is rejected, never sent again.
 *
 * A reply that does not come within `timeout` milliseconds (none: for ever) is a RedisTimeoutError, and the connection is
 * dropped, for a late reply could not be distinguished from the next one's.
 */
export interface RedisConnection {
  /** Whether a command would be sent now. */
  readonly ready: boolean;
  /**
   * Sends one command of one key. Replies are those of RESP2: strings, integers as numbers, nulls and arrays of them; a
   * map may come as a `Map`, as an object or as pairs.
   */
  call(command: Command, timeout?: number): Promise<unknown>;
  /** The same, but each string may come as its bytes, if that costs the client less. */
  read(command: Command, timeout?: number): Promise<unknown>;
  /** Runs commands, all of whose keys lie in one slot, as `MULTI … EXEC`: all of them or none. */
  transaction(commands: readonly Command[], timeout?: number): Promise<unknown[]>;
  /** Sends one command that names no key, such as `PUBLISH`. */
  publish(channel: string, payload: Buffer, timeout?: number): Promise<void>;
  /** Subscribes to channels; their messages go to `onMessage`. Subscriptions do not survive a reconnection. */
  subscribe(channels: readonly string[], timeout?: number): Promise<void>;
  /** Ends subscriptions. */
  unsubscribe(channels: readonly string[], timeout?: number): Promise<void>;
  /** The number of subscribed connections of each channel, in the whole deployment. */
  countSubscribers(channels: readonly string[], timeout?: number): Promise<number[]>;
  /**
   * Drops the connection because it does not answer; another is opened by itself. In a cluster these are the
   * connections on which a reply is awaited, and all of a subscriber, which awaits none.
   */
  reset(): void;
  /** Closes the connection for good. Commands under way are rejected. */
  close(): Promise<void>;
}

/** How this package speaks with one kind of Redis client. */
export interface RedisDriver {
  /** The client's package, such as `ioredis`. */
  readonly name: string;
  /** Whether the client speaks with a Redis Cluster. */
  readonly isCluster: boolean;
  /** What the user's client puts before names; nothing, if it is not given. Connections do not: their owner does. */
  readonly prefix?: NamePrefix;
  /** The number of the database that the client uses; 0, if it is not given. PUB/SUB knows no databases. */
  readonly database?: number;
  /** Opens a connection of our own to where the user's client points; the client itself is never touched. */
  open(options: OpenOptions): RedisConnection;
}

/** What a client puts before the names that it is given. */
export interface NamePrefix {
  /** Before keys. */
  readonly keys: string;
  /** Before the names of sharded channels, which ioredis takes for keys; those of other channels have none. */
  readonly shardedChannels: string;
}

/** What a connection is to be. */
export interface OpenOptions {
  /** What it is for. */
  role: ConnectionRole;
  /** Shown by `CLIENT LIST`. */
  connectionName: string;
  /** Whether PUB/SUB is sharded (`SSUBSCRIBE`, `SPUBLISH`). */
  sharded: boolean;
  /** The only key that a reader uses. In a cluster, its connection is to the master of this key. */
  key?: string;
  /** For a connection that mostly only listens: how it is found out that its server is gone without a word. */
  probe?: ProbeOptions;
  /** Whether the server is taken as it is, without a look at what it says of itself and whether it can do all. */
  skipServerCheck?: boolean;
  /** What is called when something happens to it. */
  listener: ConnectionListener;
}

/** A connection on which nothing has arrived for `interval` is sent a `PING`, and dropped if that has no reply. */
export interface ProbeOptions {
  /** Milliseconds. */
  interval: number;
  /** Milliseconds that the reply may take. */
  timeout: number;
}
