import { beforeEach, describe, expect, test } from '@jest/globals';
import { GapDetector } from '../../lib/stream/gap-detector.js';
import { ReadProgress } from '../../lib/stream/read-progress.js';
import { cutAt } from '../../lib/wire/cut.js';

describe('ReadProgress', () => {
  let gaps: GapDetector;
  let progress: ReadProgress;

  beforeEach(() => {
    gaps = new GapDetector();
    progress = new ReadProgress(gaps);
    progress.mode = 'following';
  });

  test('ends a wait for an entry when its place is passed, the time is over, or reading has stopped', async () => {
    const wait = progress.whenDelivered('10-0', 10_000);
    progress.position = '9-5';
    progress.changed.notify();
    progress.position = '11-0';
    progress.changed.notify();
    expect(await wait).toBe(true);
    expect(await progress.whenDelivered('12-0', 1)).toBe(false);
    const vain = progress.whenDelivered('12-0', 10_000);
    progress.mode = 'stopped';
    progress.changed.notify();
    expect(await vain).toBe(false);
  });

  test("resolves a wait for a publisher's entry by its number, at once to false while nothing is read", async () => {
    const wait = progress.whenPublisherDelivered('node', 2, 10_000);
    gaps.admit({ node: 'node', seq: 2 });
    progress.changed.notify();
    expect(await wait).toBe(true);
    progress.mode = 'waiting';
    expect(await progress.whenPublisherDelivered('node', 3, 10_000)).toBe(false);
  });

  test('knows whether a cut has all that was delivered in former histories', async () => {
    gaps.addFormer({ node: 'node', seq: 3 });
    expect(await progress.whenFormerIn(cutAt('1-0'), 1)).toBe(false);
    expect(await progress.whenFormerIn({ position: '1-0', ahead: [{ node: 'node', seq: 3 }] }, 10_000)).toBe(true);
  });
});
