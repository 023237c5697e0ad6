import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { FlowControl } from '../../lib/stream/flow-control.js';

const HEARTBEAT_TIMEOUT = 10_000;

/** How much may be appended is held by stream-publisher.spec.ts, which appends it. */
describe('FlowControl', () => {
  let reader: { isOpen: boolean; isReading: boolean; fetched: string };
  let flow: FlowControl;
  let asked: number;

  beforeEach(() => {
    jest.useFakeTimers({ now: 0 });
    reader = { isOpen: true, isReading: true, fetched: '0-0' };
    asked = 0;
    flow = new FlowControl(reader, {
      ...{ nodeId: 'me', maxLen: 1_000, heartbeatTimeout: HEARTBEAT_TIMEOUT },
      readers: { count: () => 2, present: () => ['me', 'peer'], ask: () => asked++ },
    });
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  /** Whether `whenBack` has resolved. */
  function watch(node: string): () => Promise<boolean> {
    let isBack = false;
    void flow.whenBack(node).then(() => (isBack = true));
    return async () => {
      await Promise.resolve();
      return isBack;
    };
  }

  /** An outage that all nodes have noticed. */
  function outage(): void {
    flow.interrupt();
    flow.resume();
  }

  test('whenBack resolves at once for a node that nobody waits for', async () => {
    expect(await watch('peer')()).toBe(true);
    outage();
    expect(await watch('stranger')()).toBe(true);
  });

  test('whenBack resolves when the node reads again, and asks all to say so once', async () => {
    outage();
    const isBack = watch('peer');
    expect([await isBack(), asked]).toEqual([false, 1]);
    flow.onReading('other');
    expect(await isBack()).toBe(false);
    flow.onReading('peer');
    expect(await isBack()).toBe(true);
  });

  test('whenBack resolves when the node has left', async () => {
    outage();
    const isBack = watch('peer');
    flow.onLeft('peer');
    expect(await isBack()).toBe(true);
  });

  test('whenBack resolves when the node is later than it can be if it is alive', async () => {
    outage();
    const isBack = watch('peer');
    jest.advanceTimersByTime(HEARTBEAT_TIMEOUT);
    flow.recheck();
    expect(await isBack()).toBe(false);
    jest.advanceTimersByTime(1);
    flow.recheck();
    expect(await isBack()).toBe(true);
  });

  test('whenBack resolves when Redis is away again, for then nobody can be asked', async () => {
    outage();
    const isBack = watch('peer');
    flow.interrupt();
    expect(await isBack()).toBe(true);
  });

  test('whenBack resolves when the log is closed', async () => {
    outage();
    const isBack = watch('peer');
    flow.close();
    expect(await isBack()).toBe(true);
  });

  test('a node that says it reads during the outage may not know of it, and is waited for', () => {
    flow.interrupt();
    flow.onReading('peer');
    flow.resume();
    expect([flow.awaits('peer'), flow.awaits('me')]).toEqual([true, false]);
  });
});
