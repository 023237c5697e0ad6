import { beforeEach, describe, expect, test } from '@jest/globals';
import { ReaderBarrier } from '../../lib/stream/reader-barrier.js';

const TIMEOUT = 10_000;

describe('ReaderBarrier', () => {
  let barrier: ReaderBarrier;

  beforeEach(() => {
    barrier = new ReaderBarrier(TIMEOUT);
  });

  test('is over as long as nothing was lost', () => {
    barrier.restart(0);
    expect(barrier.isOver(0)).toBe(true);
  });

  test('is over when all that were there read again, or have left', () => {
    barrier.await(['a', 'b'], 0);
    expect(barrier.isOver(1)).toBe(false);
    barrier.pass('a');
    expect(barrier.awaits('a', 2)).toBe(false);
    expect(barrier.awaits('b', 2)).toBe(true);
    expect(barrier.isOver(2)).toBe(false);
    barrier.pass('b');
    expect(barrier.isOver(3)).toBe(true);
  });

  test('awaits, when the stream is lost again meanwhile, who was there before and who is there now', () => {
    barrier.await(['a', 'b', 'c'], 0);
    barrier.pass('a');
    barrier.await(['a', 'b'], 1);
    for (const node of ['a', 'b', 'c']) {
      expect(barrier.isOver(2)).toBe(false);
      barrier.pass(node);
    }
    expect(barrier.isOver(3)).toBe(true);
  });

  test('waits for nobody longer than the timeout, counted from when the stream can be used', () => {
    barrier.await(['a'], 0);
    barrier.restart(2 * TIMEOUT);
    expect(barrier.isOver(3 * TIMEOUT)).toBe(false);
    expect(barrier.awaits('a', 3 * TIMEOUT)).toBe(true);
    expect(barrier.isOver(3 * TIMEOUT + 1)).toBe(true);
    expect(barrier.awaits('a', 3 * TIMEOUT + 1)).toBe(false);
  });

  test('waits some seconds for a node even if it counts as down sooner', () => {
    barrier = new ReaderBarrier(100);
    barrier.await(['a'], 0);
    expect(barrier.isOver(2_000)).toBe(false);
  });
});
