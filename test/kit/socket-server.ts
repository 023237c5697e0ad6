import { createServer, type Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAdapter as createReferenceAdapter } from '@socket.io/redis-streams-adapter';
import { Server, type Namespace, type ServerOptions } from 'socket.io';
import { createAdapter, type ClusterEvent, type ClusterMember } from '../../lib/adapter/index.js';
import type { RedisStreamsAdapterOptions } from '../../lib/adapter/index.js';
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
export class SocketServer implements TaskContext {
  readonly io: Server;
  readonly seen: any[] = [];
  readonly disconnects: string[] = [];
  readonly events: ClusterEvent[] = [];
  readonly node?: ClusterMember;
  /** What the node has logged. */
  readonly log: string[] = [];
  private readonly http: HttpServer = createServer();

  private constructor(
    { adapter, options, server }: SocketServerOptions,
    private readonly redis: OpenRedisClient | undefined,
  ) {
    let factory: unknown;
    if (adapter === 'ours') {
      const log = (line: string): void => void this.log.push(line);
      const ours = createAdapter(redis!.client, options, { log, warn: log, error: log });
      ours.node.subscribe({ onEvent: (event) => this.events.push(event) });
      this.node = ours.node;
      factory = ours;
    } else if (adapter === 'reference') {
      factory = createReferenceAdapter(redis!.client, options);
    }
    this.io = new Server(this.http, { ...(factory ? { adapter: factory as never } : {}), ...server });
    welcome(this.io.of('/'));
    this.io.on('new_namespace', welcome);
    this.io.on('connection', (socket) => socket.on('disconnect', (reason) => this.disconnects.push(reason)));
  }

  static async start(options: SocketServerOptions): Promise<SocketServer> {
    const kind = options.adapter === 'reference' ? CLIENT_OF_REFERENCE : options.client;
    const redis = options.adapter === 'in-memory' ? undefined : await openRedisClient(kind, options.address);
    try {
      const server = new SocketServer(options, redis);
      await new Promise<void>((resolve) => server.http.listen(0, '127.0.0.1', resolve));
      await server.node?.start();
      return server;
    } catch (error) {
      await redis?.close();
      throw error;
    }
  }

  get url(): string {
    return `http://127.0.0.1:${(this.http.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    await this.io.close();
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
