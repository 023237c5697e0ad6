import { Session, type Profiler } from 'node:inspector';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { OwnEntries } from '../../lib/stream/own-entries.js';
// Not from the kit's index, which loads the package.
import { RedisServer } from '../kit/redis-server.js';
import { TcpProxy } from '../kit/tcp-proxy.js';
import { until } from '../kit/until.js';

/** Counts how often functions and blocks of the package run: what something costs, on any machine. */
class OperationCounter {
  private readonly session = new Session();

  /** To be made before the package is loaded: what was compiled before is counted by function only. */
  constructor() {
    this.session.connect();
    this.session.post('Profiler.enable');
    this.session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** @param work - that ends in the call */
  count(work: () => void): number {
    this.take();
    work();
    return this.take()
      .filter(({ url }) => /\/lib\/(adapter|stream|wire|queue)\//.test(url))
      .flatMap(({ functions }) => functions.flatMap(({ ranges }) => ranges))
      .reduce((sum, { count }) => sum + count, 0);
  }

  /** What has run since it was called last. The session is of this thread, so the answer comes in the call. */
  private take(): Profiler.ScriptCoverage[] {
    let result: Profiler.ScriptCoverage[] = [];
    this.session.post('Profiler.takePreciseCoverage', (error, answer) => {
      if (error) throw error;
      result = answer.result;
    });
    return result;
  }

  close(): void {
    this.session.disconnect();
  }
}

describe('own entries that are not read back', () => {
  let counter: OperationCounter;

  beforeAll(() => {
    counter = new OperationCounter();
  });
  afterAll(() => counter.close());

  test('are not gone through by an emit: it costs the same with 10 and with 10,000 of them', async () => {
    // Now, so that its blocks are counted.
    const { startNode } = await import('./recovery-node.js');
    const { visit, receives } = await import('./visitor.js');
    const redis = await RedisServer.start();
    const proxy = await TcpProxy.start(redis.port);
    const node = await startNode({ port: redis.port, readerPort: proxy.port, adapter: { commandTimeout: 20_000 } });
    const visitor = await visit(node, { rooms: ['red'] });
    node.io.emit('msg', 'first');
    await receives(visitor, 1);
    await until(() => node.counters.read === 1, { what: 'it to be read back' });
    proxy.blackhole('toClient');
    let unread = 0;
    const emit = (): void => void node.io.to('blue').emit('msg', unread++);
    const emitUpTo = async (count: number): Promise<void> => {
      while (unread < count) emit();
      await visitor.stayAway(); // its session asks for the last one that was for it: they are indexed by room from now on
      visitor.comeBack();
      await until(() => visitor.isConnected, { what: 'the client to be back' });
    };
    const cost = (): number => Math.min(...Array.from({ length: 5 }, () => counter.count(emit)));

    await emitUpTo(10);
    const few = cost();
    await emitUpTo(10_000);
    const many = cost();

    console.log(`an emit runs ${few} blocks with 10 entries that are not read back, ${many} with 10,000`);
    expect(few).toBeGreaterThan(50);
    expect(many).toBeLessThan(2 * few);
    expect(visitor.refused).toBe(0);
    proxy.heal();
  }, 60_000);

  test('are kept up to twice the bounds of the outbox, the newest of them', async () => {
    const { ReplayMemory } = await import('../../lib/stream/replay-memory.js');
    const { ReplayLog } = await import('../../lib/stream/replay-log.js');
    const { OwnLanes } = await import('../../lib/stream/own-lanes.js');
    let kept: OwnEntries | undefined;
    class Log extends ReplayLog {
      override remember(own: OwnEntries, position: string | undefined): void {
        kept = own;
        super.remember(own, position);
      }
    }
    const log = new Log({ maxEntries: 10, maxBytes: 10 }, undefined as never);
    const lanes = new OwnLanes('node', 'local-first');
    const cut = { offset: () => '', offsetAt: () => '' };
    const memory = new ReplayMemory(log, lanes, cut, { maxEntries: 5, maxBytes: 1_000_000 });
    memory.begin('1-0');
    for (let i = 0; i < 25; i++) {
      const message = {
        uid: 'x',
        nsp: '/',
        type: 3,
        data: { packet: { type: 2, data: [i] }, opts: { rooms: [], except: [], flags: {} } },
      };
      memory.onTaken(message as never, JSON.stringify(message.data), lanes.main.next());
    }
    expect(kept!.length).toBe(10);
    expect(kept!.covers({ position: '1-0', ahead: [{ node: 'node', seq: 15 }] })).toBe(true);
    expect(kept!.covers({ position: '1-0', ahead: [{ node: 'node', seq: 14 }] })).toBe(false);
  });
});
