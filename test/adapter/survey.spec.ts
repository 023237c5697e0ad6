import { describe, expect, test } from '@jest/globals';
import { Survey } from '../../lib/adapter/survey.js';
import type { Census } from '../../lib/cluster/request-bus.js';

/** @param hears - of each server with a heartbeat, whether it hears */
function census(hears: Record<string, boolean>, others = 0): Census {
  const hearing = Object.entries(hears).map(([uid, is]) => [uid, { hears: is, losses: 0 }] as const);
  return { named: new Set(Object.keys(hears)), others, hearing: new Map(hearing) };
}

describe('A survey', () => {
  test('is complete when all have answered, those without a name too', () => {
    const survey = new Survey(census({ a: true }, 1));
    survey.answer('of the reference');
    expect(survey.isComplete).toBe(false);
    survey.answer('a');
    expect(survey.isComplete).toBe(true);
  });

  test('waits no longer for servers that have gone', () => {
    const survey = new Survey(census({ a: true, b: true }, 1));
    survey.answer('a');
    survey.narrow(census({ a: true }));
    expect(survey.isComplete).toBe(true);
  });

  test('sends again to a server that did not hear when it was asked, once it hears', () => {
    const survey = new Survey(census({ a: true, b: false }));
    expect(survey.unreached(census({ a: true, b: false }))).toEqual([]);
    expect(survey.unreached(census({ a: true, b: true }))).toEqual(['b']);
    expect(survey.unreached(census({ a: true, b: true }))).toEqual([]);
  });

  test('sends again to all that have not answered, if answers may have been lost', () => {
    const survey = new Survey(census({ a: true, b: true }));
    survey.answer('a');
    survey.onUnheard();
    expect(survey.unreached(census({ a: true, b: true }))).toEqual(['b']);
  });

  test('sends again to one whose first heartbeat has come after the question, if its answer may have been lost', () => {
    const survey = new Survey(census({ a: true }, 1));
    survey.answer('a');
    survey.onUnheard();
    const present = census({ a: true, b: true });
    survey.narrow(present);
    expect(survey.unreached(present)).toEqual(['b']);
    expect(survey.isComplete).toBe(false);
    survey.answer('b');
    expect(survey.isComplete).toBe(true);
  });

  test('does not ask who has come after the question, if all that are missing have a name or no answer was lost', () => {
    const unheard = new Survey(census({ a: true }));
    unheard.onUnheard();
    const heard = new Survey(census({ a: true }, 1));
    const present = census({ a: true, newcomer: true });
    for (const survey of [unheard, heard]) {
      survey.narrow(present);
      expect(survey.unreached(present)).not.toContain('newcomer');
    }
  });
});
