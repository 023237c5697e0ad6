import { beforeEach, describe, expect, test } from '@jest/globals';
import { CommonHistory } from '../../lib/stream/common-history.js';
import type { ContinuityAnswer } from '../../lib/stream/continuity.js';

const CONTINUES: ContinuityAnswer = { outcome: 'continues' };
const REPLACED: ContinuityAnswer = { outcome: 'replaced', reason: 'rewound', position: '1-0' };

describe('CommonHistory', () => {
  let progress: { fetched: string | undefined };
  /** What Redis answers, in turn; the last one again and again. An error: it cannot be asked. */
  let answers: (ContinuityAnswer | Error)[];
  let asked: string[];
  let apart: number;
  let common: CommonHistory;

  beforeEach(() => {
    progress = { fetched: '5-0' };
    answers = [CONTINUES];
    asked = [];
    apart = 0;
    common = new CommonHistory(progress, {
      check: (position) => {
        asked.push(position);
        const answer = answers.length > 1 ? answers.shift()! : answers[0]!;
        return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
      },
      onApart: () => void apart++,
    });
  });

  test('is asked for once up to what was read last, and known then for all before it', async () => {
    expect(await Promise.all([common.whenSharedUpTo('4-0', 0), common.whenSharedUpTo('3-0', 0)])).toEqual([true, true]);
    expect(await common.whenSharedUpTo('5-0', 0)).toBe(true);
    expect(await common.isShared()).toBe(true);
    expect(asked).toEqual(['5-0']);
    progress.fetched = '7-0';
    expect(await common.whenSharedUpTo('6-0', 0)).toBe(true);
    expect(asked).toEqual(['5-0', '7-0']);
  });

  test('is not asked for as long as nothing was read', async () => {
    progress.fetched = undefined;
    expect(await common.isShared()).toBe(true);
    expect(await common.whenSharedUpTo('0-0', 0)).toBe(true);
    expect(asked).toEqual([]);
  });

  test('is asked for again when commands go another way, an answer of before notwithstanding', async () => {
    await common.isShared();
    common.reset();
    const isShared = common.isShared();
    common.reset(); // while it is asked
    expect(await isShared).toBe(false);
    expect(await common.isShared()).toBe(true);
    expect(asked).toHaveLength(3);
  });

  test('is waited for while there are two: the reader is told', async () => {
    answers = [REPLACED, REPLACED, CONTINUES];
    expect(await common.whenSharedUpTo('5-0', 5_000)).toBe(true);
    expect(apart).toBe(2);
  });

  test('is taken for granted where the entry was trimmed, as reading goes on there', async () => {
    answers = [{ outcome: 'unproven' }];
    expect(await common.isShared()).toBe(true);
  });

  test('is not known within the time while there are two, or while Redis cannot be asked', async () => {
    answers = [REPLACED];
    expect(await common.whenSharedUpTo('5-0', 150)).toBe(false);
    answers = [new Error('away')];
    apart = 0;
    expect(await common.whenSharedUpTo('5-0', 150)).toBe(false);
    expect([await common.isShared(), apart]).toEqual([false, 0]);
  });
});
