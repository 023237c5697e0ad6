import { describe, expect, test } from '@jest/globals';
import { Signal } from '../../lib/time/signal.js';

describe('Signal', () => {
  test('ends all waits that have begun when it is notified, and none that begins afterwards', async () => {
    const signal = new Signal();
    const before = [signal.wait(10_000), signal.wait(10_000)];
    signal.notify();
    const after = signal.wait(1);
    expect(await Promise.all([...before, after])).toEqual([true, true, false]);
  });

  test('ends a wait whose time has passed with false, and the later ones as if it had not been', async () => {
    const signal = new Signal();
    const long = signal.wait(10_000);
    expect(await signal.wait(1)).toBe(false);
    signal.notify();
    expect(await long).toBe(true);
  });
});
