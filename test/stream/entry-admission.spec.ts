import { beforeEach, describe, expect, test } from '@jest/globals';
import { EntryAdmission } from '../../lib/stream/entry-admission.js';
import type { StreamEvent } from '../../lib/stream/events.js';
import { GapDetector } from '../../lib/stream/gap-detector.js';
import { OwnLanes } from '../../lib/stream/own-lanes.js';
import { ReadProgress } from '../../lib/stream/read-progress.js';
import { EntryType, type LogEntry } from '../../lib/wire/entry.js';

function entry(n: number, seq: number, more: Partial<LogEntry> = {}): LogEntry {
  const origin = { node: 'publisher', seq };
  return { id: `${n}-0`, uid: 'publisher', nsp: '/', type: EntryType.Broadcast, data: '{}', origin, ...more };
}

describe('EntryAdmission', () => {
  let progress: ReadProgress;
  let lanes: OwnLanes;
  let admission: EntryAdmission;
  let inStream: LogEntry[];
  let read: string[];
  let delivered: string[];
  let events: StreamEvent[];
  let broken: [position: string, lostUpTo: string][];

  beforeEach(() => {
    lanes = new OwnLanes('me', 'local-first');
    [inStream, read, delivered, events, broken] = [[], [], [], [], []];
    admission = create();
  });

  function create(): EntryAdmission {
    const gaps = new GapDetector();
    progress = new ReadProgress(gaps);
    const target = {
      before: () => undefined,
      onRead: ({ id }: LogEntry) => {
        read.push(id);
        return false;
      },
      deliver: ({ id }: LogEntry) => void delivered.push(id),
    };
    return new EntryAdmission(gaps, progress, target, {
      ...{ stream: 'log', lanes },
      older: { upTo: async () => ({ entries: [...inStream].reverse(), oldest: inStream[0]?.id, atStart: true }) },
      emit: (event) => events.push(event),
      onBroken: (...where) => broken.push(where),
      onProgress: () => undefined,
    });
  }

  test('hands on each entry once, and moves the position on', () => {
    for (const one of [entry(1, 1), entry(2, 2), entry(3, 2), entry(4, 3)]) admission.deliver(one);
    expect(delivered).toEqual(['1-0', '2-0', '4-0']);
    expect(read).toEqual(delivered);
    expect(progress.position).toBe('4-0');
    expect(admission.counters).toEqual({ read: 4, duplicates: 1, lost: 0, rejected: 0 });
  });

  test('reports what is missing before an entry; what its publisher dropped breaks nothing', () => {
    admission.deliver(entry(1, 1));
    admission.deliver(entry(2, 4, { prev: 2 }));
    const gap = { type: 'gap', stream: 'log', origin: 'publisher', before: '2-0' };
    expect(events).toEqual([
      { ...gap, reason: 'lost', lost: 1 },
      { ...gap, reason: 'dropped', lost: 1 },
    ]);
    expect(broken).toEqual([['1-0', '2-0']]);
  });

  test('reports no loss of own entries that its clients had at once, but nobody is recovered over the gap', () => {
    const { main, direct } = lanes;
    admission.deliver(entry(1, 1, { origin: { node: main.node, seq: 1 } }));
    admission.deliver(entry(2, 3, { origin: { node: main.node, seq: 3 } }));
    expect(broken).toEqual([['1-0', '2-0']]);
    expect([events, admission.counters.lost]).toEqual([[], 0]);

    // In the ordering `log` those of the lane `direct` were; the others are delivered when they are read.
    lanes = new OwnLanes('me', 'log');
    const inOrder = create();
    for (const { node } of [main, direct]) {
      inOrder.deliver(entry(1, 1, { origin: { node, seq: 1 } }));
      inOrder.deliver(entry(2, 3, { origin: { node, seq: 3 } }));
    }
    expect(events.map((event) => event.type === 'gap' && event.origin)).toEqual([main.node]);
    expect(inOrder.counters.lost).toBe(1);
  });

  test('counts an entry that cannot be understood as read but does not deliver it; one event for a reason', () => {
    admission.deliver(entry(1, 1, { problem: 'no type' }));
    admission.deliver(entry(2, 2, { problem: 'no type' }));
    expect([read, delivered]).toEqual([['1-0', '2-0'], []]);
    expect(admission.counters.rejected).toBe(2);
    expect(events).toEqual([{ type: 'entry-rejected', stream: 'log', id: '1-0', reason: 'no type' }]);
  });

  test('knows an entry that was sent again, by a publisher that is not known, by looking back in the stream', async () => {
    inStream = [entry(1, 6), entry(2, 7)];
    const again = entry(3, 7, { isResent: true });
    await admission.before(again);
    admission.deliver(again);
    expect([delivered, admission.counters.duplicates]).toEqual([[], 1]);
    expect(admission.before(entry(4, 8, { isResent: true }))).toBeUndefined();
  });

  test('does not wait for own entries that were announced and will not come', () => {
    lanes.main.next();
    lanes.main.appended = 1;
    progress.position = '5-0';
    expect(admission.announce('me', 1, '4-0')).toBe(true);
    admission.markVerified(admission.unverified());
    admission.findMissing(false);
    expect(lanes.main.read).toBe(1);
  });
});
