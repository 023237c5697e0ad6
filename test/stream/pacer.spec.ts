import { describe, expect, test } from '@jest/globals';
import { Pacer } from '../../lib/stream/pacer.js';

/** Sends commands as the pacer lets them go, while entries come one by one. Returns how long each command waited. */
function run(
  pacer: Pacer,
  { everyMs, forMs, start = 0 }: { everyMs: number; forMs: number; start?: number },
): number[] {
  const waits: number[] = [];
  let busyUntil = -Infinity;
  for (let now = start; now < start + forMs; now += everyMs) {
    pacer.onEntries(1, now);
    if (now < busyUntil) {
      continue; // it leaves with the command that waits
    }
    const wait = pacer.wait(now);
    waits.push(wait);
    busyUntil = now + wait;
    pacer.onCommand(busyUntil);
  }
  return waits;
}

describe('Pacer', () => {
  test('never holds a command back while entries come slowly', () => {
    const pacer = new Pacer({ maxHoldMs: 2, fastBelowMs: 1 });
    expect(Math.max(...run(pacer, { everyMs: 1.7, forMs: 1_000 }))).toBe(0);
  });

  test('lets one command in maxHoldMs go while entries come fast, and none waits longer', () => {
    const pacer = new Pacer({ maxHoldMs: 5, fastBelowMs: 1 });
    const waits = run(pacer, { everyMs: 0.1, forMs: 1_100 }).slice(-200);
    expect(waits.every((wait) => wait >= 4 && wait <= 5)).toBe(true);
    expect(Math.max(...waits)).toBeLessThanOrEqual(5);
  });

  test('holds nothing back any more once entries come slowly again', () => {
    const pacer = new Pacer({ maxHoldMs: 5, fastBelowMs: 1 });
    run(pacer, { everyMs: 0.1, forMs: 100 });
    const waits = run(pacer, { everyMs: 10, forMs: 300, start: 110 });
    expect(Math.max(...waits.slice(1))).toBe(0);
  });

  test('counts entries that come together as what they are', () => {
    const pacer = new Pacer({ maxHoldMs: 5, fastBelowMs: 1 });
    pacer.onEntries(1, 0);
    pacer.onEntries(100, 10); // one in a tenth of a millisecond
    pacer.onEntries(100, 20);
    pacer.onCommand(20);
    expect(pacer.wait(21)).toBe(4);
    pacer.onEntries(1, 90); // a pause: the next is not one of many
    expect(pacer.wait(90)).toBe(0);
  });

  test('holds nothing back if it is switched off', () => {
    const pacer = new Pacer({ maxHoldMs: 0, fastBelowMs: 1 });
    expect(Math.max(...run(pacer, { everyMs: 0.01, forMs: 100 }))).toBe(0);
    expect(pacer.isPacing).toBe(false);
  });

  test('knows whether entries come fast, whether or not a command would wait now', () => {
    const pacer = new Pacer({ maxHoldMs: 2, fastBelowMs: 1 });
    run(pacer, { everyMs: 0.1, forMs: 100 });
    expect([pacer.wait(200), pacer.isPacing]).toEqual([0, true]);
    run(pacer, { everyMs: 10, forMs: 1_000, start: 200 });
    expect(pacer.isPacing).toBe(false);
  });
});
