import { describe, expect, test } from '@jest/globals';
import { AdaptiveTimeout } from '../../lib/redis/adaptive-timeout.js';
import { RedisTimeoutError } from '../../lib/redis/errors.js';
import { Retry } from '../../lib/redis/retry.js';

const refusal = new Error('OOM command not allowed');
const silence = new RedisTimeoutError('Redis did not answer');

function setUp() {
  const calls: unknown[] = [];
  const clock = { now: 1_000 };
  const retry = new Retry(
    100,
    { onRefused: (error) => calls.push(error), onUsable: (afterMs) => calls.push(afterMs) },
    () => clock.now,
  );
  return { retry, calls, clock };
}

describe('Retry', () => {
  test('calls once when Redis begins to refuse, and once when the operation works again', () => {
    const { retry, calls, clock } = setUp();
    retry.onSuccess();
    retry.onFailure(refusal, true);
    clock.now += 250;
    retry.onFailure(new Error('OOM again'), true);
    expect(retry.error?.message).toBe('OOM again');
    expect(calls).toEqual([refusal]);
    clock.now += 250;
    retry.onSuccess();
    retry.onSuccess();
    expect(retry.error).toBeUndefined();
    expect(calls).toEqual([refusal, 500]);
    retry.onFailure(refusal, true);
    expect(calls).toEqual([refusal, 500, refusal]);
  });

  test('does not call for a connection that is lost, and knows why the operation does not work', () => {
    const { retry, calls } = setUp();
    retry.onLost(silence);
    expect(retry.error).toBe(silence);
    retry.onFailure(refusal, false);
    expect(retry.error).toBe(refusal);
    retry.onSuccess();
    expect(calls).toEqual([]);
  });

  test('pauses longer with each failure, up to 2 s, and briefly again after a success or a new connection', () => {
    const { retry } = setUp();
    for (const again of [() => retry.onSuccess(), () => retry.onReady()]) {
      const pauses = Array.from({ length: 12 }, () => retry.pause());
      expect(pauses[0]).toBeGreaterThanOrEqual(50);
      expect(pauses[0]).toBeLessThanOrEqual(100);
      expect(pauses.at(-1)).toBeGreaterThanOrEqual(1_000);
      expect(Math.max(...pauses)).toBeLessThanOrEqual(2_000);
      again();
      expect(retry.pause()).toBeLessThanOrEqual(100);
      again();
    }
  });

  test('waits longer for a reply after each that did not come in time, until one comes', () => {
    const { retry } = setUp();
    expect(retry.commandTimeout).toBe(100);
    retry.onFailure(refusal, true);
    expect(retry.commandTimeout).toBe(100);
    for (const expected of [200, 400, 800, 1_600, 1_600]) {
      retry.onFailure(silence, true);
      expect(retry.commandTimeout).toBe(expected);
    }
    retry.onSuccess();
    expect(retry.commandTimeout).toBe(100);
  });
});

test('AdaptiveTimeout grows with silence only', () => {
  const timeout = new AdaptiveTimeout(10);
  timeout.onFailure(refusal);
  timeout.onFailure(silence);
  expect(timeout.milliseconds).toBe(20);
  timeout.reset();
  expect(timeout.milliseconds).toBe(10);
});
