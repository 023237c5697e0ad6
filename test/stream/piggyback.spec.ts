import { beforeEach, describe, expect, test } from '@jest/globals';
import { Lane } from '../../lib/stream/lane.js';
import { Piggyback } from '../../lib/stream/piggyback.js';

describe('Piggyback', () => {
  let lane: Lane;
  let isReady: boolean;
  let isReadComing: boolean;
  let piggyback: Piggyback;

  beforeEach(() => {
    lane = new Lane('me');
    isReady = true;
    isReadComing = true;
    piggyback = new Piggyback({ lane, maxHoldMs: 2, areReady: () => isReady, isReadComing: () => isReadComing });
    piggyback.onConnected();
  });

  test('lets entries leave with a read once one of since both connections were made was read back', () => {
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

  test('has entries wait for a read that will come, if they may leave with it', () => {
    expect(piggyback.holdMs).toBeUndefined();
    lane.next();
    lane.onRead(1);
    expect(piggyback.holdMs).toBe(2);
    isReadComing = false;
    expect(piggyback.holdMs).toBeUndefined();
    isReadComing = true;
    isReady = false;
    expect(piggyback.holdMs).toBeUndefined();
  });
});
