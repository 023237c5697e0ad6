import { Redis, type RedisOptions } from 'ioredis';
import type { ServerOptions } from 'socket.io';
import { io as connect, type Socket } from 'socket.io-client';
import type { ClusterEvent, RedisStreamsAdapterFactory, RedisStreamsAdapterOptions } from '../../lib/adapter/index.js';
import { closeAfterwards } from './cleanup.js';
import { LocalServer } from './local-server.js';
import { createNotedAdapter, type NotedAdapter } from './noted-adapter.js';
import { until } from './until.js';

export interface MemberOptions {
  port: number;
  redis?: RedisOptions;
  /** Another class than ioredis 6's, to be made with the same options. */
  Client?: new (options: RedisOptions) => unknown;
  adapter?: RedisStreamsAdapterOptions;
  server?: Partial<ServerOptions>;
  /** Whether it serves a client that notes what it receives. @default true */
  client?: boolean;
  /** Whether it is there when its node runs; else, when its client is connected. @default true */
  waitsForRedis?: boolean;
}

const ADAPTER: RedisStreamsAdapterOptions = {
  ...{ heartbeatInterval: 200, heartbeatTimeout: 1_000 },
  ...{ blockTimeInMs: 1_000, commandTimeout: 1_500 },
};

interface MemberClient {
  disconnect(): void;
  on(event: 'error', listener: () => void): unknown;
}

/** A Socket.IO server of the cluster, with a client that notes what it receives. */
export class Member extends LocalServer {
  readonly factory: RedisStreamsAdapterFactory;
  readonly events: ClusterEvent[];
  /** The lines that it has logged. */
  readonly log: string[];
  /** The first argument of each `msg` event, in the order of arrival. */
  readonly received: unknown[] = [];
  socket!: Socket;

  private constructor(
    private readonly redis: MemberClient,
    { factory, events, log }: NotedAdapter,
    server?: Partial<ServerOptions>,
  ) {
    super(factory, server);
    this.factory = factory;
    this.events = events;
    this.log = log;
  }

  static async start({ port, redis, Client = Redis, adapter, server, ...options }: MemberOptions): Promise<Member> {
    const client = new Client({ port, host: '127.0.0.1', disconnectTimeout: 1, ...redis }) as MemberClient;
    client.on('error', () => undefined);
    const noted = createNotedAdapter(client, { ...ADAPTER, ...adapter });
    const member = closeAfterwards(new Member(client, noted, server));
    await member.listen();
    if (options.waitsForRedis ?? true) await member.node.start();
    if (options.client ?? true) {
      member.socket = member.connect();
      member.socket.on('msg', (value: unknown) => member.received.push(value));
      await until(() => member.socket.connected, { what: 'the client to connect' });
    }
    return member;
  }

  get node(): RedisStreamsAdapterFactory['node'] {
    return this.factory.node;
  }

  connect(options: object = {}): Socket {
    return connect(this.url, { transports: ['websocket'], forceNew: true, reconnectionDelay: 20, ...options });
  }

  eventsOf<T extends ClusterEvent['type']>(type: T): Extract<ClusterEvent, { type: T }>[] {
    return this.events.filter((event) => event.type === type) as Extract<ClusterEvent, { type: T }>[];
  }

  get counters() {
    return this.node.status().streams[0]!.counters;
  }

  override async close(): Promise<void> {
    this.socket?.disconnect();
    await super.close();
    this.redis.disconnect();
  }
}

/** Waits until every member has received `count` messages. */
export async function allReceived(members: Member[], count: number, timeout = 20_000): Promise<void> {
  try {
    await until(() => members.every(({ received }) => received.length >= count), {
      what: `${count} messages at ${members.length} clients`,
      timeout,
    });
  } catch (error) {
    throw new Error(
      `${(error as Error).message}: ${members.map(({ received }) => received.length).join(', ')}; ` +
        members.map(({ node }) => JSON.stringify(node.status())).join('\n'),
      { cause: error },
    );
  }
}

/** 0, 1, … count - 1 */
export function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** What was received of one sender, when each message is `[sender, number]`. */
export function from(sender: number, received: unknown[]): number[] {
  return (received as [number, number][]).filter(([one]) => one === sender).map(([, number]) => number);
}
