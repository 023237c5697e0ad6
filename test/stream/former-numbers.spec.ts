import { describe, expect, test } from '@jest/globals';
import { GapDetector } from '../../lib/stream/gap-detector.js';

const at = (seconds: number): string => `${1_700_000_000_000 + seconds * 1_000}-0`;

/** A reader that has read entries 1 to 3 of "a", the last two of which the history lacks that comes next. */
function restarted(): GapDetector {
  const gaps = new GapDetector();
  for (const seq of [1, 2, 3]) {
    gaps.admit({ node: 'a', seq }, undefined, at(seq));
  }
  gaps.restart(at(1));
  return gaps;
}

describe('FormerNumbers: after a history was replaced, GapDetector', () => {
  test('names what was read of publishers that may send it again, until it is read', () => {
    const gaps = restarted();
    expect(gaps.formerNumbers).toEqual([{ node: 'a', seq: 3 }]);
    expect(gaps.isRepeated({ node: 'a', seq: 2 })).toBe(true);
    expect(gaps.isRepeated({ node: 'a', seq: 2 })).toBe(false); // sent thrice
    expect(gaps.formerNumbers).toEqual([{ node: 'a', seq: 3 }]);
    expect(gaps.isRepeated({ node: 'a', seq: 3 })).toBe(true);
    expect(gaps.formerNumbers).toEqual([]);
  });

  test('names it no more when the publisher goes on with what comes after', () => {
    const gaps = restarted();
    expect(gaps.isRepeated({ node: 'a', seq: 4 })).toBe(false);
    expect(gaps.formerNumbers).toEqual([]);
  });

  test('names it no more when the publisher has had the answer, and its place in the stream has been passed', () => {
    const gaps = restarted();
    expect(gaps.announce('a', 2, at(2))).toBe(false); // not of number 3
    expect(gaps.announce('a', 3, at(3))).toBe(true);
    gaps.markVerified(gaps.unverified());
    expect(gaps.takeMissing(at(2), false)).toEqual([]);
    expect(gaps.formerNumbers).toEqual([{ node: 'a', seq: 3 }]);
    expect(gaps.takeMissing(at(4), false)).toEqual([]);
    expect(gaps.formerNumbers).toEqual([]);
  });

  test('does not name what the history still has, nor what is too old to be sent again', () => {
    const gaps = new GapDetector();
    gaps.admit({ node: 'old', seq: 1 }, undefined, at(1));
    gaps.admit({ node: 'kept', seq: 1 }, undefined, at(100));
    gaps.admit({ node: 'lost', seq: 1 }, undefined, at(101));
    gaps.restart(at(100));
    expect(gaps.formerNumbers).toEqual([{ node: 'lost', seq: 1 }]);
    gaps.restart(at(0));
    expect(gaps.formerNumbers.map(({ node }) => node)).not.toContain('old');
  });
});
