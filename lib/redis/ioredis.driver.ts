import { Backoff } from './backoff.js';
import type { Command, CommandArg, ConnectionListener, OpenOptions, RedisConnection, RedisDriver } from './driver.js';

/** What a client of ioredis (or iovalkey) offers and this package uses. */
export interface IoredisClient {
  readonly options: object;
  readonly status: string;
  duplicate(override?: object): IoredisClient;
  connect(): Promise<unknown>;
  disconnect(): void;
  call(command: string, ...args: CommandArg[]): Promise<unknown>;
  multi(): IoredisTransaction;
  publish(channel: string, payload: Buffer): Promise<unknown>;
  spublish(channel: string, payload: Buffer): Promise<unknown>;
  subscribe(...channels: string[]): Promise<unknown>;
  unsubscribe(...channels: string[]): Promise<unknown>;
  ssubscribe(...channels: string[]): Promise<unknown>;
  sunsubscribe(...channels: string[]): Promise<unknown>;
  on(event: string, listener: (...args: never[]) => void): unknown;
}

interface IoredisTransaction {
  call(command: string, ...args: CommandArg[]): unknown;
  exec(): Promise<[Error | null, unknown][] | null>;
}

/** ioredis 5 and 6 and iovalkey, with a single server or through Sentinel. */
export class IoredisDriver implements RedisDriver {
  readonly name = 'ioredis';
  readonly isCluster = false;

  constructor(private readonly client: IoredisClient) {}

  open(options: OpenOptions): RedisConnection {
    return new IoredisConnection(this.client, options);
  }
}

class IoredisConnection implements RedisConnection {
  private readonly client: IoredisClient;
  private readonly backoff = new Backoff();
  private lastError: Error | undefined;

  constructor(
    client: IoredisClient,
    private readonly options: OpenOptions,
  ) {
    this.client = client.duplicate({
      lazyConnect: true,
      connectionName: options.connectionName,
      // The outbox and the reader decide what is sent again; a client that queues or resends would do it twice.
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      autoResubscribe: false,
      maxRetriesPerRequest: 0,
      enableAutoPipelining: false,
      commandTimeout: undefined,
      socketTimeout: undefined,
      blockingTimeout: undefined,
      readOnly: false,
      replyMapping: 'legacy',
      reconnectOnError: null,
      retryStrategy: () => this.backoff.next(),
    });
    this.listen(options.listener);
    this.client.connect().catch(() => undefined); // told by 'error' and 'close'
  }

  get ready(): boolean {
    return this.client.status === 'ready';
  }

  call([name, ...args]: Command): Promise<unknown> {
    return this.client.call(String(name), ...args);
  }

  async transaction(commands: readonly Command[]): Promise<unknown[]> {
    const transaction = this.client.multi();
    for (const [name, ...args] of commands) {
      transaction.call(String(name), ...args);
    }
    const results = await transaction.exec();
    if (!results) {
      throw new Error('the transaction was aborted');
    }
    return results.map(([error, reply]) => {
      if (error) {
        throw error;
      }
      return reply;
    });
  }

  async publish(channel: string, payload: Buffer): Promise<void> {
    await (this.options.sharded ? this.client.spublish(channel, payload) : this.client.publish(channel, payload));
  }

  async subscribe(channels: readonly string[]): Promise<void> {
    if (this.options.sharded) {
      await Promise.all(channels.map((channel) => this.client.ssubscribe(channel)));
    } else if (channels.length > 0) {
      await this.client.subscribe(...channels);
    }
  }

  async unsubscribe(channels: readonly string[]): Promise<void> {
    if (this.options.sharded) {
      await Promise.all(channels.map((channel) => this.client.sunsubscribe(channel)));
    } else if (channels.length > 0) {
      await this.client.unsubscribe(...channels);
    }
  }

  async countSubscribers(channels: readonly string[]): Promise<number[]> {
    const reply = (await this.call(['PUBSUB', this.options.sharded ? 'SHARDNUMSUB' : 'NUMSUB', ...channels])) as unknown[];
    return channels.map((_channel, i) => Number(reply[2 * i + 1]));
  }

  reset(): void {
    const { stream } = this.client as { stream?: { destroy(): void } };
    stream?.destroy();
  }

  async close(): Promise<void> {
    if (this.client.status === 'end') {
      return;
    }
    const ended = new Promise<void>((resolve) => this.client.on('end', resolve));
    this.client.disconnect();
    this.reset();
    await ended;
  }

  private listen(listener: ConnectionListener): void {
    const { client } = this;
    client.on('ready', () => {
      this.backoff.reset();
      this.lastError = undefined;
      listener.onReady();
    });
    client.on('error', (error: Error) => (this.lastError = error));
    client.on('close', () => listener.onLost(this.lastError ?? new Error('the connection to Redis was closed')));
    const onMessage = (channel: Buffer, payload: Buffer): void => listener.onMessage?.(channel.toString(), payload);
    client.on('messageBuffer', onMessage);
    client.on('smessageBuffer', onMessage);
  }
}
