import { describe, expect, test } from '@jest/globals';
import { ClusterTopology, type ClusterAccess } from '../../lib/redis/cluster/cluster-topology.js';
import type { RedisSocket } from '../../lib/redis/redis-socket.js';

const address = { host: 'node', port: 1 };

/** A cluster whose nodes are found, or not, and say nothing when they are asked. */
function silent(seeds: ClusterAccess['seeds']): { topology: ClusterTopology; destroyed: () => number } {
  let destroyed = 0;
  const socket = { open: () => new Promise(() => undefined), destroy: () => destroyed++ } as unknown as RedisSocket;
  return {
    topology: new ClusterTopology({ seeds, map: (one) => one, connect: () => socket }),
    destroyed: () => destroyed,
  };
}

describe('ClusterTopology', () => {
  test('a search for nodes is given up when nobody listens any more', async () => {
    const signals: AbortSignal[] = [];
    const { topology } = silent((signal) => {
      signals.push(signal);
      return new Promise(() => undefined);
    });
    const [first, second] = [topology.onChange(() => undefined), topology.onChange(() => undefined)];
    const refreshed = topology.refresh();
    first();
    expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
    second();
    await expect(refreshed).rejects.toThrow(/abort/i);
    expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
  });

  test('a silent node is left when nobody listens any more, and no other is asked', async () => {
    const { topology, destroyed } = silent(() => Promise.resolve([address, address]));
    const unlisten = topology.onChange(() => undefined);
    const refreshed = topology.refresh();
    await new Promise((resolve) => setImmediate(resolve));
    unlisten();
    await expect(refreshed).rejects.toThrow(/abort/i);
    expect(destroyed()).toBe(1);
  });

  test('who listens after that has a search of its own', async () => {
    let searches = 0;
    const { topology } = silent(() => {
      searches++;
      return new Promise(() => undefined);
    });
    const unlisten = topology.onChange(() => undefined);
    const refreshed = topology.refresh();
    unlisten();
    const again = topology.onChange(() => undefined);
    const later = topology.refresh();
    await expect(refreshed).rejects.toThrow(/abort/i);
    expect(topology.refresh()).toBe(later);
    expect(searches).toBe(2);
    again();
    await expect(later).rejects.toThrow(/abort/i);
  });
});
