import { existsSync, readFileSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { LocalServer } from '../../kit/local-server.js';
import { childOptions, serve } from '../../kit/node-process-child.js';
import { Random } from '../../kit/random.js';
import { adapterOf } from '../adapters.js';
import { profiling } from '../profile.js';
import { now } from '../scenarios.js';
import { ownCpu } from '../usage.js';
import { Targets, type Contender, type Payload, type Setup } from './points.js';

export interface NodeOptions {
  contender: Contender;
  /** The module of `createAdapter`, if it is another than the sources'. */
  build?: string | undefined;
  /** Whether connection state recovery is on. */
  recovery: boolean;
  setup: Setup;
  /** Of this node. */
  index: number;
  /** Redis' port on this machine; none in memory. */
  port?: number | undefined;
}

/** What a client is given. */
interface Message {
  /** When it was emitted, in microseconds of this machine's clock. */
  at: number;
  /** In which measurement. */
  run: number;
  /** By which node. */
  from: number;
  data: string | Buffer;
}

const SCHEDSTAT = '/proc/self/schedstat';
/** Milliseconds for which timers are set at once. */
const AHEAD = 50;
/** How many messages are emitted in one turn of the event loop, at full speed. */
const BURST = 20;

const { contender, build, recovery, setup, index, port } = childOptions<NodeOptions>();
const targets = new Targets(setup, contender);
/** Each with its namespace and room, ready made: they are the app's. */
const own = targets.all().filter((target) => targets.nodeOf(targets.client(target)) === index);
const aims = (contender === 'memory' ? own : targets.all()).map((target) => ({
  namespace: targets.namespace(target),
  room: targets.room(target),
}));

const redis = port === undefined ? undefined : new Redis({ port, host: '127.0.0.1' });
const server = new LocalServer(await adapterOf(contender, redis, build), {
  ...(recovery && { connectionStateRecovery: {} }),
  serveClient: false,
});
const { io } = server;
for (const name of new Set(targets.all().map((target) => targets.namespace(target)))) {
  io.of(name).on('connection', (socket) => {
    const mine = own.filter(
      (target) =>
        targets.client(target) === Number(socket.handshake.query['client']) && targets.namespace(target) === name,
    );
    void socket.join(mine.map((target) => targets.room(target)));
    socket.emit('joined');
  });
}
await server.listen();

const data: Record<Payload, string | Buffer> = {
  'text-100': 'x'.repeat(100),
  'text-2048': 'x'.repeat(2_048),
  'binary-100': Buffer.alloc(100, 7),
  'binary-2048': Buffer.alloc(2_048, 7),
};

function emit(random: Random, run: number, payload: Payload): void {
  const { namespace, room } = aims[Math.floor(random.next() * aims.length)]!;
  const message: Message = { at: now(), run, from: index, data: data[payload] };
  io.of(namespace).to(room).emit('message', message);
}

serve({
  url: () => server.url.replace('http', 'ws'),
  /**
   * Emits `count` messages, `rate` a second. Each has a timer of its own, as each event of a client is one that is handled on
   * its own. `arrivals`: at random, as those of many clients that know nothing of each other, or in even distances.
   */
  pace: (run: number, payload: Payload, rate: number, count: number, arrivals: 'random' | 'even') =>
    new Promise<void>((resolve) => {
      const random = new Random(run * 1_000 + index);
      const begun = performance.now();
      let due = random.next() * (1_000 / rate);
      let set = 0;
      let sent = 0;
      const send = (): void => {
        emit(random, run, payload);
        if (++sent === count) resolve();
      };
      const schedule = (): void => {
        const elapsed = performance.now() - begun;
        while (set < count && due < elapsed + AHEAD) {
          setTimeout(send, due - elapsed);
          due += (1_000 / rate) * (arrivals === 'even' ? 1 : -Math.log(1 - random.next()));
          set++;
        }
        if (set < count) setTimeout(schedule, AHEAD);
      };
      schedule();
    }),
  /** Emits `count` messages as fast as it can. */
  flood: async (run: number, payload: Payload, count: number) => {
    const random = new Random(run * 1_000 + index);
    for (let i = 1; i <= count; i++) {
      emit(random, run, payload);
      if (i % BURST === 0) await nextTurn();
    }
  },
  /**
   * Microseconds: of CPU that this process has used, all threads; and for which its main thread was ready to run, and others
   * ran instead. The latter is known on Linux only (/proc/[pid]/schedstat).
   */
  cpu: () => {
    const [, waited] = existsSync(SCHEDSTAT) ? readFileSync(SCHEDSTAT, 'utf8').split(' ') : [];
    return { used: ownCpu(), waited: Number(waited ?? 0) / 1_000 };
  },
  /** Bytes of memory, after a garbage collection. */
  memory: async () => {
    globalThis.gc!();
    await nextTurn();
    globalThis.gc!();
    const { rss, heapUsed, external } = process.memoryUsage();
    return { rss, used: heapUsed + external };
  },
  ...profiling(),
});
