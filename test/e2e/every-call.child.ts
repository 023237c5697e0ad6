import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { io as connect } from 'socket.io-client';
import { createAdapter } from '../../lib/adapter/index.js';
import { ClusterNode } from '../../lib/cluster/cluster-node.js';
import { RedisStreamsEmitter } from '../../lib/emitter/index.js';
import { freePort } from '../kit/free-port.js';
import { LocalServer } from '../kit/local-server.js';
import { childOptions, serve } from '../kit/node-process-child.js';
import { RedisServer } from '../kit/redis-server.js';

/**
 * Calls everything that the API of a server has at every moment of a node's life. A process of its own: what no application
 * could have caught is noted there, and would end another.
 */
const { recovery, ordering } = childOptions<{ recovery: boolean; ordering: 'log' | 'local-first' }>();
const problems: string[] = [];
let moment = '';
process.on('unhandledRejection', (error) => problems.push(`${moment}: unhandled rejection: ${String(error)}`));
process.on('uncaughtException', (error) => problems.push(`${moment}: uncaught exception: ${String(error)}`));

const port = await freePort();
const redis = new Redis(port, '127.0.0.1', { retryStrategy: () => 50 });
redis.on('error', () => undefined);
const TIMES = {
  ...{ heartbeatInterval: 200, heartbeatTimeout: 600, commandTimeout: 500, closeTimeout: 300, startTimeout: 300 },
};
const adapter = createAdapter(redis, { ...TIMES, ordering }, { log() {}, warn() {}, error() {} });
/** A process that serves no sockets, and an emitter, on the same Redis. */
const observer = new ClusterNode(redis, TIMES, { log() {}, warn() {}, error() {} }, 'observer');
const emitter = new RedisStreamsEmitter(redis, { commandTimeout: 500, closeTimeout: 300 }, () => undefined);
const local = new LocalServer(
  adapter,
  recovery ? { connectionStateRecovery: { maxDisconnectionDuration: 60_000 } } : {},
);
await local.listen();
const { io } = local;
const client = connect(local.url, { transports: ['websocket'] });
client.on('ask', (...args: unknown[]) => (args.at(-1) as (answer: string) => void)('answer'));
await new Promise<void>((resolve) => client.once('connect', resolve));
const [socket] = [...io.sockets.sockets.values()] as [NonNullable<ReturnType<typeof io.sockets.sockets.get>>];

const rooms = io.of(/^\/room-\d+$/);
/** A socket of another node, as `fetchSockets()` gives it; it is gone meanwhile. */
const [remote] = await (async () => {
  const { adapter } = io.of('/');
  Object.assign(adapter, { fetchSockets: async () => [{ id: 'x'.repeat(20), handshake: {}, rooms: [], data: {} }] });
  const sockets = await io.fetchSockets();
  delete (adapter as { fetchSockets?: unknown }).fetchSockets; // that of its class again
  return sockets as [(typeof sockets)[number]];
})();

/** Outcomes of calls that have one, by name. */
const outcomes: Record<string, Record<string, string>> = {};

async function callAll(name: string): Promise<void> {
  moment = name;
  const own: Record<string, string> = (outcomes[name] = {});
  const pending: Promise<unknown>[] = [];
  const settle = (call: string, promise: Promise<unknown>): void => {
    pending.push(
      promise.then(
        (value) => (own[call] = Array.isArray(value) ? `${value.length}` : String(value)),
        (error: Error) => (own[call] = `rejected: ${error.message}`),
      ),
    );
  };
  const calls: Record<string, () => unknown> = {
    emit: () => io.emit('event', 1),
    'emit binary': () => io.emit('event', Buffer.from('a')),
    'emit to a room': () => io.to('room').except('other').emit('event'),
    'emit to nobody': () => io.to(undefined as never).emit('event'),
    'local emit': () => io.local.emit('event'),
    'volatile emit': () => io.volatile.emit('event'),
    'compressed emit': () => io.compress(true).emit('event'),
    'socket.emit': () => socket.emit('event'),
    'socket.broadcast.emit': () => socket.broadcast.emit('event'),
    'socket.volatile.emit': () => socket.volatile.emit('event'),
    'socket.emit with acknowledgement': () => socket.timeout(1_000).emit('ask', () => undefined),
    'socket.emitWithAck': () => settle('socket.emitWithAck', socket.timeout(1_000).emitWithAck('ask')),
    'emit with acknowledgements': () => io.timeout(1_000).emit('ask', () => undefined),
    'local emit with acknowledgements': () => io.local.timeout(1_000).emit('ask', () => undefined),
    'socket.broadcast with acknowledgements': () => socket.broadcast.timeout(1_000).emit('ask', () => undefined),
    emitWithAck: () => settle('emitWithAck', io.timeout(1_000).emitWithAck('ask')),
    'local emitWithAck': () => settle('local emitWithAck', io.local.timeout(1_000).emitWithAck('ask')),
    'emitWithAck to nobody': () =>
      settle(
        'emitWithAck to nobody',
        io
          .to(null as never)
          .timeout(1_000)
          .emitWithAck('ask'),
      ),
    fetchSockets: () => settle('fetchSockets', io.timeout(1_000).fetchSockets()),
    'local fetchSockets': () => settle('local fetchSockets', io.local.fetchSockets()),
    socketsJoin: () => io.socketsJoin('room'),
    'socketsJoin of no room': () => io.socketsJoin(undefined as never),
    socketsLeave: () => io.socketsLeave('room'),
    'local socketsJoin': () => io.local.socketsJoin('room'),
    'disconnectSockets of nobody': () => io.in('nobody').disconnectSockets(true),
    'socket.join': () => socket.join('room'),
    'socket.leave': () => socket.leave('room'),
    serverSideEmit: () => io.serverSideEmit('event', 1),
    'serverSideEmit with acknowledgement': () => io.serverSideEmit('event', () => undefined),
    serverSideEmitWithAck: () => settle('serverSideEmitWithAck', io.serverSideEmitWithAck('event')),
    allSockets: () => settle('allSockets', io.allSockets()),
    serverCount: () => settle('serverCount', io.of('/').adapter.serverCount()),
    // Resolves when Redis has it: not while Redis is away.
    addSockets: () => void io.of('/').adapter.addSockets({ rooms: new Set(['nobody']) }, ['room']),
    'emit of a parent namespace': () => rooms.emit('event'),
    'socketsJoin of a parent namespace': () => rooms.in('nobody').socketsJoin('room'),
    'fetchSockets of another namespace': () => settle('fetchSockets of another namespace', io.of('/b').fetchSockets()),
    'remote socket, emit': () => remote.emit('event', Buffer.from('a')),
    'remote socket, join': () => remote.join(['room', undefined as never]),
    'remote socket, leave': () => remote.leave('room'),
    'remote socket, disconnect': () => remote.disconnect(true),
    'remote socket, emitWithAck': () => settle('remote socket, emitWithAck', remote.timeout(1_000).emitWithAck('ask')),
    'a new namespace': () => io.of(`/${name}`).emit('event'),
    status: () => adapter.node.status(),
    nodes: () => adapter.node.nodes(),
    'observer, status': () => [observer.status(), observer.nodes()],
    'observer, subscribe': () => observer.subscribe({ onStatus: () => undefined, onEvent: () => undefined })(),
    'observer, start': () =>
      settle(
        'observer, start',
        observer.start().then(() => 'started'),
      ),
    'emitter, emit': () => emitter.emit('event', 1, undefined, NaN),
    'emitter, emit binary': () => emitter.to('room').except('other').emit('event', Buffer.from('a')),
    'emitter, emit to nobody': () => emitter.to(undefined as never).emit('event'),
    'emitter, compressed emit': () => emitter.compress(true).emit('event'),
    'emitter, volatile emit': () => emitter.volatile.emit('event'),
    'emitter, of another namespace': () => emitter.of('other').in('room').emit('event'),
    'emitter, socketsJoin': () => emitter.socketsJoin('room'),
    'emitter, socketsLeave': () => emitter.socketsLeave(['room', undefined as never]),
    'emitter, disconnectSockets': () => emitter.of('/other').disconnectSockets(true),
    'emitter, serverSideEmit': () => emitter.serverSideEmit('event', 1),
    'emitter, open': () => emitter.open(),
    'emitter, status': () => emitter.status(),
  };
  for (const [call, run] of Object.entries(calls)) {
    try {
      run();
    } catch (error) {
      problems.push(`${name}: ${call} throws ${String(error)}`);
    }
  }
  const late = sleep(8_000, 'late');
  if ((await Promise.race([Promise.all(pending), late])) === 'late') {
    problems.push(`${name}: some calls have no outcome after 8 s: ${Object.keys(own).join(', ')} have`);
  }
}

async function callAtEveryMoment(): Promise<void> {
  await callAll('starting without Redis');
  let server = await RedisServer.start({ port });
  await adapter.node.start();
  while (adapter.node.status().state !== 'running') await sleep(20);
  await callAll('running');
  await server.close();
  await callAll('Redis just gone');
  await sleep(700);
  await callAll('Redis away');
  server = await RedisServer.start({ port });
  await callAll('Redis just back');
  while (adapter.node.status().state !== 'running') await sleep(20);
  await callAll('running again');
  const closing = Promise.all([io.close(), observer.close(), emitter.close()]);
  await callAll('closing');
  await closing;
  await callAll('closed');
  client.close();
  redis.disconnect();
  await server.close();
  await sleep(300);
}

serve({
  /** Returns what could not be caught or was thrown at a call, and the outcomes of calls at each moment. */
  callAtEveryMoment: async () => {
    await callAtEveryMoment();
    return { problems, outcomes };
  },
});
