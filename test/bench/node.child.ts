import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { childOptions, serve } from '../kit/node-process-child.js';
import { profiling } from './profile.js';
import { rawNode } from './raw-node.js';
import type { Receipts } from './receipts.js';
import { messageOf, now, type AdapterName, type Message, type Payload, type Target } from './scenarios.js';
import { socketIoNode } from './socket-io-node.js';
import { ownCpu } from './usage.js';

export interface BenchNode {
  /** Where clients connect; none without Socket.IO. */
  url?: string;
  /** What it was given itself, where there are no clients. */
  receipts?: Receipts;
  emit(target: Target, message: Message): void;
}

export interface BenchNodeOptions {
  /** Redis' port on this machine. */
  port: number;
  adapter: AdapterName;
  /** Of this node in its cluster. */
  index: number;
  /** Whether connection state recovery is on. */
  recovery: boolean;
  /** The module of `createAdapter`, if it is another than the sources'. */
  build?: string | undefined;
}

/** How many messages are emitted in one turn of the event loop. */
const BURST = 20;

/** One node, in a process of its own. */
const { port, adapter, index, recovery, build } = childOptions<BenchNodeOptions>();
const redis = new Redis({ port, host: '127.0.0.1' });
const node = adapter === 'raw' ? rawNode(redis, index) : await socketIoNode(adapter, redis, recovery, build);

serve({
  url: () => node.url,
  publish: async (target: Target, payload: Payload, run: number, count: number) => {
    for (let i = 1; i <= count; i++) {
      node.emit(target, messageOf(payload, run, now()));
      if (i % BURST === 0) await nextTurn();
    }
  },
  /** Emits `rate` messages a second for so many seconds. Returns how many that were. */
  pace: async (target: Target, payload: Payload, run: number, rate: number, seconds: number) => {
    const begun = now();
    for (let sent = 0; ; await sleep(1)) {
      const due = Math.min(now() - begun, seconds * 1e6) * (rate / 1e6);
      while (sent < Math.floor(due)) {
        node.emit(target, messageOf(payload, run, now()));
        sent++;
      }
      if (now() - begun >= seconds * 1e6) return sent;
    }
  },
  cpu: ownCpu,
  ...profiling(),
  start: (run: number, recipients: number[]) => node.receipts!.start(run, recipients),
  reached: (target: number) => node.receipts!.reached(target),
  finish: () => node.receipts!.finish(),
});
