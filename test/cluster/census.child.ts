import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Redis } from 'ioredis';
import { Server } from 'socket.io';
import { io as connect } from 'socket.io-client';
import { createAdapter } from '../../lib/adapter/index.js';
import { serve } from '../kit/node-process-child.js';

/** A server with a client that acknowledges everything. Argument: Redis' port. It ends, as any, with an unhandled rejection. */
const redis = new Redis({ port: Number(process.argv[2]), host: '127.0.0.1', disconnectTimeout: 1 });
redis.on('error', () => undefined);
const silent = { log: () => undefined, warn: () => undefined, error: () => undefined };
const factory = createAdapter(
  redis,
  { heartbeatInterval: 200, heartbeatTimeout: 60_000, commandTimeout: 500, closeTimeout: 1_000, startTimeout: 100 },
  silent,
);
const http = createServer();
const io = new Server(http, { adapter: factory as never });
await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
const client = connect(`http://127.0.0.1:${(http.address() as AddressInfo).port}`, { transports: ['websocket'] });
client.on('q', (answer: (value: string) => void) => answer('own'));
await new Promise<void>((resolve) => client.on('connect', resolve));
io.on('who?', (answer: (value: string) => void) => answer('server'));

type Outcome = { ms: number; error?: string; answers?: unknown };

async function outcome(ask: () => Promise<unknown>): Promise<Outcome> {
  const since = performance.now();
  const done = (rest: Omit<Outcome, 'ms'>): Outcome => ({ ms: Math.round(performance.now() - since), ...rest });
  return ask().then(
    (answers) => done({ answers }),
    (error: Error & { responses?: unknown }) => done({ error: error.message, answers: error.responses }),
  );
}

const broadcast = (local: boolean): Promise<unknown> =>
  new Promise((resolve, reject) => {
    const target = (local ? io.local : io).timeout(1_000);
    target.emit('q', (error: Error | null, responses: unknown) =>
      error ? reject(Object.assign(error, { responses })) : resolve(responses),
    );
  });

const ask = async (): Promise<Record<string, Outcome>> => ({
  emit: await outcome(() => broadcast(false)),
  local: await outcome(() => broadcast(true)),
  emitWithAck: await outcome(() => io.timeout(1_000).emitWithAck('q')),
  serverCount: await outcome(() => io.of('/').adapter.serverCount()),
  fetchSockets: await outcome(async () => (await io.timeout(1_000).fetchSockets()).length),
  serverSideEmit: await outcome(() => io.serverSideEmitWithAck('who?')),
});

serve({
  ask,
  state: () => factory.node.status().state,
  nodes: () => factory.node.nodes().length,
  /** Asks while it closes, and when it is closed. The client stays connected until then. */
  askWhileClosing: async () => {
    const closing = factory.node.close();
    const meanwhile = await ask();
    await closing;
    return [meanwhile, await ask()];
  },
  close: async () => {
    client.disconnect();
    await io.close();
    redis.disconnect();
  },
});
