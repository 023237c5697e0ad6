import { beforeEach, describe, expect, test } from '@jest/globals';
import type { ClusterEvent } from '../../lib/cluster/events.js';
import { NodeRegistry, type Announcement } from '../../lib/cluster/node-registry.js';

const INTERVAL = 1_000;
const TIMEOUT = 3_000;
/** How often the registry looks for silent nodes. */
const CHECK = 200;

describe('the registry of nodes', () => {
  let now: number;
  let events: string[];
  let changes: number;
  let registry: NodeRegistry;

  beforeEach(() => {
    now = 0;
    events = [];
    changes = 0;
    registry = new NodeRegistry({
      heartbeatInterval: INTERVAL,
      heartbeatTimeout: TIMEOUT,
      now: () => now,
      emit: (event: ClusterEvent) => {
        if ('node' in event) events.push(`${event.node.id} ${event.type.replace('node-', '')}`);
      },
      onChange: () => changes++,
    });
  });

  const announcement = (id: string, more: Partial<Announcement> = {}): Announcement => ({
    ...{ id, host: 'host', pid: 1, startedAt: 0, sockets: 0, backlog: 0, servers: 1 },
    ...more,
  });

  /** Lets time go by, in which these nodes are heard in time. */
  function pass(milliseconds: number, { heard = [] as string[], deaf = false } = {}): void {
    const end = now + milliseconds;
    while (now < end) {
      now += CHECK;
      if (now % INTERVAL === 0) heard.forEach((id) => registry.heard(announcement(id)));
      registry.check(deaf);
    }
  }

  const states = (): Record<string, string> => Object.fromEntries(registry.list().map(({ id, state }) => [id, state]));

  test('lists a node that was heard, with what it told last', () => {
    registry.heard(announcement('a', { host: 'h', pid: 7, startedAt: 5, sockets: 1 }));
    registry.heard(announcement('a', { host: 'h', pid: 7, startedAt: 5, sockets: 2, backlog: 3 }));
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
    registry.heard(announcement('a'));
    pass(60_000, { heard: ['a'] });
    expect([states(), events]).toEqual([{ a: 'up' }, ['a joined']]);
  });

  test('suspects a silent node when its announcement is overdue, and takes it for down after the timeout', () => {
    registry.heard(announcement('a'));
    registry.heard(announcement('b'));
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
    registry.heard(announcement('a'));
    pass(2_400);
    registry.heard(announcement('a'));
    pass(3_400);
    registry.heard(announcement('a'));
    expect(states()).toEqual({ a: 'up' });
    expect(events).toEqual(['a joined', 'a suspected', 'a back', 'a suspected', 'a down', 'a back']);
  });

  test('has a node left that said goodbye, whatever is heard of it later', () => {
    registry.heard(announcement('a'));
    registry.left('a');
    registry.left('a');
    registry.heard(announcement('a')); // was under way
    pass(10_000);
    expect([states(), events]).toEqual([{ a: 'left' }, ['a joined', 'a left']]);
    expect(registry.isGone('a')).toBe(true);
  });

  test('does not know a node that it only heard to say goodbye', () => {
    registry.left('a');
    expect([registry.list(), events, registry.isGone('a')]).toEqual([[], [], false]);
  });

  test('no longer lists those that have been gone for long', () => {
    registry.heard(announcement('a'));
    registry.heard(announcement('b'));
    registry.left('b');
    pass(20 * TIMEOUT);
    expect(states()).toEqual({ a: 'down', b: 'left' });
    pass(20 * TIMEOUT);
    expect(states()).toEqual({});
  });

  test('blames nobody for the time in which its own process was stopped', () => {
    registry.heard(announcement('a'));
    now += 60_000;
    registry.check(false);
    pass(1_000);
    expect([states(), events]).toEqual([{ a: 'up' }, ['a joined']]);
    pass(2_400);
    expect(states()).toEqual({ a: 'down' });
  });

  test('blames nobody for the time in which it could not hear', () => {
    registry.heard(announcement('a'));
    pass(60_000, { deaf: true });
    expect([states(), events]).toEqual([{ a: 'up' }, ['a joined']]);
    pass(3_200);
    expect([states(), events]).toEqual([{ a: 'down' }, ['a joined', 'a suspected', 'a down']]);
  });

  test('does not forget how long somebody had been silent when it became deaf', () => {
    registry.heard(announcement('a'));
    pass(2_400);
    pass(10_000, { deaf: true });
    expect(states()).toEqual({ a: 'suspect' });
    pass(800);
    expect(states()).toEqual({ a: 'down' });
  });

  test('tells one change of its list for each look, however many have changed', () => {
    for (let i = 0; i < 10; i++) registry.heard(announcement(`node ${i}`));
    changes = 0;
    pass(TIMEOUT + CHECK);
    expect(changes).toBe(2); // all suspected, all down
    expect(registry.present()).toEqual([]);
  });

  test('lists a thousand nodes, and lets go of those first that are gone', () => {
    registry.heard(announcement('gone'));
    registry.left('gone');
    for (let i = 0; i < 2_000; i++) registry.heard(announcement(`node ${i}`));
    expect(registry.list().length).toBe(1_000);
    expect(states()).not.toHaveProperty('gone');
    expect(states()).toHaveProperty(['node 1999'], 'up');
  });

  describe('of one that sends and announces nothing', () => {
    test('says that it is unmonitored, after the time in which a node of ours would have announced itself', () => {
      registry.heardFrom('a', '/chat');
      pass(TIMEOUT);
      expect([states(), changes]).toEqual([{}, 0]);
      pass(CHECK);
      expect(registry.list()).toEqual([
        {
          ...{ id: 'a', namespace: '/chat', state: 'unmonitored', self: false, lastSeen: expect.any(Number) },
          ...{ host: 'unknown', pid: 0, startedAt: 0, sockets: 0, backlog: 0 },
        },
      ]);
      registry.heardFrom('a', '/chat');
      expect([registry.present(), registry.announced(), events, changes]).toEqual([[], [], [], 1]);
    });

    test('says nothing if it is a server of a node that announces itself, be it before or after', () => {
      for (const uid of ['a', 'a.1', 'b.2']) registry.heardFrom(uid, '/');
      registry.heard(announcement('a'));
      pass(2_000, { heard: ['a'] });
      registry.heard(announcement('b'));
      for (const uid of ['a', 'a.1', 'b.2']) registry.heardFrom(uid, '/');
      pass(10_000, { heard: ['a', 'b'] });
      expect(states()).toEqual({ a: 'up', b: 'up' });
    });

    test('says that it is up as soon as it announces itself', () => {
      registry.heardFrom('a.1', '/');
      pass(TIMEOUT + CHECK);
      registry.heard(announcement('a'));
      expect(states()).toEqual({ a: 'up' });
    });

    test('says nothing while this node could not have heard an announcement', () => {
      registry.heardFrom('a', '/');
      pass(60_000, { deaf: true });
      now += 60_000; // its process was stopped
      registry.check(false);
      expect(states()).toEqual({});
      pass(TIMEOUT + CHECK);
      expect(states()).toEqual({ a: 'unmonitored' });
    });

    test('forgets it when it has not sent anything for long', () => {
      registry.heardFrom('a', '/');
      pass(20 * TIMEOUT);
      registry.heardFrom('a', '/');
      pass(20 * TIMEOUT);
      expect(states()).toEqual({ a: 'unmonitored' });
      pass(10 * TIMEOUT + CHECK);
      expect([states(), changes]).toEqual([{}, 2]);
    });

    test('remembers a hundred of them', () => {
      for (let i = 0; i < 1_000; i++) registry.heardFrom(`node ${i}`, '/');
      pass(TIMEOUT + CHECK);
      expect(registry.list().length).toBe(100);
    });
  });
});
