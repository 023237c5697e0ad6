import { beforeEach, describe, expect, test } from '@jest/globals';
import { GivenCut } from '../../lib/stream/given-cut.js';
import { LogDelivery } from '../../lib/stream/log-delivery.js';
import { OwnLanes } from '../../lib/stream/own-lanes.js';
import { EntryType, type LogEntry } from '../../lib/wire/entry.js';

const entry = (n: number, node: string, more: Partial<LogEntry> = {}): LogEntry => ({
  ...{ id: `${n}-0`, uid: node, nsp: '/', type: EntryType.Broadcast, data: '{}', origin: { node, seq: n } },
  ...more,
});

describe('LogDelivery', () => {
  let lanes: OwnLanes;
  let cut: GivenCut;
  let happened: string[];
  let handled: Promise<void> | undefined;
  let delivery: LogDelivery;

  beforeEach(() => {
    lanes = new OwnLanes('me', 'local-first');
    cut = new GivenCut(lanes.atOnce, { position: '0-0', origin: undefined, formerNumbers: [] });
    happened = [];
    handled = undefined;
    const memory = {
      onRead: ({ id }: LogEntry, lane: unknown) => void happened.push(`remembered ${id} ${lane === lanes.main}`),
    };
    const target = {
      whenRequestHandled: () => handled,
      deliver: (one: LogEntry, own: boolean) => {
        happened.push(`delivered ${one.id} ${own} ${cut.offsetAt(one)}`);
        return !own;
      },
    };
    delivery = new LogDelivery(lanes, cut, memory as never, target);
  });

  function read(one: LogEntry): void {
    delivery.deliver(one, delivery.onRead(one));
  }

  test('remembers an entry before it is delivered, and counts those that somebody here was given', () => {
    read(entry(1, 'other'));
    expect(happened).toEqual(['remembered 1-0 false', 'delivered 1-0 false 1-0']);
    expect(delivery.delivered).toBe(1);
  });

  test('an own entry counts as read back before it is delivered, so that it is in the cut meanwhile', () => {
    lanes.main.next();
    lanes.main.appended = 1;
    lanes.main.pending = 0;
    expect(cut.offset()).toBe('0-0,me:1');
    read(entry(1, 'me'));
    expect(happened).toEqual(['remembered 1-0 true', 'delivered 1-0 true 1-0']);
    expect([lanes.main.read, delivery.delivered, cut.offset()]).toEqual([1, 0, '0-0']);
  });

  test('an entry that carries no number of a request waits for none', () => {
    handled = new Promise(() => undefined);
    expect(delivery.before(entry(1, 'other'))).toBeUndefined();
  });

  test('an entry waits for the request before it, also if that fails, and for a tenth of a second at most', async () => {
    expect(delivery.before(entry(1, 'other', { bus: 3 }))).toBeUndefined();
    handled = Promise.reject(new Error('no'));
    await delivery.before(entry(1, 'other', { bus: 3 }));
    handled = new Promise(() => undefined);
    const since = performance.now();
    await delivery.before(entry(1, 'other', { bus: 3 }));
    expect(performance.now() - since).toBeGreaterThan(90);
  });
});
