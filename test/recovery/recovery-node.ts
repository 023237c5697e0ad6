import { setTimeout as sleep } from 'node:timers/promises';
import { Redis, type RedisOptions } from 'ioredis';
import type { Namespace, ServerOptions, Socket } from 'socket.io';
import type { RedisStreamsAdapterOptions } from '../../lib/adapter/index.js';
import { Member, type RedisServer, until } from '../kit/index.js';
import type { Visitor } from './visitor.js';

export interface NodeOptions {
  /** Redis' port. */
  port: number;
  /** The port that its reader connects to, if that is another. */
  readerPort?: number;
  /** The class of its client, if that is not ioredis 6's for one server. */
  Client?: new () => unknown;
  adapter?: RedisStreamsAdapterOptions;
  server?: Partial<ServerOptions>;
  /** @default { maxDisconnectionDuration: 60_000, skipMiddlewares: false } */
  recovery?: ServerOptions['connectionStateRecovery'];
  /** Namespaces besides "/". */
  namespaces?: string[];
  /** Milliseconds that the middleware takes, asked for each connection. */
  middleware?: (socket: Socket) => number | Promise<unknown>;
}

/** A node with connection state recovery. Clients join the rooms of their `auth` when they connect for the first time. */
export async function startNode({
  port,
  readerPort,
  Client,
  adapter,
  server,
  recovery = { maxDisconnectionDuration: 60_000, skipMiddlewares: false },
  namespaces = [],
  middleware,
}: NodeOptions): Promise<Member> {
  const member = await Member.start({
    port,
    client: false,
    ...(readerPort !== undefined && { Client: readingFrom(readerPort) }),
    ...(Client && { Client: Client }),
    // A node that is busy for a second or two must not take Redis for away, and a client for a new one.
    adapter: { commandTimeout: 10_000, ...adapter },
    server: { connectionStateRecovery: recovery, ...server },
  });
  for (const namespace of ['/', ...namespaces].map((name) => member.io.of(name))) {
    welcome(namespace, middleware);
  }
  return member;
}

/** A client whose duplicates that read the stream go to another port. */
function readingFrom(port: number): new (options: RedisOptions) => Redis {
  return class extends Redis {
    override duplicate(override: Partial<RedisOptions> = {}): Redis {
      const isReader = override.connectionName?.endsWith(':reader');
      return super.duplicate({ ...override, ...(isReader && { port }) });
    }
  };
}

/** A door that is closed until it is opened: a middleware waits at it. */
export class Gate {
  private open!: () => void;
  private readonly opened = new Promise<void>((resolve) => (this.open = resolve));
  /** How many have come to it. */
  arrivals = 0;

  pass(): Promise<void> {
    this.arrivals++;
    return this.opened;
  }

  release(): void {
    this.open();
  }
}

/** Middleware and listeners of a namespace. */
export function welcome(namespace: Namespace, middleware: NodeOptions['middleware']): void {
  if (middleware) {
    namespace.use((socket, next) => {
      const work = middleware(socket);
      (typeof work === 'number' ? sleep(work) : work).then(() => next(), next);
    });
  }
  namespace.on('connection', (socket) => {
    if (!socket.recovered) {
      void socket.join((socket.handshake.auth as { rooms?: string[] }).rooms ?? []);
    }
    socket.on('join', (room: string, done?: () => void) => {
      void socket.join(room);
      done?.();
    });
    socket.on('rooms', (answer: (rooms: string[]) => void) => answer([...socket.rooms]));
    socket.on('leave', (room: string, done?: () => void) => {
      void socket.leave(room);
      done?.();
    });
  });
}

/** Waits until the session of a connected client is in Redis, where the other nodes find it. */
export async function checkpointed(redis: RedisServer, { node }: Member, { pid }: Visitor): Promise<void> {
  const isFound = async (): Promise<boolean> =>
    (await redis.command('HEXISTS', `sio:session:live:${node.id}`, pid!)) === 1 &&
    (await redis.command('ZSCORE', 'sio:session:live:nodes', node.id)) !== null;
  await until(isFound, { what: 'the checkpoint' });
}

/** Waits until nodes have read what is in the stream. */
export async function haveReadAll(redis: RedisServer, nodes: readonly Member[], timeout?: number): Promise<void> {
  await until(
    async () => {
      const [last] = (await redis.command('XREVRANGE', 'socket.io', '+', '-', 'COUNT', '1')) as [string][];
      return nodes.every(({ node }) => node.status().streams[0]!.position === last![0]);
    },
    { what: 'all nodes to have read all', ...(timeout !== undefined && { timeout }) },
  );
}

/** The server's sockets of a client. */
export function socketsOf(node: Member, visitor: Visitor, namespace = '/'): Socket[] {
  return [...node.io.of(namespace).sockets.values()].filter(({ id }) => id === visitor.sid);
}
