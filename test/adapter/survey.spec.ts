import { describe, expect, test } from '@jest/globals';
import { Survey } from '../../lib/adapter/survey.js';
import type { Census } from '../../lib/cluster/request-bus.js';

function census(
  named: string[],
  others = 0,
  hearing: [uid: string, hears: boolean, losses: number][] = [],
  isCounted = true,
): Census {
  const ofNamed = hearing.map(([uid, hears, losses]) => [uid, { hears, losses }] as const);
  return { named: new Set(named), others, hearing: new Map(ofNamed), isCounted };
}

/** Of servers that hear, and always have. */
function heard(named: string[], others = 0): Census {
  return census(
    named,
    others,
    named.map((uid) => [uid, true, 0]),
  );
}

describe('Survey', () => {
  test('is complete when all have answered', () => {
    const survey = new Survey(census(['a', 'b']));
    survey.answer('a');
    survey.answer('a');
    expect(survey.isComplete).toBe(false);
    survey.answer('b');
    expect(survey.isComplete).toBe(true);
  });

  test('is complete at once when there is nobody to answer', () => {
    expect(new Survey(census([])).isComplete).toBe(true);
  });

  test('counts the answers of servers that have no heartbeat', () => {
    const survey = new Survey(census(['a'], 2));
    ['a', 'x'].forEach((uid) => survey.answer(uid));
    expect(survey.isComplete).toBe(false);
    survey.answer('y');
    expect(survey.isComplete).toBe(true);
  });

  test('does not wait for those that are gone', () => {
    const survey = new Survey(census(['a', 'b'], 2));
    ['a', 'x'].forEach((uid) => survey.answer(uid));
    survey.narrow(census(['a'], 1));
    expect(survey.isComplete).toBe(true);
  });

  test('waits for those that have become known since it began, not for those that have come since', () => {
    const survey = new Survey(census([], 2));
    survey.answer('a');
    survey.narrow(census(['a', 'b']));
    expect(survey.isComplete).toBe(false);
    survey.answer('b');
    expect(survey.isComplete).toBe(true);

    const later = new Survey(census(['a', 'b']));
    later.answer('a');
    later.narrow(census(['a', 'c'], 1));
    expect(later.isComplete).toBe(true);
  });

  test('finds those that did not hear, when they hear', () => {
    const deaf = census(['a', 'b', 'c'], 0, [
      ['a', true, 0],
      ['b', false, 1],
      ['c', false, 1],
    ]);
    const survey = new Survey(deaf);
    expect(survey.unreached(deaf)).toEqual([]);
    const oneHears = census(['a', 'b', 'c'], 0, [
      ['a', true, 0],
      ['b', true, 1],
      ['c', false, 1],
    ]);
    expect([survey.unreached(oneHears), survey.unreached(oneHears)]).toEqual([['b'], []]);
    survey.answer('b');
    survey.onUnheard();
    expect(survey.unreached(oneHears)).toEqual(['a']);
  });

  test('finds those that have lost their subscriptions since, also if nobody saw them without', () => {
    const survey = new Survey(census(['a'], 0, [['a', true, 1]]));
    expect(survey.unreached(census(['a'], 0, [['a', true, 1]]))).toEqual([]);
    expect(survey.unreached(census(['a'], 0, [['a', true, 2]]))).toEqual(['a']);
  });

  test('waits for one that turns out not to hear, though Redis had not counted it', () => {
    const survey = new Survey(census([]));
    survey.narrow(census(['a'], 0, [['a', false, 1]]));
    expect([survey.isComplete, survey.expected]).toEqual([false, 1]);
    survey.narrow(census([])); // it hears, and has not the namespace
    expect(survey.isComplete).toBe(true);
  });

  test('finds one whose first heartbeat has come since it began, if its answer may have been lost', () => {
    const survey = new Survey(heard(['a'], 1));
    survey.answer('a');
    survey.onUnheard();
    const present = heard(['a', 'b']);
    survey.narrow(present);
    expect([survey.unreached(present), survey.isComplete]).toEqual([['b'], false]);
    survey.answer('b');
    expect(survey.isComplete).toBe(true);
  });

  test('does not find who has come since, if all that are missing have a name or no answer was lost', () => {
    const [unheard, all] = [new Survey(heard(['a'])), new Survey(heard(['a'], 1))];
    unheard.onUnheard();
    for (const survey of [unheard, all]) {
      const present = heard(['a', 'newcomer']);
      survey.narrow(present);
      expect(survey.unreached(present)).not.toContain('newcomer');
    }
  });

  test('drops only those whose node is gone while Redis cannot count them', () => {
    const survey = new Survey(census(['a', 'a.1', 'b', 'c'], 1));
    survey.answer('a');
    survey.narrow(census(['a', 'c'], 0, [], false)); // of servers that have not sent lately, nothing was heard
    ['c', 'other'].forEach((uid) => survey.answer(uid));
    expect(survey.isComplete).toBe(false);
    survey.answer('a.1');
    expect(survey.isComplete).toBe(true);
  });

  test('waits for one without a heartbeat although one with it has answered and gone', () => {
    const survey = new Survey(census(['a'], 1));
    survey.answer('a');
    survey.narrow(census([], 1));
    expect(survey.isComplete).toBe(false);
    survey.narrow(census([], 0));
    expect(survey.isComplete).toBe(true);
  });
});
