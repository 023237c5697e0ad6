import { describe, expect, test } from '@jest/globals';
import { IdlePause } from '../../lib/stream/idle-pause.js';

/** The pauses after reads that took so many milliseconds and brought so many entries. */
function pausesAfter(pause: IdlePause, reads: [count: number, tookMs: number][]): number[] {
  return reads.map(([count, tookMs]) => pause.after(count, tookMs));
}

const atOnce = (times: number): [number, number][] => Array.from({ length: times }, () => [0, 0.4]);

function idlePause(blockTime = 5_000): { pause: IdlePause; reported: number[] } {
  const reported: number[] = [];
  return { pause: new IdlePause({ blockTime, onNotBlocking: (pauseMs) => void reported.push(pauseMs) }), reported };
}

describe('IdlePause', () => {
  test('is none while the server waits for entries, or has some', () => {
    const { pause, reported } = idlePause();
    expect(
      pausesAfter(pause, [
        [0, 5_001],
        [3, 0.2],
        [1, 0.2],
        [0, 5_000],
        [0, 1_000],
      ]),
    ).toEqual([0, 0, 0, 0, 0]);
    expect(reported).toEqual([]);
  });

  test('grows with each empty answer that came at once, up to 100 ms, and is reported once', () => {
    const { pause, reported } = idlePause();
    expect(pausesAfter(pause, atOnce(9))).toEqual([1, 2, 4, 8, 16, 32, 64, 100, 100]);
    pausesAfter(pause, [[0, 5_000], ...atOnce(20)]);
    expect(reported).toEqual([100]);
  });

  test.each<[string, [number, number]]>([
    ['an entry', [1, 0.4]],
    ['an answer for which the server has waited', [0, 5_000]],
  ])('begins anew after %s', (_, read) => {
    const { pause } = idlePause();
    expect(pausesAfter(pause, [...atOnce(9), read, ...atOnce(2)]).slice(9)).toEqual([0, 1, 2]);
  });

  test('makes an idle node ask some ten times a second', () => {
    const { pause } = idlePause();
    let now = 0;
    let reads = 0;
    for (; now < 10_000; reads++) {
      now += 0.5 + pause.after(0, 0.5);
    }
    expect(reads).toBeLessThan(110);
  });

  test('is not longer than a read asks the server to wait', () => {
    const { pause, reported } = idlePause(10);
    expect(pausesAfter(pause, atOnce(6))).toEqual([1, 2, 4, 8, 10, 10]);
    expect(reported).toEqual([10]);
    expect(pausesAfter(pause, [[0, 10.2]])).toEqual([0]);
  });
});
