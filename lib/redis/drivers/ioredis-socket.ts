import type { Address } from '../cluster/cluster-slots.js';
import type { Command, CommandArg } from '../driver.js';
import type { RedisSocket, RedisSocketOptions } from '../redis-socket.js';
import { replyCode } from '../reply-code.js';
import { RespPipe, type ByteStream, type TransactionOutcome } from '../resp/resp-pipe.js';

/** Options of such a client that this package looks at. */
export interface IoredisOptions {
  keyPrefix?: string;
  db?: number;
  name?: string | null;
  sentinels?: Address[] | null;
  sentinelUsername?: string | null;
  sentinelPassword?: string | null;
  sentinelTLS?: object;
}

/** What a client of ioredis (or iovalkey) offers and this package uses. */
export interface IoredisClient {
  readonly options: IoredisOptions;
  readonly status: string;
  readonly stream?: ByteStream & {
    destroy(): void;
    once(event: 'data', listener: (chunk: Buffer) => void): unknown;
  };
  /** Commands without a reply. */
  readonly commandQueue?: { readonly length: number };
  duplicate(override?: object): IoredisClient;
  connect(): Promise<unknown>;
  disconnect(): void;
  call(command: string, args: CommandArg[]): Promise<unknown>;
  callBuffer(command: string, args: CommandArg[]): Promise<unknown>;
  subscribe(...channels: string[]): Promise<unknown>;
  unsubscribe(...channels: string[]): Promise<unknown>;
  ssubscribe(...channels: string[]): Promise<unknown>;
  sunsubscribe(...channels: string[]): Promise<unknown>;
  on(event: string, listener: (...args: never[]) => void): unknown;
}

/** The first byte of an error reply. */
const ERROR_REPLY = '-'.charCodeAt(0);

const names = new Map<CommandArg, string>();

/** In lower case, as ioredis has the names of commands: with each, it looks several times what kind of command it is. */
function nameOf([name]: Command): string {
  let lower = names.get(name!);
  if (lower === undefined) {
    lower = String(name).toLowerCase();
    names.set(name!, lower);
  }
  return lower;
}

/** A duplicate of a client that is used for one socket. */
export class IoredisSocket implements RedisSocket {
  /** The duplicate. */
  private readonly client: IoredisClient;
  /** Set by `destroy`: what the client says from then on is of no interest. */
  private isDestroyed = false;
  /** How often it was reported that a slot has moved, without those times that a subscription was rejected for it. */
  private moves = 0;
  /** The socket itself, once it was taken over. */
  private pipe: RespPipe | undefined;
  /** What the server has refused the connection with; see {@link RedisSocket}. */
  refusal: Error | undefined;

  /** @param where - options that say which server to connect to, if not that of the client */
  constructor(
    client: IoredisClient,
    private readonly options: RedisSocketOptions,
    where: object = {},
  ) {
    this.client = client.duplicate({
      lazyConnect: true,
      connectionName: options.connectionName,
      keyPrefix: '',
      // One socket, and nothing queued or sent again: what is above decides.
      retryStrategy: null,
      sentinelRetryStrategy: null,
      reconnectOnError: null,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      autoResubscribe: false,
      maxRetriesPerRequest: 0,
      disconnectTimeout: 1, // its timer would outlive a socket that is closed already
      // It would warn on the console of a user who may not call INFO; the server is checked above.
      enableReadyCheck: false,
      enableAutoPipelining: false,
      failoverDetector: false,
      role: 'master',
      readOnly: false,
      monitor: false,
      // A read blocks for as long as its BLOCK says; deadlines are set above.
      commandTimeout: undefined,
      socketTimeout: undefined,
      blockingTimeout: undefined,
      // Replies of one shape with ioredis 5 (RESP2) and ioredis 6 (RESP3).
      replyMapping: 'legacy',
      stringNumbers: false,
      showFriendlyErrorStack: false,
      himportFieldsets: undefined,
      ...where,
    });
    const { client: own } = this;
    own.on('error', (error: Error) => this.onClosed(error));
    own.on('close', () => this.onClosed(new Error('Redis closed the connection')));
    own.on('connect', () => own.stream?.once('data', (chunk) => this.onFirstData(chunk)));
    own.on('moved', () => this.onMoved());
    const onMessage = (channel: Buffer, payload: Buffer): void => options.onMessage(channel.toString(), payload);
    own.on('messageBuffer', onMessage);
    own.on('smessageBuffer', onMessage);
  }

  async open(): Promise<void> {
    await this.client.connect();
  }

  async takeOver(): Promise<void> {
    const { client } = this;
    await client.call('ping', []).catch(() => undefined); // what the library has sent is answered then
    const { stream, commandQueue } = client;
    if (stream && commandQueue?.length === 0 && !this.isDestroyed) {
      this.pipe = new RespPipe(stream, (error) => this.onClosed(error));
    }
  }

  call(command: Command): Promise<unknown> {
    if (this.pipe) {
      return this.pipe.call(command);
    }
    return this.client.call(nameOf(command), command.slice(1));
  }

  /** ioredis has bytes first, and would make strings of all of them. */
  read(command: Command): Promise<unknown> {
    if (this.pipe) {
      return this.pipe.read(command);
    }
    return this.client.callBuffer(nameOf(command), command.slice(1));
  }

  exchange(
    command: Command,
    isRead: boolean,
    onReply: (reply: unknown) => void,
    onError: (error: Error) => void,
  ): boolean {
    if (isRead) {
      this.pipe?.exchangeRead(command, onReply, onError);
    } else {
      this.pipe?.exchange(command, onReply, onError);
    }
    return this.pipe !== undefined;
  }

  send(commands: readonly Command[]): Promise<unknown>[] {
    const last = commands.length - 1;
    const { stream } = this.client;
    stream?.cork();
    try {
      return commands.map((command, i) => (i < last ? this.read(command) : this.call(command)));
    } finally {
      stream?.uncork();
    }
  }

  transaction(commands: readonly Command[], asking: boolean): Promise<TransactionOutcome> | undefined {
    return this.pipe?.transaction(commands, asking);
  }

  subscribe(channels: readonly string[]): Promise<unknown> {
    return this.options.sharded
      ? Promise.all(channels.map((channel) => this.ssubscribe(channel)))
      : this.client.subscribe(...channels);
  }

  unsubscribe(channels: readonly string[]): Promise<unknown> {
    return this.options.sharded
      ? Promise.all(channels.map((channel) => this.client.sunsubscribe(channel)))
      : this.client.unsubscribe(...channels);
  }

  destroy(): void {
    this.isDestroyed = true;
    this.client.disconnect();
    this.client.stream?.destroy(); // else it would wait for the server to close its half
  }

  /** A server that takes no more connections says so to whatever was sent first; that is a command which may fail. */
  private onFirstData(chunk: Buffer): void {
    if (chunk[0] === ERROR_REPLY) {
      this.refusal = new Error(chunk.subarray(1, chunk.indexOf('\r\n')).toString());
    }
  }

  private async ssubscribe(channel: string): Promise<void> {
    try {
      await this.client.ssubscribe(channel);
    } catch (error) {
      if (replyCode(error) === 'MOVED') {
        this.moves = Math.max(0, this.moves - 1);
      }
      throw error;
    }
  }

  /**
   * A slot has moved: the server has ended subscriptions, or refuses to make one. ioredis 6 reports both by one event;
   * ioredis 5 and iovalkey the first by an 'error', and ioredis 5 leaves the promise of the second pending. One that is
   * rejected is the caller's to see; in all other cases the connection is made anew, and with it its subscriptions.
   */
  private onMoved(): void {
    this.moves++;
    setImmediate(() => {
      if (this.moves > 0) {
        this.onClosed(new Error('the slot of a sharded channel has moved'));
      }
    });
  }

  private onClosed(error: Error): void {
    if (!this.isDestroyed) {
      this.options.onClosed(error);
    }
  }
}
