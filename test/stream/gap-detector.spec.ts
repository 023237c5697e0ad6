import { beforeEach, describe, expect, test } from '@jest/globals';
import { GapDetector } from '../../lib/stream/gap-detector.js';

const NODE = 'node';

describe('GapDetector', () => {
  let gaps: GapDetector;
  const read = (seq: number): void => void gaps.admit({ node: NODE, seq });
  const verify = (): void => gaps.markVerified(gaps.unverified());

  beforeEach(() => {
    gaps = new GapDetector();
  });

  test('counts entries that are missing between two of a publisher, and those of them that it dropped', () => {
    read(1);
    expect(gaps.admit({ node: NODE, seq: 5 }, 3)).toEqual({ duplicate: false, lost: 2, dropped: 1 });
    expect(gaps.admit({ node: NODE, seq: 5 }, 3)).toEqual({ duplicate: true, lost: 0, dropped: 0 });
    expect(gaps.lastOf(NODE)).toBe(5);
  });

  test('calls nothing missing before the first entry of a publisher of which nothing is known', () => {
    expect(gaps.knows(NODE)).toBe(false);
    expect(gaps.admit({ node: NODE, seq: 7 })).toEqual({ duplicate: false, lost: 0, dropped: 0 });
  });

  test('finds an announced entry missing when its place in a verified stream has been passed', () => {
    read(1);
    expect(gaps.announce(NODE, 3, '30-0')).toBe(true);
    expect(gaps.takeMissing('40-0', false)).toEqual([]); // it may be an id of another history
    verify();
    expect(gaps.takeMissing('29-0', false)).toEqual([]);
    expect(gaps.takeMissing('30-0', false)).toEqual([{ node: NODE, seq: 3, id: '30-0', lost: 2 }]);
    expect(gaps.takeMissing('30-0', false)).toEqual([]);
    expect(gaps.lastOf(NODE)).toBe(3);
  });

  test('finds an announced entry missing when two reads have brought nothing', () => {
    read(1);
    gaps.announce(NODE, 2, '30-0');
    verify();
    expect(gaps.takeMissing('10-0', true)).toEqual([]);
    expect(gaps.takeMissing('10-0', false)).toEqual([]);
    expect(gaps.takeMissing('10-0', true)).toEqual([{ node: NODE, seq: 2, id: '30-0', lost: 1 }]);
  });

  test('calls an announced entry missing but not lost if nothing of its publisher was ever read', () => {
    gaps.announce(NODE, 2, '30-0');
    verify();
    expect(gaps.takeMissing('30-0', false)).toEqual([{ node: NODE, seq: 2, id: '30-0', lost: 0 }]);
  });

  test('waits for no announced entry that comes', () => {
    gaps.announce(NODE, 2, '30-0');
    verify();
    read(2);
    expect(gaps.takeMissing('30-0', true)).toEqual([]);
  });

  test('wants the stream verified for new announcements of what has not been read only', () => {
    read(4);
    expect(gaps.announce(NODE, 4, '30-0')).toBe(false);
    expect(gaps.announce(NODE, 5, '31-0')).toBe(true);
    expect(gaps.announce(NODE, 5, '31-0')).toBe(false);
  });

  test('does not take an announcement for verified that came after the verification began', () => {
    read(1);
    const verified = gaps.unverified();
    gaps.announce(NODE, 2, '20-0');
    gaps.markVerified(verified);
    expect(gaps.takeMissing('30-0', false)).toEqual([]);
  });

  test('waits for at most 2,048 announcements, the latest, whatever nodes are made up', () => {
    gaps.announce(NODE, 1, '30-0');
    for (let i = 0; i < 10_000; i++) {
      gaps.announce(`made up ${i}`, 1, '18446744073709551615-0');
    }
    gaps.announce(NODE, 1, '30-0'); // with its next heartbeat
    verify();
    expect(gaps.unverified()).toHaveLength(2_048);
    expect(gaps.takeMissing('30-0', false)).toEqual([{ node: NODE, seq: 1, id: '30-0', lost: 0 }]);
  });

  test('finds nothing missing by announcements of a history that was replaced', () => {
    read(1);
    gaps.announce(NODE, 2, '20-0');
    verify();
    gaps.restart('10-0');
    expect(gaps.takeMissing('30-0', false)).toEqual([]);
  });
});
