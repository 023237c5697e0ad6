import { Member } from '../kit/member.js';
import { childOptions, serve } from '../kit/node-process-child.js';

/** A server with a client that acknowledges everything. It ends, as any, with an unhandled rejection. */
const member = await Member.start({
  port: childOptions<{ port: number }>().port,
  adapter: {
    ...{ heartbeatInterval: 200, heartbeatTimeout: 60_000 },
    ...{ commandTimeout: 500, closeTimeout: 1_000, startTimeout: 100 },
  },
  waitsForRedis: false,
});
const { io, node, socket } = member;
socket.on('q', (answer: (value: string) => void) => answer('own'));
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
  state: () => node.status().state,
  nodes: () => node.nodes().length,
  /** Asks while it closes, and when it is closed. The client stays connected until then. */
  askWhileClosing: async () => {
    const closing = node.close();
    const meanwhile = await ask();
    await closing;
    return [meanwhile, await ask()];
  },
  close: () => member.close(),
});
