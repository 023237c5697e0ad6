import { expect, test } from '@jest/globals';
import { AdaptiveTimeout } from '../../lib/redis/adaptive-timeout.js';
import { RedisTimeoutError } from '../../lib/redis/errors.js';

test('AdaptiveTimeout doubles with each reply that did not come in time, up to 16 times, until one comes', () => {
  const timeout = new AdaptiveTimeout(100);
  const late = (): number => {
    timeout.onFailure(new RedisTimeoutError('late'));
    return timeout.milliseconds;
  };
  expect(timeout.milliseconds).toBe(100);
  expect([late(), late()]).toEqual([200, 400]);
  timeout.onFailure(new Error('the connection is lost'));
  expect(timeout.milliseconds).toBe(400);
  expect([late(), late(), late()]).toEqual([800, 1_600, 1_600]);
  timeout.reset();
  expect(timeout.milliseconds).toBe(100);
});
