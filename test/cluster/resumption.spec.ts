import { beforeEach, describe, expect, test } from '@jest/globals';
import { Resumption } from '../../lib/cluster/resumption.js';

const TIMEOUT = 10_000;

describe('Resumption', () => {
  let resumption: Resumption;

  beforeEach(() => {
    resumption = new Resumption(TIMEOUT);
  });

  test('is over as long as nothing was lost', () => {
    resumption.begin(0);
    expect(resumption.isOver(0)).toBe(true);
  });

  test('is over when all that were there read again', () => {
    resumption.lost(['a', 'b']);
    expect(resumption.isOver(0)).toBe(false);
    resumption.begin(0);
    resumption.heardReading('a');
    expect(resumption.isOver(1)).toBe(false);
    resumption.heardReading('b');
    expect(resumption.isOver(2)).toBe(true);
  });

  test('does not count what was heard before this node could append again', () => {
    resumption.lost(['a']);
    resumption.heardReading('a');
    resumption.begin(0);
    expect(resumption.isOver(1)).toBe(false);
  });

  test('does not wait for who has left', () => {
    resumption.lost(['a', 'b']);
    resumption.begin(0);
    resumption.heardReading('a');
    resumption.left('b');
    expect(resumption.isOver(1)).toBe(true);
  });

  test('awaits, when the connection is lost again meanwhile, who was there before and who is there now', () => {
    resumption.lost(['a', 'b', 'c']);
    resumption.begin(0);
    resumption.heardReading('a');
    resumption.lost(['a', 'b']);
    resumption.begin(1);
    for (const node of ['a', 'b', 'c']) {
      expect(resumption.isOver(2)).toBe(false);
      resumption.heardReading(node);
    }
    expect(resumption.isOver(3)).toBe(true);
  });

  test('waits for nobody longer than the timeout, counted from when this node could append again', () => {
    resumption.lost(['a']);
    expect(resumption.isOver(2 * TIMEOUT)).toBe(false);
    resumption.begin(2 * TIMEOUT);
    expect(resumption.isOver(3 * TIMEOUT)).toBe(false);
    expect(resumption.isOver(3 * TIMEOUT + 1)).toBe(true);
  });

  test('waits some seconds for a node even if it counts as down sooner', () => {
    resumption = new Resumption(100);
    resumption.lost(['a']);
    resumption.begin(0);
    expect(resumption.isOver(2_000)).toBe(false);
  });
});
