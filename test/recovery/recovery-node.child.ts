import { monitorEventLoopDelay } from 'node:perf_hooks';
import { createAdapter as createReference } from '@socket.io/redis-streams-adapter';
import { Cluster, Redis } from 'ioredis';
import { Redis as Redis5 } from 'ioredis-5';
import type { Server } from 'socket.io';
import type { ClusterMember } from '../../lib/adapter/index.js';
import { LocalServer } from '../kit/local-server.js';
import { childOptions, serve } from '../kit/node-process-child.js';
import { Random } from '../kit/random.js';
import { Ledger, send, type Message } from './ledger.js';
import { startNode, welcome } from './recovery-node.js';
import type { RecoveryProcessOptions } from './recovery-process.js';
import type { RedisPlace } from './topology.js';

/** What a node has reported, as events. */
export interface NodeReports {
  /** Entries of a node (`origin`) that were lost before an entry with this id. */
  losses: { origin: string; before: string }[];
  /** When it was without Redis, in milliseconds since 1970; null: it still is. */
  outages: { from: number; upTo: number | null }[];
}

/** A node with connection state recovery, in a process of its own. */
const options = childOptions<RecoveryProcessOptions>();
const { clockAhead, place = { kind: 'single', port: options.port! } } = options;
if (clockAhead !== undefined) {
  const now = Date.now;
  Date.now = () => now() + clockAhead;
}
const { io, url, node, close } = await (options.kind === 'ours' ? startOurs() : startReference());
const namespace = io.of(options.namespace ?? '/');

const reasons: Record<string, string[]> = {};
namespace.on('connection', (socket) => {
  socket.on('where', (answer: (id: string | undefined) => void) => answer(node?.id));
  socket.data.connections = ((socket.data.connections as number | undefined) ?? 0) + 1;
  socket.on('disconnect', (reason) => (reasons[socket.id] ??= []).push(reason));
});
const delay = monitorEventLoopDelay({ resolution: 1 });
const reports: NodeReports = { losses: [], outages: [] };
node?.subscribe({
  onEvent: (event) => {
    if (event.type === 'gap' && event.reason === 'lost') {
      reports.losses.push({ origin: event.origin, before: event.before });
    } else if (event.type === 'redis-lost') {
      reports.outages.push({ from: Date.now(), upTo: null });
    } else if (event.type === 'redis-reconnected') {
      reports.outages.at(-1)!.upTo = Date.now();
    }
  },
});
let load: NodeJS.Timeout | undefined;
let sent = 0;

serve({
  url: () => url,
  id: () => node?.id,
  reports: () => reports,
  status: () => JSON.parse(JSON.stringify(node?.status() ?? null)) as unknown,
  emit: (value: unknown, rooms: string[] = [], except: string[] = []) => {
    namespace.to(rooms).except(except).emit('msg', value);
  },
  /** Appends so many entries: one in `every` is for all, the others for rooms where nobody is. */
  fill: (count: number, every: number) => {
    for (let i = 0; i < count; i++) {
      (i % every === 0 ? namespace : namespace.to(`nobody ${i}`)).emit('msg', i, 'x'.repeat(100));
    }
  },
  /** Sends so many messages to rooms where nobody is. */
  whisper: (count: number) => {
    for (let i = 0; i < count; i++) {
      namespace.to(`nobody ${i}`).emit('nothing', i);
    }
  },
  /** Sends so many messages to all, each an array of so many small objects. */
  emitObjects: (count: number, size: number, text: string) => {
    for (let i = 0; i < count; i++) {
      const objects = Array.from({ length: size }, (_, n) => ({ i, n, name: `${text} ${n}`, ok: true }));
      namespace.except(`nobody ${i}`).emit('objects', objects);
    }
  },
  /** Bytes of the heap, without what is garbage. */
  memoryUsed: () => {
    (globalThis as { gc?: () => void }).gc!();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  },
  emitVolatile: (value: unknown) => namespace.volatile.emit('volatile', value),
  /** Broadcasts messages at random, named `name` and a number. */
  startLoad: (name: string, seed: number, interval: number, sids: string[]) => {
    const random = new Random(seed);
    load = setInterval(() => {
      const message = Ledger.random(`${name} ${sent++}`, random, sids.length);
      send(namespace, message, sids);
    }, interval);
  },
  stopLoad: () => {
    clearInterval(load);
    return sent;
  },
  send: (message: Message, sids: string[]) => send(namespace, message, sids),
  sids: () => [...namespace.sockets.keys()],
  socket: (sid: string) => {
    const socket = namespace.sockets.get(sid);
    return socket && { rooms: [...socket.rooms], data: socket.data as unknown, recovered: socket.recovered };
  },
  setData: (sid: string, data: object) => {
    Object.assign(namespace.sockets.get(sid)!.data as object, data);
  },
  /** Why a socket was disconnected, each time. */
  disconnects: (sid: string) => reasons[sid] ?? [],
  startMeasuring: () => {
    delay.enable();
    delay.reset();
  },
  /** The longest time for which the event loop was busy, in milliseconds. */
  longestPause: () => {
    delay.disable();
    return delay.max / 1e6;
  },
  close: () => close(),
});

async function startOurs(): Promise<{ io: Server; url: string; node?: ClusterMember; close: () => Promise<unknown> }> {
  const { adapter, middleware = 0, skipMiddlewares = false, maxDisconnectionDuration = 60_000 } = options;
  const random = new Random(process.pid);
  const member = await startNode({
    ...(place.kind === 'single' ? { port: place.port } : { port: 0, Client: clientFor(place) }),
    ...(adapter && { adapter }),
    ...(options.namespace !== undefined && { namespaces: [options.namespace] }),
    recovery: { maxDisconnectionDuration, skipMiddlewares },
    ...(middleware > 0 && { middleware: () => random.between(0, middleware) }),
  });
  return { io: member.io, url: member.url, node: member.node, close: () => member.close() };
}

function clientFor(place: Exclude<RedisPlace, { kind: 'single' }>): new () => unknown {
  const { natMap } = place;
  if (place.kind === 'cluster') {
    const { nodes } = place;
    return class extends Cluster {
      constructor() {
        super(nodes, { natMap });
      }
    };
  }
  const { name, sentinels } = place;
  return class extends Redis {
    constructor() {
      super({ name, sentinels, natMap, updateSentinels: false });
    }
  };
}

async function startReference(): ReturnType<typeof startOurs> {
  const { adapter = {}, middleware = 0, skipMiddlewares = false, maxDisconnectionDuration = 60_000 } = options;
  if (place.kind !== 'single') throw new Error('A node of the reference is tried with a single server only');
  const redis = new Redis5({ port: place.port, host: '127.0.0.1' });
  const server = new LocalServer(createReference(redis, adapter), {
    connectionStateRecovery: { maxDisconnectionDuration, skipMiddlewares },
  });
  const random = new Random(process.pid);
  const { io } = server;
  welcome(io.of(options.namespace ?? '/'), middleware > 0 ? () => random.between(0, middleware) : undefined);
  await server.listen();
  const close = async (): Promise<void> => {
    await server.close();
    redis.disconnect();
  };
  return { io, url: server.url, close };
}
