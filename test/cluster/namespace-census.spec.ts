import { beforeEach, describe, expect, test } from '@jest/globals';
import type { NamespaceMember } from '../../lib/cluster/local-namespaces.js';
import { NamespaceCensus } from '../../lib/cluster/namespace-census.js';
import type { CensusPeer, Subscribers } from '../../lib/cluster/request-bus.js';
import type { Hearing, NodeInfo } from '../../lib/wire/control.js';

const info = (id: string, servers = 1): NodeInfo => ({
  ...{ id, host: 'host', pid: 1, startedAt: 0, sockets: 0, backlog: 0, servers },
});
const member = (uid: string): NamespaceMember => ({
  ...{ name: '/', uid, socketCount: 0, onMessage: () => undefined, deliver: () => false },
  ...{ deliverAtOnce: () => undefined, onPeersChanged: () => undefined, onSubscribed: () => undefined },
});

describe('NamespaceCensus', () => {
  let gone: string[];
  let asked: CensusPeer[];
  /** What nodes say that they hear, this one too. */
  let hearing: Record<string, Hearing>;
  let mayBeDeaf: unknown[];
  const take = async (
    answer?: () => Promise<Subscribers>,
  ): Promise<Record<'named' | 'others' | 'hearing', unknown>> => {
    const registry = {
      known: () => [info('a', 2), info('b')],
      present: () => [info('a', 2), info('b')].filter(({ id }) => !gone.includes(id)),
      isGone: (id: string) => gone.includes(id),
      unmonitoredIn: () => 3,
      hearingOf: (id: string) => hearing[id],
      mayBeDeaf: (...args: unknown[]) => mayBeDeaf.push(args) > 0,
    };
    const namespaces = { named: () => [member('self'), member('self.1')] };
    const ask = (_member: unknown, peers: readonly CensusPeer[]): Promise<Subscribers> => {
      asked = [...peers];
      return answer!();
    };
    const census = new NamespaceCensus(registry, namespaces, 20);
    const taken = await census.take(member('self'), answer && { census: ask, hearing: hearing.self! });
    return { named: [...taken.named].sort(), others: taken.others, hearing: Object.fromEntries(taken.hearing) };
  };
  const counted = (named: string[], others = 0, silent: string[] = []) => {
    return () => Promise.resolve({ named: new Set(named), others, silent: new Set(silent) });
  };
  const all = { losses: 0, unheard: [], root: true };

  beforeEach(() => {
    gone = [];
    asked = [];
    mayBeDeaf = [];
    hearing = { self: all };
  });

  test('asks Redis for the servers of all nodes that are known, and believes its answer', async () => {
    hearing.a = all;
    expect(await take(counted(['a.1', 'self.1'], 1))).toMatchObject({ named: ['a.1', 'self.1'], others: 1 });
    expect(asked).toMatchObject([
      { id: 'a', uids: ['a', 'a.1'], isInRoot: true },
      { id: 'b', uids: ['b'], isInRoot: false },
    ]);
    expect(mayBeDeaf).toEqual([]);
  });

  test('leaves out servers of nodes that are gone, whatever Redis says', async () => {
    gone = ['a'];
    hearing.a = { ...all, unheard: true };
    expect(await take(counted(['a', 'a.1', 'b'], 0, ['a']))).toMatchObject({ named: ['b'], others: 0 });
  });

  test('says of those that say so whether they hear, and how often they did not', async () => {
    hearing.a = { ...all, losses: 4 };
    expect((await take(counted(['a', 'b', 'self.1']))).hearing).toEqual({
      a: { hears: true, losses: 4 },
      'self.1': { hears: true, losses: 0 },
    });
  });

  test.each<[string, string[] | true]>([
    ['the namespace', ['/x', '/']],
    ['perhaps nothing', true],
  ])('has servers that do not hear %s, whether Redis counts them or not', async (_what, unheard) => {
    hearing.a = { losses: 1, unheard, root: true };
    const deaf = { hears: false, losses: 1 };
    const expected = { named: ['a', 'a.1', 'b'], hearing: { a: deaf, 'a.1': deaf } };
    expect(await take(counted(['b']))).toMatchObject(expected);
    expect(await take(counted(['a', 'b']))).toMatchObject(expected);
    hearing.a = { losses: 1, unheard: ['/x'], root: true };
    expect(await take(counted(['b']))).toMatchObject({ named: ['b'] });
  });

  test('has servers that have no subscription at all, as long as it may be that they only do not hear', async () => {
    hearing.b = all;
    expect(await take(counted([], 0, ['b']))).toMatchObject({ named: ['b'], hearing: { b: { hears: false } } });
    expect(mayBeDeaf).toEqual([['b']]);
  });

  test('says of other servers of this node that they do not hear, if this node does not', async () => {
    hearing.self = { losses: 2, unheard: ['/'], root: true };
    expect((await take(counted(['self.1']))).hearing).toEqual({ 'self.1': { hears: false, losses: 2 } });
    hearing.self.unheard = ['/x'];
    expect((await take(counted(['self.1']))).hearing).toEqual({ 'self.1': { hears: true, losses: 2 } });
  });

  test.each([
    ['fails', () => Promise.reject(new Error('no'))],
    ['does not answer in time', () => new Promise<Subscribers>(() => undefined)],
    ['is not connected yet', undefined],
  ])('counts what was heard, and other servers of this node, if Redis %s', async (_what, answer) => {
    gone = ['b'];
    expect(await take(answer)).toMatchObject({ named: ['a', 'self.1'], others: 3 });
  });
});
