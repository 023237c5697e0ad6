import { beforeEach, describe, expect, test } from '@jest/globals';
import type { ClusterEvent } from '../../lib/cluster/events.js';
import { HearingClock } from '../../lib/cluster/hearing-clock.js';
import { NodeRegistry } from '../../lib/cluster/node-registry.js';
import type { NodeInfo } from '../../lib/wire/control.js';

const INTERVAL = 1_000;
const TIMEOUT = 3_000;
/** How often the registry looks for silent nodes. */
const CHECK = 200;

describe('NodeRegistry', () => {
  let now: number;
  let events: string[];
  /** How often the list, and who is in it, have changed. */
  let changes: number;
  let memberships: number;
  let clock: HearingClock;
  let registry: NodeRegistry;

  beforeEach(() => {
    now = 0;
    events = [];
    changes = memberships = 0;
    clock = new HearingClock(INTERVAL / 2, () => now);
    registry = new NodeRegistry({
      heartbeatInterval: INTERVAL,
      heartbeatTimeout: TIMEOUT,
      clock,
      events: {
        emit: (event: ClusterEvent) => {
          if ('node' in event) events.push(`${event.node.id} ${event.type.replace('node-', '')}`);
        },
        notifyNodes: () => changes++,
      },
      onMembership: () => memberships++,
      now: () => now,
    });
  });

  const info = (id: string, more: Partial<NodeInfo> = {}): NodeInfo => ({
    ...{ id, host: 'host', pid: 1, startedAt: 0, sockets: 0, backlog: 0, servers: 1 },
    ...more,
  });

  function look({ deaf = false } = {}): void {
    clock.tick(!deaf);
    registry.check();
  }

  /** Lets time go by, in which these nodes are heard in time. */
  function pass(milliseconds: number, { heard = [] as string[], deaf = false } = {}): void {
    const end = now + milliseconds;
    while (now < end) {
      now += CHECK;
      if (now % INTERVAL === 0) heard.forEach((id) => registry.onHeartbeat(info(id)));
      look({ deaf });
    }
  }

  const states = (): Record<string, string> => Object.fromEntries(registry.list().map(({ id, state }) => [id, state]));

  describe('of what a node hears', () => {
    const hears = { losses: 0, unheard: [], root: true };
    const isDeaf = { losses: 1, unheard: ['/'], root: true };

    test('knows what it said last, as long as it is there', () => {
      registry.onHeartbeat(info('a'), hears);
      registry.onHeartbeat(info('b'));
      expect(registry.hearingOf('a')).toEqual(hears);
      expect([registry.hearingOf('b'), registry.hearingOf('c')]).toEqual([undefined, undefined]);
      registry.onHeartbeat(info('a'), isDeaf);
      expect(registry.hearingOf('a')).toEqual(isDeaf);
      registry.onGoodbye('a');
      expect(registry.hearingOf('a')).toBeUndefined();
    });

    test('calls each change one of membership: who waits for it looks again', () => {
      registry.onHeartbeat(info('a'), hears);
      registry.onHeartbeat(info('a'), { ...hears });
      expect(memberships).toBe(1);
      registry.onHeartbeat(info('a'), isDeaf);
      registry.onHeartbeat(info('a'), { ...isDeaf, unheard: [] });
      expect(memberships).toBe(3);
    });

    test('takes one without a subscription for deaf, and for killed if it does not say so soon', () => {
      registry.onHeartbeat(info('a'), hears);
      expect([registry.mayBeDeaf('a'), registry.mayBeDeaf('unknown')]).toEqual([true, false]);
      now += 249;
      expect(registry.mayBeDeaf('a')).toBe(true);
      now += 1;
      expect(registry.mayBeDeaf('a')).toBe(false);
      registry.onHeartbeat(info('a'), hears); // it is there
      expect(registry.mayBeDeaf('a')).toBe(true);
    });

    test('concludes nothing from its silence while this node does not hear, nor for as long again afterwards', () => {
      registry.onHeartbeat(info('a'), hears);
      expect(registry.mayBeDeaf('a')).toBe(true);
      registry.onDeaf();
      now += 1_000;
      registry.onDeaf();
      now += 1_000;
      expect(registry.mayBeDeaf('a')).toBe(true);
      registry.onHearing();
      expect(registry.mayBeDeaf('a')).toBe(true);
      now += 2_249;
      expect(registry.mayBeDeaf('a')).toBe(true);
      now += 1;
      expect(registry.mayBeDeaf('a')).toBe(false);
    });
  });

  test('lists a node that was heard, with what it reported last', () => {
    registry.onHeartbeat(info('a', { host: 'h', pid: 7, startedAt: 5, sockets: 1 }));
    registry.onHeartbeat(info('a', { host: 'h', pid: 7, startedAt: 5, sockets: 2, backlog: 3 }));
    expect(registry.list()).toEqual([
      {
        id: 'a',
        host: 'h',
        pid: 7,
        startedAt: 5,
        sockets: 2,
        backlog: 3,
        state: 'up',
        self: false,
        lastSeen: expect.any(Number),
      },
    ]);
    expect([events, changes]).toEqual([['a joined'], 2]);
  });

  test('keeps those up that are heard in time', () => {
    registry.onHeartbeat(info('a'));
    pass(60_000, { heard: ['a'] });
    expect([states(), events]).toEqual([{ a: 'up' }, ['a joined']]);
  });

  test('suspects a silent node when its heartbeat is overdue, and takes it for down after the timeout', () => {
    registry.onHeartbeat(info('a'));
    registry.onHeartbeat(info('b'));
    pass(2_000, { heard: ['b'] });
    expect(states()).toEqual({ a: 'up', b: 'up' });
    pass(200, { heard: ['b'] });
    expect(states()).toEqual({ a: 'suspect', b: 'up' });
    expect(registry.isGone('a')).toBe(false);
    pass(800, { heard: ['b'] });
    expect(states()).toEqual({ a: 'suspect', b: 'up' });
    pass(200, { heard: ['b'] });
    expect(states()).toEqual({ a: 'down', b: 'up' });
    expect([registry.isGone('a'), registry.present().map(({ id }) => id)]).toEqual([true, ['b']]);
    expect(events).toEqual(['a joined', 'b joined', 'a suspected', 'a down']);
  });

  test('has a node back that is heard again, suspected or down', () => {
    registry.onHeartbeat(info('a'));
    pass(2_400);
    registry.onHeartbeat(info('a'));
    pass(3_400);
    registry.onHeartbeat(info('a'));
    expect(states()).toEqual({ a: 'up' });
    expect(events).toEqual(['a joined', 'a suspected', 'a back', 'a suspected', 'a down', 'a back']);
  });

  test('has a node left that said goodbye, whatever is heard of it later', () => {
    registry.onHeartbeat(info('a'));
    registry.onGoodbye('a');
    registry.onGoodbye('a');
    registry.onHeartbeat(info('a')); // was under way
    pass(10_000);
    expect([states(), events]).toEqual([{ a: 'left' }, ['a joined', 'a left']]);
    expect(registry.isGone('a')).toBe(true);
  });

  test('does not know a node that it only heard to say goodbye', () => {
    registry.onGoodbye('a');
    expect([registry.list(), events, registry.isGone('a')]).toEqual([[], [], false]);
  });

  test('no longer lists those that have been gone for long', () => {
    registry.onHeartbeat(info('a'));
    registry.onHeartbeat(info('b'));
    registry.onGoodbye('b');
    pass(20 * TIMEOUT);
    expect(states()).toEqual({ a: 'down', b: 'left' });
    pass(20 * TIMEOUT);
    expect(states()).toEqual({});
  });

  test('blames nobody for the time in which its own process was stopped', () => {
    registry.onHeartbeat(info('a'));
    now += 60_000;
    look();
    pass(1_000);
    expect([states(), events]).toEqual([{ a: 'up' }, ['a joined']]);
    pass(2_400);
    expect(states()).toEqual({ a: 'down' });
  });

  test('blames nobody for the time in which it could not hear', () => {
    registry.onHeartbeat(info('a'));
    pass(60_000, { deaf: true });
    expect([states(), events]).toEqual([{ a: 'up' }, ['a joined']]);
    pass(3_200);
    expect([states(), events]).toEqual([{ a: 'down' }, ['a joined', 'a suspected', 'a down']]);
  });

  test('does not forget how long somebody had been silent when it became deaf', () => {
    registry.onHeartbeat(info('a'));
    pass(2_400);
    pass(10_000, { deaf: true });
    expect(states()).toEqual({ a: 'suspect' });
    pass(800);
    expect(states()).toEqual({ a: 'down' });
  });

  test('reports one change of its list for each look, however many have changed', () => {
    for (let i = 0; i < 10; i++) registry.onHeartbeat(info(`node ${i}`));
    changes = 0;
    pass(TIMEOUT + CHECK);
    expect(changes).toBe(2); // all suspected, all down
    expect(registry.present()).toEqual([]);
  });

  test('lists a thousand nodes, and lets go of those first that are gone', () => {
    registry.onHeartbeat(info('gone'));
    registry.onGoodbye('gone');
    for (let i = 0; i < 2_000; i++) registry.onHeartbeat(info(`node ${i}`));
    expect(registry.list().length).toBe(1_000);
    expect(states()).not.toHaveProperty('gone');
    expect(states()).toHaveProperty(['node 1999'], 'up');
  });

  test('says that its members have changed when one comes, goes or comes back, not with each heartbeat', () => {
    registry.onHeartbeat(info('a'));
    expect(memberships).toBe(1);
    pass(60_000, { heard: ['a'] });
    registry.onHeartbeat(info('a', { sockets: 7 }));
    expect([memberships, changes]).toEqual([1, 62]);
    pass(2_400);
    expect([states(), memberships]).toEqual([{ a: 'suspect' }, 1]); // it is asked still
    registry.onHeartbeat(info('a'));
    expect(memberships).toBe(1);
    pass(TIMEOUT + CHECK);
    expect([states(), memberships]).toEqual([{ a: 'down' }, 2]);
    registry.onHeartbeat(info('a'));
    expect(memberships).toBe(3);
    registry.onHeartbeat(info('a', { servers: 2 }));
    expect(memberships).toBe(4);
    registry.onGoodbye('a');
    expect(memberships).toBe(5);
  });

  describe('of one that sends and announces nothing', () => {
    test('says that it is unmonitored, after the time in which a node of ours would have announced itself', () => {
      registry.onTraffic('a', '/chat');
      pass(TIMEOUT);
      expect([states(), changes]).toEqual([{}, 0]);
      pass(CHECK);
      expect(registry.list()).toEqual([
        {
          ...{ id: 'a', namespace: '/chat', state: 'unmonitored', self: false, lastSeen: expect.any(Number) },
          ...{ host: 'unknown', pid: 0, startedAt: 0, sockets: 0, backlog: 0 },
        },
      ]);
      registry.onTraffic('a', '/chat');
      expect([registry.present(), registry.known(), events, changes]).toEqual([[], [], [], 1]);
    });

    test('says nothing if it is a server of a node that announces itself, be it before or after', () => {
      for (const uid of ['a', 'a.1', 'b.2']) registry.onTraffic(uid, '/');
      registry.onHeartbeat(info('a'));
      pass(2_000, { heard: ['a'] });
      registry.onHeartbeat(info('b'));
      for (const uid of ['a', 'a.1', 'b.2']) registry.onTraffic(uid, '/');
      pass(10_000, { heard: ['a', 'b'] });
      expect(states()).toEqual({ a: 'up', b: 'up' });
    });

    test('says that it is up as soon as it announces itself', () => {
      registry.onTraffic('a.1', '/');
      pass(TIMEOUT + CHECK);
      registry.onHeartbeat(info('a'));
      expect(states()).toEqual({ a: 'up' });
    });

    test('says nothing while this node could not have heard a heartbeat', () => {
      registry.onTraffic('a', '/');
      pass(60_000, { deaf: true });
      now += 60_000; // its process was stopped
      look();
      expect(states()).toEqual({});
      pass(TIMEOUT + CHECK);
      expect(states()).toEqual({ a: 'unmonitored' });
    });

    test('forgets it when it has not sent anything for long', () => {
      registry.onTraffic('a', '/');
      pass(20 * TIMEOUT);
      registry.onTraffic('a', '/');
      pass(20 * TIMEOUT);
      expect(states()).toEqual({ a: 'unmonitored' });
      pass(10 * TIMEOUT + CHECK);
      expect([states(), changes]).toEqual([{}, 2]);
    });

    test('remembers a hundred of them', () => {
      for (let i = 0; i < 1_000; i++) registry.onTraffic(`node ${i}`, '/');
      pass(TIMEOUT + CHECK);
      expect(registry.list().length).toBe(100);
    });
  });
});
