import type { Command, CommandArg } from '../driver.js';
import type { RedisSocket, RedisSocketOptions } from '../redis-socket.js';
import { replyCode } from '../reply-code.js';

type MessageListener = (payload: Buffer, channel: Buffer) => void;

/** What a client of node-redis (the package `redis`), made with `createClient`, offers and this package uses. */
export interface NodeRedisClient {
  readonly options?: { socket?: object; keyPrefix?: string; database?: number };
  duplicate(overrides?: object): NodeRedisClient;
  connect(): Promise<unknown>;
  sendCommand(command: CommandArg[]): Promise<unknown>;
  subscribe(channels: string[], listener: MessageListener, bufferMode: true): Promise<unknown>;
  unsubscribe(channels: string[], listener: MessageListener, bufferMode: true): Promise<unknown>;
  sSubscribe(channel: string, listener: MessageListener, bufferMode: true): Promise<unknown>;
  sUnsubscribe(channel: string, listener: MessageListener, bufferMode: true): Promise<unknown>;
  /** Since node-redis 5. */
  destroy?(): unknown;
  /** Until node-redis 4. */
  disconnect?(): unknown;
  on(event: string, listener: (...args: never[]) => void): unknown;
}

/** How a client logs in. A provider is asked by the library before each connection (since node-redis 5). */
export interface NodeRedisLogin {
  username?: string | undefined;
  password?: string | undefined;
  credentialsProvider?: object | undefined;
}

/** Clients whose server does not let a connection have a name: node-redis 4 and 5 take that for a failure of it. */
const nameless = new WeakSet<NodeRedisClient>();

function isNameRefused(error: Error): boolean {
  return ['ERR', 'NOPERM'].includes(replyCode(error) ?? '') && /\b(client|setname)\b/i.test(error.message);
}

/** A duplicate of a client that is used for one socket. */
export class NodeRedisSocket implements RedisSocket {
  private readonly client: NodeRedisClient;
  private readonly aborting = new AbortController();
  private readonly onMessage: MessageListener;

  /**
   * @param where - host and port of the server, if it is not that of the client
   * @param login - how it is logged in to, if not as with the client
   */
  constructor(
    private readonly template: NodeRedisClient,
    private readonly options: RedisSocketOptions,
    where?: { host: string; port: number },
    { socket, ...login }: NodeRedisLogin & { socket?: object } = {},
  ) {
    const client = template;
    this.client = client.duplicate({
      ...(where && { url: undefined }), // it would win over the socket's options
      ...login,
      name: nameless.has(client) ? undefined : options.connectionName,
      socket: {
        ...(socket ?? client.options?.socket),
        ...where,
        // One socket: what is above reconnects. A client that reconnects would subscribe again and move commands.
        reconnectStrategy: false,
        socketTimeout: undefined,
        // Given to net.connect: the only way to end a socket that is still connecting.
        signal: this.aborting.signal,
      },
      disableOfflineQueue: true,
      commandsQueueMaxLength: undefined,
      pingInterval: undefined,
      readonly: false,
      legacyMode: false,
      keyPrefix: undefined,
      clientSideCache: undefined,
      emitInvalidate: false,
      maintNotifications: 'disabled',
      // Replies are strings, whatever the user's client maps them to; deadlines are set above.
      commandOptions: { typeMapping: {}, timeout: undefined },
    });
    const { client: own } = this;
    own.on('error', (error: Error) => this.onClosed(error));
    own.on('end', () => this.onClosed(new Error('Redis closed the connection')));
    own.on('sharded-channel-moved', () => this.onClosed(new Error('the slot of a sharded channel has moved')));
    this.onMessage = (payload, channel) => options.onMessage(channel.toString(), payload);
  }

  async open(): Promise<void> {
    try {
      await this.client.connect();
    } catch (error) {
      if (isNameRefused(error as Error)) {
        nameless.add(this.template);
      }
      throw error;
    }
  }

  call(command: Command): Promise<unknown> {
    return this.client.sendCommand([...command]);
  }

  /** node-redis makes strings at once. */
  read(command: Command): Promise<unknown> {
    return this.call(command);
  }

  send(commands: readonly Command[]): Promise<unknown>[] {
    return commands.map((command) => this.call(command));
  }

  subscribe(channels: readonly string[]): Promise<unknown> {
    return this.options.sharded
      ? Promise.all(channels.map((channel) => this.client.sSubscribe(channel, this.onMessage, true)))
      : this.client.subscribe([...channels], this.onMessage, true);
  }

  unsubscribe(channels: readonly string[]): Promise<unknown> {
    return this.options.sharded
      ? Promise.all(channels.map((channel) => this.client.sUnsubscribe(channel, this.onMessage, true)))
      : this.client.unsubscribe([...channels], this.onMessage, true);
  }

  destroy(): void {
    this.aborting.abort();
    destroyQuietly(this.client);
  }

  private onClosed(error: Error): void {
    if (!this.aborting.signal.aborted) {
      this.options.onClosed(error);
    }
  }
}

/** Ends a client at once. One that is not open, or was ended, throws (node-redis 5, 6) or rejects (4). */
export function destroyQuietly(client: { destroy?(): unknown; disconnect?(): unknown }): void {
  try {
    const ended = client.destroy ? client.destroy() : client.disconnect?.();
    if (ended instanceof Promise) {
      ended.catch(() => undefined);
    }
  } catch {
    // It was ended.
  }
}
