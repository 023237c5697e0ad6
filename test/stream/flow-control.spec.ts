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

  /** An outage that all nodes have noticed. */
  function outage(): void {
    flow.interrupt();
    flow.resume();
  }

  test('asks all to say whether they read, once, when entries can be appended again', () => {
    outage();
    flow.resume();
    expect(asked).toBe(1);
  });

  test('a node that says it reads during the outage may not know of it, and is waited for', () => {
    flow.interrupt();
    flow.onReading('peer');
    flow.resume();
    const before = flow.window();
    flow.onAppended('1-0', 10);
    reader.fetched = '1-0';
    expect(before - flow.window()).toBe(10); // it counts though this node has read it
    flow.onReading('peer');
    expect(flow.window()).toBe(before);
  });
});
