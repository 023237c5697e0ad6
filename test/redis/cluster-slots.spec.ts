import { describe, expect, test } from '@jest/globals';
import { ClusterSlots, toRedirect } from '../../lib/redis/cluster/cluster-slots.js';

describe('ClusterSlots', () => {
  const reply = [
    [0, 8_191, ['10.0.0.1', 7_000], ['10.0.0.2', 7_001]],
    [8_192, 16_383, [null, 7_002], ['?', 7_003]],
  ];
  const parse = (): ClusterSlots =>
    ClusterSlots.parse(reply, { host: 'asked', port: 1 }, ({ host, port }) => ({ host: `mapped-${host}`, port }));

  test('knows the master of each slot and the replicas, at the addresses that can be reached', () => {
    const slots = parse();
    expect([0, 8_191, 8_192, 16_383].map((slot) => slots.masterOf(slot))).toEqual([
      ...['mapped-10.0.0.1:7000', 'mapped-10.0.0.1:7000', 'asked:7002', 'asked:7002'],
    ]);
    expect(slots.nodes).toEqual(['mapped-10.0.0.1:7000', 'asked:7002', 'mapped-10.0.0.2:7001']);
  });

  test('moves a slot to the node that another one has named, which is a master then', () => {
    const slots = parse();
    slots.move(5, 'mapped-10.0.0.2:7001');
    expect([slots.masterOf(5), slots.masterOf(6)]).toEqual(['mapped-10.0.0.2:7001', 'mapped-10.0.0.1:7000']);
    expect([[...slots.masters].length, slots.replicas.size]).toEqual([3, 0]);
  });

  test('toRedirect reads what a node says of a slot, also without a host', () => {
    expect(toRedirect(new Error('MOVED 3999 127.0.0.1:6381'))).toEqual({
      ...{ kind: 'MOVED', slot: 3_999, address: { host: '127.0.0.1', port: 6_381 } },
    });
    expect(toRedirect(new Error('ASK 1 :6381'))).toMatchObject({ kind: 'ASK', address: { host: '', port: 6_381 } });
    expect(toRedirect(new Error('ERR no'))).toBeUndefined();
  });
});
