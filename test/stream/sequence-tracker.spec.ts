import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { SequenceTracker } from '../../lib/stream/sequence-tracker.js';

describe('SequenceTracker', () => {
  test('distinguishes a duplicate from a new entry, and how many are missing before it', () => {
    const tracker = new SequenceTracker();
    const admit = (seq: number) => tracker.admit({ node: 'a', seq });
    expect(admit(5)).toEqual({ duplicate: false, lost: 0, dropped: 0 }); // the first that is heard of it
    expect(admit(6)).toEqual({ duplicate: false, lost: 0, dropped: 0 });
    expect(admit(6)).toEqual({ duplicate: true, lost: 0, dropped: 0 });
    expect(admit(3)).toEqual({ duplicate: true, lost: 0, dropped: 0 });
    expect(admit(10)).toEqual({ duplicate: false, lost: 3, dropped: 0 });
    expect(tracker.lastOf('a')).toBe(10);
    expect([tracker.knows('a'), tracker.knows('b'), tracker.lastOf('b')]).toEqual([true, false, 0]);
  });

  test('that were before the beginning are not missing', () => {
    const tracker = new SequenceTracker();
    tracker.skipTo({ node: 'a', seq: 7 });
    tracker.skipTo({ node: 'a', seq: 3 });
    expect(tracker.admit({ node: 'a', seq: 7 })).toEqual({ duplicate: true, lost: 0, dropped: 0 });
    expect(tracker.admit({ node: 'a', seq: 8 })).toEqual({ duplicate: false, lost: 0, dropped: 0 });
  });

  test('of each publisher are counted by themselves: each is admitted once, and all gaps add up', () => {
    const origin = fc.record({ node: fc.constantFrom('a', 'b', 'c'), seq: fc.integer({ min: 1, max: 50 }) });
    fc.assert(
      fc.property(fc.array(origin, { maxLength: 200 }), (origins) => {
        const tracker = new SequenceTracker();
        const last = new Map<string, number>();
        for (const { node, seq } of origins) {
          const before = last.get(node);
          const duplicate = before !== undefined && seq <= before;
          const lost = duplicate || before === undefined ? 0 : seq - before - 1;
          expect(tracker.admit({ node, seq })).toEqual({ duplicate, lost, dropped: 0 });
          last.set(node, Math.max(seq, before ?? 0));
        }
      }),
    );
  });

  test('are forgotten of the publishers that were not heard for long, when there are thousands', () => {
    const tracker = new SequenceTracker();
    for (let i = 0; i < 100_000; i++) {
      tracker.admit({ node: 'frequent', seq: i + 1 });
      tracker.admit({ node: `node ${i}`, seq: 1 });
    }
    expect(tracker.size).toBeLessThan(10_000);
    expect(tracker.knows('node 0')).toBe(false);
    expect(tracker.lastOf('frequent')).toBe(100_000);
    expect(tracker.lastOf('node 99999')).toBe(1);
  });

  test('distinguishes what a publisher has dropped from what is lost', () => {
    const tracker = new SequenceTracker();
    tracker.admit({ node: 'a', seq: 5 });
    expect(tracker.admit({ node: 'a', seq: 9 }, 5)).toEqual({ duplicate: false, lost: 0, dropped: 3 });
    expect(tracker.admit({ node: 'a', seq: 15 }, 12)).toEqual({ duplicate: false, lost: 3, dropped: 2 });
    expect(tracker.admit({ node: 'a', seq: 20 }, 25)).toEqual({ duplicate: false, lost: 4, dropped: 0 });
    expect(tracker.admit({ node: 'b', seq: 20 }, 3)).toEqual({ duplicate: false, lost: 0, dropped: 0 });
  });

  test('says whether entries go on from what is known, as their admission does', () => {
    const step = fc.record({
      node: fc.constantFrom('a', 'b', 'c'),
      by: fc.constantFrom(-3, 0, 1, 1, 1, 2, 4),
      prev: fc.constantFrom(undefined, -4, -2, 0, 1),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const [one, other] = [new SequenceTracker(), new SequenceTracker()];
        for (const { node, by, prev } of steps) {
          const seq = Math.max(1, other.lastOf(node) + by);
          const before = prev === undefined ? undefined : seq + prev;
          const isFirst = seq > 1 && !other.knows(node);
          const goesOn = other.admit({ node, seq }, before).lost === 0 && !isFirst;
          expect([one.goOnWith({ node, seq }, before), one.lastOf(node)]).toEqual([goesOn, other.lastOf(node)]);
        }
      }),
    );
  });
});
