import { beforeEach, describe, expect, test } from '@jest/globals';
import { noCounts, noRefusals, type NodeStatus } from '../../lib/cluster/events.js';
import { NodeReport, readerOf, type ReportedParts } from '../../lib/cluster/node-report.js';

const other: NodeStatus = {
  ...{ id: 'other', host: 'host', pid: 1, startedAt: 1, state: 'up', lastSeen: 1, sockets: 0, backlog: 0, self: false },
};

describe('NodeReport', () => {
  let lost: Record<string, string>;
  let errors: { read?: Error; append?: Error };
  let unsubscribed: string[];
  let unheard: Error | undefined;
  const report = (role: 'node' | 'observer' = 'node'): NodeReport =>
    new NodeReport({
      ...{ id: 'self', role, registry: { list: () => [other] } },
      namespaces: { socketCount: 5, serverCount: 2 },
      counters: { status: () => ({ counters: noCounts(), refusedRecoveries: noRefusals() }) },
    });
  const parts = (): ReportedParts => ({
    connections: {
      isLost: (name) => name in lost,
      reasons: () => Object.entries(lost).map(([name, why]) => `the ${name} connection is lost: ${why}`),
    },
    logs: ['a', 'b'].map((name) => ({ name, error: errors, backlog: 4, status: () => ({ name }) as never })),
    subscriptions: { reasons: () => unsubscribed },
    heartbeats: { error: unheard },
    sessions: { liveCount: 6 },
  });

  beforeEach(() => {
    lost = {};
    errors = {};
    unsubscribed = [];
    unheard = undefined;
  });

  test('lists this node first, with the sockets of all namespaces and the backlog of all streams', () => {
    const [self, ...others] = report().nodes('running', parts());
    expect(self).toMatchObject({ id: 'self', pid: process.pid, sockets: 5, backlog: 8, state: 'up', self: true });
    expect(others).toEqual([other]);
    expect(report().nodes('closed', parts())[0]!.state).toBe('left');
  });

  test('lists no observer', () => {
    expect(report('observer').nodes('running', parts())).toEqual([other]);
  });

  test.each([
    ['new', 'starting'],
    ['starting', 'starting'],
    ['running', 'running'],
    ['closing', 'closed'],
    ['closed', 'closed'],
  ] as const)('calls the mode "%s" the state "%s" if nothing is wrong', (mode, state) => {
    expect(report().status(mode, mode === 'new' ? undefined : parts())).toMatchObject({
      id: 'self',
      state,
      reasons: [],
    });
  });

  test('calls a running node degraded, with the reason, when part of it does not work', () => {
    unsubscribed = ['channels are not subscribed'];
    expect(report().status('running', parts())).toMatchObject({ state: 'degraded', reasons: unsubscribed });
    expect(report().status('closed', parts()).state).toBe('closed');
  });

  test('says of each stream why it cannot be used, and why heartbeats cannot be published', () => {
    errors = { read: new Error('no rights'), append: new Error('full') };
    unheard = new Error('no channel');
    expect(report().reasons(parts())).toEqual([
      'the stream "a" cannot be read: no rights',
      'the stream "a" cannot be appended to: full',
      'the stream "b" cannot be read: no rights',
      'the stream "b" cannot be appended to: full',
      'heartbeats cannot be published: no channel',
    ]);
  });

  test('names a lost connection only, not what cannot be done because of it', () => {
    errors = { read: new Error('away'), append: new Error('away') };
    unheard = new Error('away');
    lost = { commands: 'reset', [readerOf('a')]: 'reset', [readerOf('b')]: 'reset' };
    expect(report().reasons(parts())).toEqual([
      'the commands connection is lost: reset',
      'the reader of "a" connection is lost: reset',
      'the reader of "b" connection is lost: reset',
    ]);
  });

  test('has no reasons before it is started', () => {
    expect(report().reasons(undefined)).toEqual([]);
    expect(report().info(undefined)).toMatchObject({ id: 'self', backlog: 0, servers: 2 });
  });
});
