import { beforeEach, describe, expect, test } from '@jest/globals';
import { Fences } from '../../lib/stream/fences.js';
import { Lane } from '../../lib/stream/lane.js';

describe('Fences', () => {
  let lane: Lane;
  let fences: Fences;

  beforeEach(() => {
    lane = new Lane('node');
    fences = new Fences(lane, { maxEntries: 1_000_000, maxBytes: 1_000_000_000 });
  });

  test('are due when all own entries before them are read back', () => {
    lane.next();
    lane.next();
    fences.push(() => undefined, 0, 0);
    lane.readUpTo(1);
    expect(fences.isDue).toBe(false);
    lane.readUpTo(2);
    expect(fences.isDue).toBe(true);
  });

  test('are due when what they wait for was dropped', () => {
    lane.next();
    lane.next();
    lane.next();
    fences.push(() => undefined, 0, 0);
    lane.onDropped(2, 1);
    lane.onDropped(3, 1);
    expect(fences.isDue).toBe(false); // the first is not read back
    lane.readUpTo(1);
    expect(fences.isDue).toBe(true);
  });

  test('drop the oldest when there are more than the outbox may hold, with what waits there', () => {
    const small = new Fences(lane, { maxEntries: 3, maxBytes: 10_000 });
    const ran: number[] = [];
    lane.next();
    expect([1, 2, 3, 4].map((n) => small.push(() => ran.push(n), 0, 0))).toEqual([0, 0, 0, 1]);
    expect(small.push(() => ran.push(5), 0, 9_000)).toBe(3); // only one has room beside
    expect(small.length).toBe(1);
    small.shift()!();
    expect(ran).toEqual([5]);
    expect(small.bytes).toBe(0);
  });

  test('cost the same each, however many there are', () => {
    lane.next();
    const time = (count: number): number => {
      const begin = performance.now();
      for (let i = 0; i < count; i++) fences.push(() => undefined, 0, 0);
      while (fences.length > 0) fences.shift()!();
      return performance.now() - begin;
    };
    time(10_000);
    expect(time(500_000)).toBeLessThan(2_000); // quadratic, it took minutes
  });
});
