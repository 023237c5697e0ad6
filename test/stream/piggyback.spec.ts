import { beforeEach, describe, expect, test } from '@jest/globals';
import { Lane } from '../../lib/stream/lane.js';
import { Piggyback } from '../../lib/stream/piggyback.js';

describe('Piggyback', () => {
  let lane: Lane;
  let isReady: boolean;
  let nextReadIn: number | undefined;
  let piggyback: Piggyback;

  beforeEach(() => {
    lane = new Lane('me');
    isReady = true;
    nextReadIn = 1;
    piggyback = new Piggyback({ lane, areReady: () => isReady, nextReadIn: () => nextReadIn });
    piggyback.onConnected();
  });

  test('lets entries leave with a read once one that was taken since both connections were made was read back', () => {
    lane.next();
    expect(piggyback.isPossible).toBe(false);
    lane.onRead(1);
    expect(piggyback.isPossible).toBe(true);

    lane.next();
    piggyback.onConnected(); // with another server, perhaps, which has got that entry from the former one
    lane.onRead(2);
    expect(piggyback.isPossible).toBe(false);
    lane.next();
    lane.onRead(3);
    expect(piggyback.isPossible).toBe(true);
  });

  test('takes nothing for read back that is only given up', () => {
    lane.next();
    lane.readUpTo(1);
    expect(piggyback.isPossible).toBe(false);
  });

  test('has entries wait for a read that is known to come, and a little longer', () => {
    expect(piggyback.holdMs(0)).toBeUndefined();
    lane.next();
    lane.onRead(1);
    nextReadIn = 0.3;
    expect(piggyback.holdMs(0)).toBe(3);
    nextReadIn = undefined;
    expect(piggyback.holdMs(0)).toBeUndefined();
    nextReadIn = 1;
    isReady = false;
    expect(piggyback.holdMs(0)).toBeUndefined();
  });
});
