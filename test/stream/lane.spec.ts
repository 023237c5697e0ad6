import { describe, expect, test } from '@jest/globals';
import { Lane } from '../../lib/stream/lane.js';

/** A lane of which entries 1 to `appended` were appended, and some were read back. */
function lane(taken: number, appended: number, read: number): Lane {
  const one = new Lane('me');
  for (let n = 0; n < taken; n++) one.next();
  one.pending -= appended;
  one.appended = appended;
  one.readUpTo(read);
  return one;
}

describe('Lane', () => {
  test('numbers its entries from 1', () => {
    const one = new Lane('me');
    expect([one.next(), one.next()]).toEqual([
      { node: 'me', seq: 1 },
      { node: 'me', seq: 2 },
    ]);
    expect([one.taken, one.pending]).toEqual([2, 2]);
  });

  test('is done when all that was taken was read back, and up to a number when all up to there was', () => {
    expect([lane(3, 3, 3).isDone, lane(3, 3, 2).isDone, lane(3, 2, 2).isDone]).toEqual([true, false, false]);
    expect([1, 2, 3].map((seq) => lane(3, 3, 2).isDoneUpTo(seq))).toEqual([true, true, false]);
  });

  test('knows what was read back from what was given up', () => {
    const one = lane(3, 3, 0);
    one.onRead(1);
    one.readUpTo(3);
    expect([one.read, one.seen]).toEqual([3, 1]);
  });

  test('does not wait for what was dropped, but for what comes before it', () => {
    const one = lane(3, 1, 0);
    one.onDropped(2, 1);
    one.onDropped(3, 1);
    expect([one.pending, one.isDone, one.isDoneUpTo(3)]).toEqual([0, false, false]);
    one.readUpTo(1);
    expect([one.isDone, one.isDoneUpTo(3)]).toEqual([true, true]);
  });

  test('is done up to what was dropped while a later entry is on its way', () => {
    const one = lane(3, 1, 1);
    one.onDropped(2, 1);
    expect([one.isDoneUpTo(2), one.isDoneUpTo(3), one.isDone]).toEqual([true, false, false]);
  });

  test('never goes back', () => {
    const one = lane(3, 3, 3);
    one.readUpTo(1);
    expect(one.read).toBe(3);
  });
});
