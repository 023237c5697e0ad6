import { beforeEach, describe, expect, test } from '@jest/globals';
import { ControlMessages, type ControlMessagesOptions } from '../../lib/cluster/control-messages.js';
import { encodeControlMessage, type ControlMessage, type NodeInfo } from '../../lib/wire/control.js';

const info = (id: string): NodeInfo => ({
  ...{ id, host: 'host', pid: 1, startedAt: 2, sockets: 3, backlog: 4, servers: 1 },
});

const hearing = { losses: 2, unheard: ['/a'], root: true };

describe('ControlMessages', () => {
  let calls: unknown[][];
  let log: ControlMessagesOptions['logs'][number];
  let isSubscribed: boolean;
  let isVerified: boolean;
  const call =
    (...what: unknown[]) =>
    (...args: unknown[]) =>
      void calls.push([...what, ...args]);
  const messages = (observer = false): ControlMessages =>
    new ControlMessages({
      ...{ nodeId: 'self', observer, logs: [log], info: () => info('self') },
      subscriptions: {
        get isComplete() {
          return isSubscribed;
        },
      },
      bus: { hearing },
      heartbeats: { onOwn: call('own'), onPing: call('ping') },
      registry: {
        onHeartbeat: ({ id }, ...more) => calls.push(['heartbeat', id, ...(more[0] ? more : [])]),
        onGoodbye: call('goodbye'),
      },
      returning: { onBack: call('back'), onLeft: call('left for good') },
      sessions: {
        get isVerified() {
          return isVerified;
        },
      },
      handover: {
        onRequest: ({ pid }) => Promise.resolve(void calls.push(['request', pid])),
        onResponse: ({ pid }) => void calls.push(['response', pid]),
      },
      counters: { count: call('count') },
    });
  const receive = (message: ControlMessage): unknown[][] => {
    calls = [];
    messages().receive(encodeControlMessage(message));
    return calls;
  };
  const heartbeat = (more: object = {}): ControlMessage => ({
    ...{ kind: 'heartbeat', node: info('other'), reading: true, settled: true, streams: {}, observer: false },
    ...more,
  });

  beforeEach(() => {
    calls = [];
    isSubscribed = isVerified = true;
    log = {
      ...{ name: 'stream', isReading: true, lastAppended: { seq: 7, id: '5-0', direct: 2 } },
      ...{ announce: call('announce'), onNodeReading: call('reading'), onNodeLeft: call('left') },
    };
  });

  test('says in a heartbeat what was appended last, and announces that to its own log too', () => {
    expect(messages().heartbeat()).toEqual({
      ...{ node: info('self'), reading: true, settled: true, observer: false, hearing },
      streams: { stream: [7, '5-0', 2] },
    });
    expect(calls).toEqual([['announce', 'self', 7, '5-0', 2]]);
  });

  test('says in a heartbeat that it reads only if it reads all streams and is subscribed to all channels', () => {
    isSubscribed = false;
    expect(messages().heartbeat().reading).toBe(false);
    isSubscribed = true;
    log = { ...log, isReading: false };
    expect(messages().heartbeat().reading).toBe(false);
  });

  test('passes on a heartbeat to the registry, and to the logs that it names', () => {
    expect(receive(heartbeat({ streams: { stream: [3, '4-0', 1], unknown: [1, '1-0', 0] } }))).toEqual([
      ['count', 'receivedHeartbeats'],
      ['heartbeat', 'other'],
      ['back', 'other'],
      ['reading', 'other'],
      ['announce', 'other', 3, '4-0', 1],
    ]);
  });

  test('passes on to the registry what the other hears, if it says so', () => {
    expect(receive(heartbeat({ reading: false, hearing }))[1]).toEqual(['heartbeat', 'other', hearing]);
  });

  test('says in a heartbeat whether what Redis may have lost of its sessions is written again', () => {
    isVerified = false;
    expect(messages().heartbeat().settled).toBe(false);
  });

  test('does not call a node back that reads and has not written its sessions again', () => {
    expect(receive(heartbeat({ settled: false }))).toEqual([
      ['count', 'receivedHeartbeats'],
      ['heartbeat', 'other'],
      ['reading', 'other'],
    ]);
  });

  test('does not call a node that does not read a reading one', () => {
    expect(receive(heartbeat({ reading: false }))).toEqual([
      ['count', 'receivedHeartbeats'],
      ['heartbeat', 'other'],
    ]);
  });

  test('lists no observer, but answers its ping', () => {
    expect(receive(heartbeat({ kind: 'ping', reading: false, observer: true }))).toEqual([
      ['count', 'receivedHeartbeats'],
      ['ping'],
    ]);
  });

  test('takes its own messages for nothing but a sign that it hears', () => {
    expect(receive(heartbeat({ node: info('self') }))).toEqual([['own']]);
  });

  test('passes on a goodbye to the registry and the logs', () => {
    expect(receive({ kind: 'goodbye', node: info('other') })).toEqual([
      ['goodbye', 'other'],
      ['left for good', 'other'],
      ['left', 'other'],
    ]);
  });

  test('passes on what nodes ask and answer about sessions', () => {
    const node = info('other');
    expect(receive({ kind: 'session-request', node, pid: 'pid', at: 'self', epoch: 1 })).toEqual([['request', 'pid']]);
    expect(receive({ kind: 'session-response', node, pid: 'pid', to: 'self', session: null })).toEqual([
      ['response', 'pid'],
    ]);
  });

  test('throws on what is no control message', () => {
    expect(() => messages().receive(Buffer.from('garbage'))).toThrow();
  });
});
