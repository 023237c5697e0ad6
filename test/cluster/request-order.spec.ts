import { beforeEach, describe, expect, jest, test } from '@jest/globals';
import { RequestOrder } from '../../lib/cluster/request-order.js';
import type { BusMessage } from '../../lib/wire/requests.js';

/** The part of a log that is looked at, which a test moves. */
class Log {
  isFlushed = true;
  isReading = true;
  lastTaken = { seq: 0, direct: 0 };
  lastAppended = { seq: 0, direct: 0, id: '0-0' };
  position: string | undefined = '0-0';
  private readonly read = new Map<string, number>();
  private waiters: (() => void)[] = [];

  lastReadOf = (node: string): number => this.read.get(node) ?? 0;

  /** Takes entries; `appended`: whether Redis has acknowledged them. */
  take(seq: number, { direct = 0, appended = true } = {}): void {
    this.lastTaken = { seq, direct };
    this.isFlushed = appended;
    if (appended) this.lastAppended = { seq, direct, id: `${seq + direct}-0` };
  }

  deliver(node: string, seq: number): void {
    this.read.set(node, seq);
    this.waiters.splice(0).forEach((wake) => wake());
  }

  whenPublisherRead = async (node: string, seq: number, timeout: number): Promise<boolean> => {
    const end = performance.now() + timeout;
    while (this.lastReadOf(node) < seq) {
      const left = end - performance.now();
      if (left <= 0) return false;
      await new Promise<void>((resolve) => {
        this.waiters.push(resolve);
        setTimeout(resolve, left);
      });
    }
    return true;
  };
}

describe('RequestOrder', () => {
  let log: Log;
  let order: RequestOrder;
  let handled: unknown[];
  const server = { uid: 'a', nsp: '/' };

  beforeEach(() => {
    log = new Log();
    order = new RequestOrder(() => log);
    handled = [];
  });

  const receive = (message: Partial<BusMessage>): void => {
    order.receive({ ...server, type: 7, ...message }, () => handled.push(message.data));
  };
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  describe('of the sender', () => {
    const stamped = (): Partial<BusMessage> => order.stamp({ ...server, type: 7 });

    test('says nothing as long as nothing was appended', () => {
      expect(stamped()).toEqual({ ...server, type: 7 });
    });

    test('says what was taken last, and its id if it was appended', () => {
      log.take(5);
      expect(stamped()).toMatchObject({ after: 5, at: '5-0' });
      log.take(7, { appended: false });
      expect(stamped()).not.toHaveProperty('at');
      expect(stamped()).toMatchObject({ after: 7 });
    });

    test('says both, if some of it is numbered by itself', () => {
      log.take(5, { direct: 2 });
      expect(stamped()).toMatchObject({ after: 5, direct: 2, at: '7-0' });
      log.take(0, { direct: 3, appended: false });
      expect(stamped()).toEqual({ ...server, type: 7, direct: 3 });
    });

    test('does not have others wait for what was dropped', () => {
      log.take(5);
      log.lastTaken = { seq: 9, direct: 0 }; // of which the last four were dropped
      expect(stamped()).toMatchObject({ after: 5, at: '5-0' });
    });

    test('numbers requests by server and namespace, and marks the first entry after each', () => {
      const number = (one = server): number => order.number({ ...one, type: 7 }).n;
      expect(order.mark(server)).toBeUndefined();
      expect([number(), number({ ...server, nsp: '/b' }), number()]).toEqual([1, 1, 2]);
      expect([order.mark(server), order.mark(server)]).toEqual([2, undefined]);
      expect(order.mark({ ...server, nsp: '/b' })).toBe(1);
      expect(order.mark({ ...server, uid: 'b' })).toBeUndefined();
    });

    test('marks nothing for a request that was not sent, or was sent long ago', () => {
      let now = 0;
      order = new RequestOrder(
        () => log,
        () => now,
      );
      order.onUnsent(order.number({ ...server, type: 7 }));
      expect(order.mark(server)).toBeUndefined();
      order.number({ ...server, type: 7 });
      now = 1_500;
      expect(order.mark(server)).toBeUndefined();
    });
  });

  describe('of the receiver', () => {
    test('handles what says both numbers when both were delivered', async () => {
      log.deliver('a', 5);
      receive({ data: 'both', after: 5, direct: 2 });
      receive({ data: 'the second', direct: 2 });
      await turn();
      expect(handled).toEqual([]);
      log.deliver('a~', 2);
      await turn();
      expect(handled).toEqual(['both', 'the second']);
    });

    test('handles at once what says nothing, and what says what was delivered', () => {
      receive({ data: 'reference' });
      log.deliver('a', 5);
      receive({ data: 'delivered', after: 5 });
      log.position = '9-0';
      receive({ data: 'delivered before this node began', after: 6, at: '8-0' });
      log.isReading = false;
      receive({ data: 'not reading', after: 100 });
      expect(handled).toEqual(['reference', 'delivered', 'delivered before this node began', 'not reading']);
    });

    test('has a message wait for what its sender appended before, and those behind it, in order', async () => {
      receive({ data: 1, after: 3, n: 1 });
      receive({ data: 2, after: 3 });
      receive({ data: 3, after: 4, n: 2 });
      receive({ data: 'other', uid: 'b', n: 1 });
      expect(handled).toEqual(['other']);
      log.deliver('a', 3);
      await turn();
      expect(handled).toEqual(['other', 1, 2]);
      log.deliver('a', 4);
      await turn();
      expect(handled).toEqual(['other', 1, 2, 3]);
    });

    test('handles all of them a second after they came, however many wait for what never comes', async () => {
      const since = performance.now();
      for (let i = 0; i < 50; i++) receive({ data: i, after: 3 + i });
      await new Promise((resolve) => setTimeout(resolve, 900));
      expect(handled).toEqual([]);
      while (handled.length < 50) await new Promise((resolve) => setTimeout(resolve, 10));
      expect(handled).toEqual(Array.from({ length: 50 }, (_, i) => i));
      expect(performance.now() - since).toBeLessThan(2_000);
    });

    test('does not count the time in which the process was suspended: the entry may have arrived', async () => {
      receive({ after: 1, data: 'request' });
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_500);
      await new Promise((resolve) => setTimeout(resolve, 20)); // the timer that is late has run
      expect(handled).toEqual([]);
      log.deliver('a', 1);
      await turn();
      expect(handled).toEqual(['request']);
    });

    test('knows an emitter by the node that it names', () => {
      log.deliver('e1', 3);
      receive({ data: 'of e1', uid: 'emitter', from: 'e1', after: 3 });
      receive({ data: 'of e2', uid: 'emitter', from: 'e2', after: 3 });
      expect(handled).toEqual(['of e1']);
    });

    test('has an entry wait for the request before it', async () => {
      const released = jest.fn();
      void order.whenHandled({ ...server, bus: 1 })!.then(released);
      await turn();
      expect(released).not.toHaveBeenCalled();
      receive({ data: 1, n: 1 });
      await turn();
      expect(released).toHaveBeenCalledTimes(1);
      expect(order.whenHandled({ ...server, bus: 1 })).toBeUndefined();
      expect(order.whenHandled(server)).toBeUndefined();
      expect(order.whenHandled({ ...server, bus: 2 })).toBeInstanceOf(Promise);
    });

    test('delays a request that comes after an entry which waits for it, until both have their turn', async () => {
      receive({ data: 'request', after: 1, n: 1 });
      const released = jest.fn();
      void order.whenHandled({ ...server, bus: 1 })!.then(released);
      log.deliver('a', 1);
      await turn();
      expect([handled, released.mock.calls.length]).toEqual([['request'], 1]);
    });

    test('has no further entry of a server wait, once one did in vain, until something of it is received', () => {
      expect(order.whenHandled({ ...server, bus: 1 })).toBeInstanceOf(Promise);
      for (let bus = 2; bus < 100; bus++) expect(order.whenHandled({ ...server, bus })).toBeUndefined();
      receive({ n: 100 });
      expect(order.whenHandled({ ...server, bus: 101 })).toBeInstanceOf(Promise);
    });

    test('knows 10,000 senders, and has 10,000 messages wait, whatever is published', () => {
      for (let i = 0; i < 30_000; i++) receive({ data: i, uid: `node-${i % 15_000}`, after: 1 });
      expect(handled.length).toBe(20_000); // those beyond are handled at once
      for (let i = 0; i < 15_000; i++) log.deliver(`node-${i}`, 1);
    });
  });
});
