import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { Server } from 'socket.io';
import { io as connect, type Socket } from 'socket.io-client';
import { createAdapter, type ClusterEvent } from '../../lib/adapter/index.js';
import { LocalServer } from '../kit/local-server.js';
import { childOptions, serve } from '../kit/node-process-child.js';
import { RedisServer } from '../kit/redis-server.js';
import { until } from '../kit/until.js';

/**
 * Listeners of an application throw while others are given the same. A process of its own: an uncaught exception would end
 * another.
 */
const { mode } = childOptions<{ mode: 'in-memory' | 'local-first' | 'log' }>();
const uncaught: string[] = [];
process.on('uncaughtException', (error) => uncaught.push(error.message));
process.on('unhandledRejection', (error) => uncaught.push(`rejection: ${String(error)}`));

const redis = mode === 'in-memory' ? undefined : await RedisServer.start();
const events: ClusterEvent[] = [];
const silent = { log() {}, warn() {}, error() {} };

async function start(): Promise<{ io: Server; clients: Socket[]; received: unknown[][] }> {
  const client = redis && new Redis(redis.port, '127.0.0.1');
  const options = { heartbeatInterval: 200, ordering: mode as 'log' };
  const adapter = client && createAdapter(client, options, silent);
  adapter?.node.subscribe({ onEvent: (event) => events.push(event) });
  const server = new LocalServer(adapter, { connectionStateRecovery: {} });
  const { io } = server;
  await server.listen();
  await adapter?.node.start();
  const received: unknown[][] = [];
  const clients: Socket[] = [];
  for (let i = 0; i < 3; i++) {
    const socket = connect(server.url, { transports: ['websocket'] });
    const mine: unknown[] = [];
    received.push(mine);
    socket.on('event', (value: unknown) => mine.push(value));
    clients.push(socket);
    await until(() => socket.connected && io.sockets.sockets.has(socket.id!), { what: 'a client' });
  }
  return { io, clients, received };
}

const there = await start();
const here = redis ? await start() : there;
/** The socket that comes first where things are done. */
const first = there.io.sockets.sockets.get(there.clients[0]!.id!)!;
const fail = (what: string) => (): never => {
  throw new Error(what);
};

async function outcomeOf(call: () => unknown, isDone: () => boolean): Promise<unknown> {
  let thrown: string | null = null;
  try {
    call();
  } catch (error) {
    thrown = (error as Error).message;
  }
  await until(isDone, { what: 'it to be done', timeout: 1_000 }).catch(() => undefined);
  await sleep(50);
  return { thrown, uncaught: uncaught.splice(0), isDone: isDone() };
}

async function outcomesOfAll(): Promise<Record<string, unknown>> {
  const outcomes: Record<string, unknown> = {};

  const onOutgoing = fail('outgoing');
  first.onAnyOutgoing(onOutgoing);
  outcomes['emit, a listener for what goes out'] = await outcomeOf(
    () => here.io.emit('event', 1),
    () => there.received.slice(1).every((values) => values.includes(1)),
  );
  first.offAnyOutgoing(onOutgoing);

  const adapter = there.io.of('/').adapter;
  const onJoin = (room: string, id: string): void => {
    if (room === 'room' && id === first.id) fail('join')();
  };
  adapter.on('join-room', onJoin);
  outcomes['socketsJoin, a listener of the adapter'] = await outcomeOf(
    () => here.io.socketsJoin('room'),
    () => (adapter.rooms.get('room')?.size ?? 0) === 3,
  );
  adapter.off('join-room', onJoin);
  there.io.local.socketsJoin('room');

  const onLeave = (room: string, id: string): void => {
    if (room === 'room' && id === first.id) fail('leave')();
  };
  adapter.on('leave-room', onLeave);
  outcomes['socketsLeave, a listener of the adapter'] = await outcomeOf(
    () => here.io.socketsLeave('room'),
    () => !adapter.rooms.has('room'),
  );
  adapter.off('leave-room', onLeave);

  if (redis) {
    const heard: unknown[] = [];
    const onServer = (value: unknown): void => {
      heard.push(value);
      fail('server')();
    };
    there.io.on('event', onServer);
    outcomes['serverSideEmit, a listener of the server'] = await outcomeOf(
      () => here.io.serverSideEmit('event', 2),
      () => heard.length === 1,
    );
  }

  first.on('disconnect', fail('disconnect'));
  outcomes['disconnectSockets, a listener for that'] = await outcomeOf(
    () => here.io.in(there.clients.map(({ id }) => id!)).disconnectSockets(true),
    () => there.io.sockets.sockets.size === 0,
  );

  if (redis) {
    const own = here.io.sockets.sockets.get(here.clients[0]!.id!)!;
    own.onAnyOutgoing(fail('own'));
    const ownCall = await outcomeOf(
      () => here.io.emit('event', 3),
      () => here.received.slice(1).every((values) => values.includes(3)),
    );
    outcomes['emit, a listener for what goes out of the same node'] = ownCall;
  }
  return outcomes;
}

serve({
  /** Returns, for each case, where the exception went and what was done all the same; and what the node has told of it. */
  outcomes: async () => ({
    outcomes: await outcomesOfAll(),
    events: events.map(({ type }) => type).filter((type) => /entry|gap/.test(type)),
  }),
});
