import { beforeEach, describe, expect, test } from '@jest/globals';
import { Resumption } from '../../lib/stream/resumption.js';

const TIMEOUT = 10_000;

describe('Resumption', () => {
  let resumption: Resumption;

  beforeEach(() => {
    resumption = new Resumption(TIMEOUT);
  });

  test('is over as long as nothing was lost', () => {
    resumption.restart(0);
    expect(resumption.isOver(0)).toBe(true);
  });

  test('is over when all that were there read again, or have left', () => {
    resumption.await(['a', 'b'], 0);
    expect(resumption.isOver(1)).toBe(false);
    resumption.settle('a');
    expect(resumption.awaits('a', 2)).toBe(false);
    expect(resumption.awaits('b', 2)).toBe(true);
    expect(resumption.isOver(2)).toBe(false);
    resumption.settle('b');
    expect(resumption.isOver(3)).toBe(true);
  });

  test('awaits, when the stream is lost again meanwhile, who was there before and who is there now', () => {
    resumption.await(['a', 'b', 'c'], 0);
    resumption.settle('a');
    resumption.await(['a', 'b'], 1);
    for (const node of ['a', 'b', 'c']) {
      expect(resumption.isOver(2)).toBe(false);
      resumption.settle(node);
    }
    expect(resumption.isOver(3)).toBe(true);
  });

  test('waits for nobody longer than the timeout, counted from when the stream can be used', () => {
    resumption.await(['a'], 0);
    resumption.restart(2 * TIMEOUT);
    expect(resumption.isOver(3 * TIMEOUT)).toBe(false);
    expect(resumption.awaits('a', 3 * TIMEOUT)).toBe(true);
    expect(resumption.isOver(3 * TIMEOUT + 1)).toBe(true);
    expect(resumption.awaits('a', 3 * TIMEOUT + 1)).toBe(false);
  });

  test('waits some seconds for a node even if it counts as down sooner', () => {
    resumption = new Resumption(100);
    resumption.await(['a'], 0);
    expect(resumption.isOver(2_000)).toBe(false);
  });
});
