import { expect, test } from '@jest/globals';
import { Backoff } from '../../lib/redis/backoff.js';

test('Backoff doubles its delays up to the longest, each shortened by up to a half, until a reset', () => {
  for (let run = 0; run < 50; run++) {
    const backoff = new Backoff(100, 2_000);
    for (const longest of [100, 200, 400, 800, 1_600, 2_000, 2_000, 2_000]) {
      const delay = backoff.next();
      expect([delay >= longest / 2, delay <= longest]).toEqual([true, true]);
    }
    backoff.reset();
    expect(backoff.next()).toBeLessThanOrEqual(100);
  }
});
