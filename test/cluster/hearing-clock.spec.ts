import { expect, test } from '@jest/globals';
import { HearingClock } from '../../lib/cluster/hearing-clock.js';

test('HearingClock stands still while the process is suspended, and while it is not subscribed', () => {
  let now = 1_000;
  const clock = new HearingClock(100, () => now);
  const pass = (ms: number, canHear = true): number => {
    now += ms;
    clock.tick(canHear);
    return clock.time;
  };
  expect([pass(50), pass(100)]).toEqual([50, 150]);
  expect([pass(50, false), pass(101), pass(60_000), pass(20)]).toEqual([150, 150, 150, 170]);
  now += 40;
  expect(clock.time).toBe(210);
  now += 60_000;
  expect(clock.time).toBe(270); // it may have been suspended since the last tick
});
