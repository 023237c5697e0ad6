import { createAdapter as createReferenceAdapter } from '@socket.io/redis-streams-adapter';
import type { Namespace, Server, ServerOptions } from 'socket.io';
import type { ClusterEvent, ClusterMember, RedisStreamsAdapterOptions } from '../../lib/adapter/index.js';
import { LocalServer } from './local-server.js';
import { createNotedAdapter } from './noted-adapter.js';
import { openRedisClient, type OpenRedisClient, type RedisAddress, type RedisClientKind } from './redis-client.js';

/** Whose adapter a Socket.IO server uses: this package's, the one of Socket.IO's authors, or none. */
export type AdapterKind = 'ours' | 'reference' | 'in-memory';

export interface SocketServerOptions {
  adapter: AdapterKind;
  client: RedisClientKind;
  address: RedisAddress;
  options: RedisStreamsAdapterOptions;
  server: Partial<ServerOptions>;
}

/** What a task is given that runs beside a Socket.IO server. */
export interface TaskContext {
  io: Server;
  /** Where a task notes what a later one is to look at. */
  seen: any[];
  /** Why sockets of the main namespace were disconnected. */
  disconnects: string[];
  /** Absent with another adapter than ours. */
  node?: ClusterMember;
  /** What the node has told so far. */
  events: ClusterEvent[];
}

/** The reference cannot read the replies of ioredis 6, nor those of newer versions of node-redis. */
const CLIENT_OF_REFERENCE: RedisClientKind = 'ioredis 5';

/** A Socket.IO server that lets clients say, in their handshake, which rooms and data they are to have. */
export class SocketServer extends LocalServer implements TaskContext {
  readonly seen: any[] = [];
  readonly disconnects: string[] = [];
  readonly events: ClusterEvent[];
  readonly node?: ClusterMember;
  /** What the node has logged. */
  readonly log: string[];

  private constructor(
    { adapter, options, server }: SocketServerOptions,
    private readonly redis: OpenRedisClient | undefined,
  ) {
    const ours = adapter === 'ours' ? createNotedAdapter(redis!.client, options) : undefined;
    super(adapter === 'reference' ? createReferenceAdapter(redis!.client, options) : ours?.factory, server);
    this.events = ours?.events ?? [];
    this.log = ours?.log ?? [];
    if (ours) this.node = ours.factory.node;
    welcome(this.io.of('/'));
    this.io.on('new_namespace', welcome);
    this.io.on('connection', (socket) => socket.on('disconnect', (reason) => this.disconnects.push(reason)));
  }

  static async start(options: SocketServerOptions): Promise<SocketServer> {
    const kind = options.adapter === 'reference' ? CLIENT_OF_REFERENCE : options.client;
    const redis = options.adapter === 'in-memory' ? undefined : await openRedisClient(kind, options.address);
    try {
      const server = new SocketServer(options, redis);
      await server.listen();
      await server.node?.start();
      return server;
    } catch (error) {
      await redis?.close();
      throw error;
    }
  }

  override async close(): Promise<void> {
    await super.close();
    await this.redis?.close();
  }
}

function welcome(namespace: Namespace): void {
  namespace.on('connection', (socket) => {
    const { rooms, data } = socket.handshake.auth as { rooms?: string[]; data?: object };
    if (!socket.recovered) {
      void socket.join(rooms ?? []);
      Object.assign(socket.data as object, data);
    }
  });
}
