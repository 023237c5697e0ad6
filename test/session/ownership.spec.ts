import { describe, expect, test } from '@jest/globals';
import { decide, NOBODY, standingOf, type OwnedRecord } from '../../lib/session/ownership.js';
import { initialState, successors, violation, type State } from './ownership.model.js';

const record = (kind: OwnedRecord['kind'], epoch: number | undefined, owner?: string): OwnedRecord => ({
  ...{ kind, epoch, owner },
});

describe('who owns a session', () => {
  test('is who wrote the only record, as long as nobody has claimed it', () => {
    const live = record('live', 0, 'a');
    expect(decide([live], new Map())).toEqual({ kind: 'claim', epoch: 1, record: live });
  });

  test('is nobody who wrote a record of an epoch before the newest that was claimed', () => {
    const old = record('stored', 0, 'a');
    const current = record('live', 1, 'b');
    const claims = new Map([[1, 'b']]);
    expect(decide([old, current], claims)).toEqual({ kind: 'claim', epoch: 2, record: current });
    expect(decide([old], claims)).toEqual({ kind: 'ask', epoch: 2, node: 'b' });
    expect(standingOf(claims, 0, 'a')).toBe('superseded');
  });

  test('is not who wrote a record of an epoch that another has claimed', () => {
    const claims = new Map([[1, 'b']]);
    expect(decide([record('live', 1, 'a')], claims)).toEqual({ kind: 'ask', epoch: 2, node: 'b' });
    expect(standingOf(claims, 1, 'a')).toBe('superseded');
    expect(standingOf(claims, 1, 'b')).toBe('current');
  });

  test('is who has the newest record, if Redis has lost the claims', () => {
    const newest = record('live', 2, 'b');
    expect(decide([record('stored', 0, 'a'), newest], new Map())).toMatchObject({ epoch: 3, record: newest });
    expect(standingOf(new Map(), 2, 'b')).toBe('unclaimed');
  });

  test('of records of one epoch, the client’s last words count', () => {
    const kinds = ['claim', 'stored', 'live', 'memory'] as const;
    const records = kinds.map((kind) => record(kind, 1, 'b'));
    expect(decide(records, new Map([[1, 'b']]))).toMatchObject({ record: { kind: 'stored' } });
    expect(decide(records.slice(2), new Map([[1, 'b']]))).toMatchObject({ record: { kind: 'memory' } });
  });

  test('is a node of the reference, which knows of no epochs, when it has written last', () => {
    const reference = record('stored', undefined);
    expect(decide([reference], new Map([[3, 'b']]))).toEqual({ kind: 'claim', epoch: 4, record: reference });
  });

  test('is nobody when its client has said goodbye', () => {
    const claims = new Map([[2, NOBODY]]);
    expect(decide([record('live', 1, 'b'), record('stored', 0, 'a')], claims)).toEqual({ kind: 'none' });
  });
});

const MAX_STATES = 1_000_000;

/** Visits all states that can be reached. Returns how many there are. */
function explore(initial: State): number {
  const seen = new Map<string, string>();
  const before = new Map<string, string>();
  const start = JSON.stringify(initial);
  seen.set(start, '');
  const queue = [start];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    const state = JSON.parse(next) as State;
    let what = '';
    try {
      const wrong = violation(state);
      if (wrong !== undefined) {
        throw new Error(wrong);
      }
      for (const [step, successor] of successors(state)) {
        what = step;
        const key = JSON.stringify(successor);
        if (!seen.has(key)) {
          seen.set(key, step);
          before.set(key, next);
          queue.push(key);
          if (seen.size > MAX_STATES) {
            throw new Error('there are too many states');
          }
        }
      }
    } catch (error) {
      const trace: string[] = [what];
      for (let at: string | undefined = next; at !== undefined; at = before.get(at)) {
        trace.unshift(seen.get(at)!);
      }
      throw new Error(`${(error as Error).message}\n${trace.join('\n')}\n${next}`, { cause: error });
    }
  }
  return seen.size;
}

describe('the model of sessions: every order of every step of three nodes and one client', () => {
  // Connections of the client, lost answers, nodes that crash or are very slow, and the number of states. With two
  // connections, a lost answer and a fault there are 429,269, which takes a minute.
  test.each([
    [1, 2, 1, 7_584],
    [2, 0, 0, 11_780],
    [2, 1, 0, 48_733],
    [2, 0, 1, 103_472],
    [3, 0, 0, 202_994],
  ])(
    '%i connections, %i lost answers, %i faults: one owner, no older record over a newer one, none lost',
    (connections, losses, faults, states) => {
      expect(explore(initialState(connections, losses, faults))).toBe(states);
    },
    240_000,
  );
});
