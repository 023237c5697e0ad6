import { beforeEach, describe, expect, test } from '@jest/globals';
import type { NamespaceMember } from '../../lib/cluster/local-namespaces.js';
import { NamespaceCensus } from '../../lib/cluster/namespace-census.js';
import type { Census } from '../../lib/cluster/request-bus.js';
import type { NodeInfo } from '../../lib/wire/control.js';

const info = (id: string, servers = 1): NodeInfo => ({
  ...{ id, host: 'host', pid: 1, startedAt: 0, sockets: 0, backlog: 0, servers },
});
const member = (uid: string): NamespaceMember => ({
  ...{ name: '/', uid, socketCount: 0, onMessage: () => undefined, deliver: () => false },
  ...{ deliverAtOnce: () => undefined, onPeersChanged: () => undefined, onSubscribed: () => undefined },
});

describe('NamespaceCensus', () => {
  let gone: string[];
  let asked: string[][];
  const take = async (answer?: () => Promise<Census>): Promise<{ named: string[]; others: number }> => {
    const registry = {
      known: () => [info('a', 2), info('b')],
      present: () => [info('a', 2), info('b')].filter(({ id }) => !gone.includes(id)),
      isGone: (id: string) => gone.includes(id),
      unmonitoredIn: () => 3,
    };
    const namespaces = { named: () => [member('self'), member('self.1')] };
    const ask = (_member: unknown, peers: string[][]): Promise<Census> => {
      asked = peers;
      return answer!();
    };
    const census = new NamespaceCensus(registry, namespaces, 20);
    const { named, others } = await census.take(member('self'), answer && { census: ask });
    return { named: [...named].sort(), others };
  };

  beforeEach(() => {
    gone = [];
    asked = [];
  });

  test('asks Redis for the servers of all nodes that are known, and believes its answer', async () => {
    const counted = { named: new Set(['a.1', 'self.1']), others: 1 };
    expect(await take(() => Promise.resolve(counted))).toEqual({ named: ['a.1', 'self.1'], others: 1 });
    expect(asked).toEqual([['a', 'a.1'], ['b']]);
  });

  test('leaves out servers of nodes that are gone, whatever Redis says', async () => {
    gone = ['a'];
    const counted = { named: new Set(['a', 'a.1', 'b']), others: 0 };
    expect(await take(() => Promise.resolve(counted))).toEqual({ named: ['b'], others: 0 });
  });

  test.each([
    ['fails', () => Promise.reject(new Error('no'))],
    ['does not answer in time', () => new Promise<Census>(() => undefined)],
    ['is not connected yet', undefined],
  ])('counts what was heard, and other servers of this node, if Redis %s', async (_what, answer) => {
    gone = ['b'];
    expect(await take(answer)).toEqual({ named: ['a', 'self.1'], others: 3 });
  });
});
