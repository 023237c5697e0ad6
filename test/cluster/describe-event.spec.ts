import { describe, expect, test } from '@jest/globals';
import { describeEvent } from '../../lib/cluster/describe-event.js';
import type { ClusterEvent, NodeStatus } from '../../lib/cluster/events.js';

const error = new Error('NOPERM');
const stream = 'socket.io';
const node: NodeStatus = {
  ...{ id: 'n1', host: 'web-1', pid: 7, startedAt: 0, state: 'up', lastSeen: 0, sockets: 0, backlog: 0, self: false },
};

/** One of each type; the compiler says if one is missing. */
const events: { [Type in ClusterEvent['type']]: Extract<ClusterEvent, { type: Type }>[] } = {
  'redis-lost': [{ type: 'redis-lost', error }],
  'redis-reconnected': [{ type: 'redis-reconnected', afterMs: 5 }],
  'node-joined': [{ type: 'node-joined', node }],
  'node-suspected': [{ type: 'node-suspected', node }],
  'node-down': [{ type: 'node-down', node }],
  'node-back': [{ type: 'node-back', node }],
  'node-left': [{ type: 'node-left', node }],
  'message-rejected': [{ type: 'message-rejected', channel: 'socket.io#/#', reason: 'no data' }],
  'session-refused': [{ type: 'session-refused', operation: 'save', error }],
  'recovery-refused': [{ type: 'recovery-refused', namespace: '/', reason: 'trimmed' }],
  'data-left-out': [{ type: 'data-left-out', namespace: '/', path: 'data.timer', reason: 'a function' }],
  gap: [
    { type: 'gap', stream, reason: 'lost', lost: 3, origin: 'n1', before: '5-0' },
    { type: 'gap', stream, reason: 'dropped', lost: 1, origin: 'n1', before: '5-0' },
  ],
  'stream-replaced': [{ type: 'stream-replaced', stream, reason: 'deleted', position: '5-0' }],
  'stream-refused': [{ type: 'stream-refused', stream, operation: 'read', error }],
  'stream-recovered': [{ type: 'stream-recovered', stream, operation: 'append', afterMs: 5 }],
  'reads-not-blocking': [{ type: 'reads-not-blocking', stream, pauseMs: 100 }],
  'outbox-dropped': [
    { type: 'outbox-dropped', stream, reason: 'full', dropped: 1 },
    { type: 'outbox-dropped', stream, reason: 'closed', dropped: 2 },
  ],
  'outbox-accepting': [{ type: 'outbox-accepting', stream, dropped: 5 }],
  'message-refused': [{ type: 'message-refused', stream, namespace: '/', message: 'the event "x"', bytes: 9, error }],
  'entry-rejected': [{ type: 'entry-rejected', stream, id: '5-0', reason: 'broken JSON' }],
};

describe('describeEvent: the line of each event', () => {
  test.each(Object.values(events).flat())('%o names what it is about', (event) => {
    const { text } = describeEvent(event);
    if ('stream' in event) expect(text).toContain('stream "socket.io"');
    if ('node' in event) expect(text).toContain('n1 (pid 7 on web-1)');
    if ('error' in event) expect(text).toContain('NOPERM');
    if ('reason' in event && event.type.endsWith('-rejected')) expect(text).toContain(event.reason);
    if ('dropped' in event && event.type === 'outbox-accepting') expect(text).toContain('5 were dropped');
    expect(text).not.toMatch(/undefined|\[object/);
    expect(text.length).toBeLessThan(200);
  });

  test('is an error when messages are lost, and nothing when a node is only late', () => {
    const levels = Object.fromEntries(
      Object.entries(events).map(([type, of]) => [type, describeEvent(of[0] as ClusterEvent).level]),
    );
    const errors = Object.keys(levels).filter((type) => levels[type] === 'error');
    expect(errors).toEqual([
      'gap',
      'stream-replaced',
      'stream-refused',
      'outbox-dropped',
      'outbox-accepting',
      'message-refused',
    ]);
    expect(levels['node-suspected']).toBeUndefined();
  });
});
