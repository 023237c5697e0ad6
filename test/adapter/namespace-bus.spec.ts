import { beforeEach, describe, expect, test } from '@jest/globals';
import { NamespaceBus } from '../../lib/adapter/namespace-bus.js';
import { PayloadTooLargeError } from '../../lib/redis/errors.js';
import type { Request } from '../../lib/wire/request-data.js';
import { RequestType } from '../../lib/wire/requests.js';

const request: Request = { type: RequestType.ServerSideEmit, data: { packet: ['x'] } };

describe('NamespaceBus', () => {
  let state: string;
  let sent: unknown[];
  let dropped: number;
  let reported: unknown[];
  let failure: Error | undefined;
  let listeners: Set<{ onStatus(): void }>;
  let bus: NamespaceBus;

  beforeEach(() => {
    [state, sent, dropped, reported, failure, listeners] = ['running', [], 0, [], undefined, new Set()];
    const send = async (...args: unknown[]): Promise<void> => {
      if (failure) {
        throw failure;
      }
      sent.push(args);
    };
    const node = {
      bus: {
        publish: send,
        repeat: send,
        respond: send,
        mark: ({ uid }: { uid: string }) => (uid === 'node.1' ? 4 : undefined),
      },
      telemetry: { inject: (stream: string) => `trace of ${stream}` },
      counters: {
        count: (what: string) => (dropped += Number(what === 'droppedRequests')),
        refuseMessage: (refused: unknown) => reported.push(refused),
      },
      status: () => ({ state }),
      census: async ({ name }: { name: string }) => ({ named: new Set([name]), others: 1 }),
      subscribe: (listener: { onStatus(): void }) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    };
    bus = new NamespaceBus(node as never, { uid: 'node.1', name: '/chat' } as never, 'log');
  });

  test('sends requests with the uid, the namespace and the trace, and responses to one server', async () => {
    await bus.send(request);
    await bus.respond('other', { type: RequestType.BroadcastAck, data: { requestId: 'r', packet: 1 } });
    await bus.repeat('other', request);
    expect(sent).toEqual([
      [{ uid: 'node.1', nsp: '/chat', ...request, trace: 'trace of log' }],
      ['other', { uid: 'node.1', nsp: '/chat', type: RequestType.BroadcastAck, data: { requestId: 'r', packet: 1 } }],
      ['other', { uid: 'node.1', nsp: '/chat', ...request }],
    ]);
    expect(bus.mark()).toBe(4);
  });

  test('listens once for the start, however much waits for it', async () => {
    state = 'starting';
    const waiting = [bus.whenStarted(), bus.whenStarted()];
    expect([listeners.size, bus.isStarting]).toEqual([1, true]);
    state = 'running';
    listeners.forEach((listener) => listener.onStatus());
    await Promise.all(waiting.map(async (started) => started));
    expect([listeners.size, bus.isStarting, bus.whenStarted()]).toEqual([0, false, undefined]);
  });

  test('counts what cannot be sent, and rejects', async () => {
    failure = new Error('Redis is away');
    await expect(bus.send(request)).rejects.toThrow('Redis is away');
    const response = { type: RequestType.BroadcastAck, data: { requestId: 'r', packet: 1 } };
    await expect(bus.respond('other', response)).rejects.toThrow('Redis is away');
    expect(dropped).toBe(2);
    failure = new PayloadTooLargeError(7);
    await expect(bus.respond('other', response)).rejects.toThrow(failure); // it may be sent in pieces
    expect(dropped).toBe(2);
    await expect(bus.send(request)).rejects.toThrow(failure);
    expect(dropped).toBe(3);
  });

  test('reports what is too large, and nothing else', () => {
    const error = new PayloadTooLargeError(7);
    bus.onUnsent(new Error('Redis is away'), 'the event "x"');
    bus.onUnsent(error, 'the event "x"');
    expect(reported).toEqual([{ stream: 'log', namespace: '/chat', message: 'the event "x"', bytes: 7, error }]);
  });

  test('counts a request that cannot be sent again', async () => {
    failure = new Error('Redis is away');
    await expect(bus.repeat('other', request)).rejects.toThrow('Redis is away');
    expect(dropped).toBe(1);
  });

  test('knows nobody once it is closed', async () => {
    expect(await bus.census()).toEqual({ named: new Set(['/chat']), others: 1 });
    bus.close();
    expect(await bus.census()).toEqual({ named: new Set(), others: 0, hearing: new Map(), isCounted: true });
  });

  test('has requests wait while the node starts, and not longer than until it is closed', async () => {
    expect(bus.whenStarted()).toBeUndefined();
    state = 'starting';
    const started = bus.whenStarted();
    listeners.forEach((listener) => listener.onStatus());
    expect(listeners.size).toBe(1);
    state = 'running';
    listeners.forEach((listener) => listener.onStatus());
    await started;
    expect(listeners.size).toBe(0);
    state = 'starting';
    bus.close();
    expect(bus.whenStarted()).toBeUndefined();
  });
});
