import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { ReturningPeers } from '../../lib/cluster/returning-peers.js';

const HEARTBEAT_TIMEOUT = 10_000;

describe('ReturningPeers', () => {
  let returning: ReturningPeers;
  let present: string[];

  beforeEach(() => {
    jest.useFakeTimers({ now: 0 });
    present = ['peer', 'other'];
    returning = new ReturningPeers({ heartbeatTimeout: HEARTBEAT_TIMEOUT, present: () => present });
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  /** Whether a wait has ended by now. */
  function watch(wait: Promise<void>): () => Promise<boolean> {
    let isOver = false;
    void wait.then(() => (isOver = true));
    return async () => {
      await jest.advanceTimersByTimeAsync(0);
      return isOver;
    };
  }

  /** An outage that all nodes have noticed. */
  function outage(): void {
    returning.onLost();
    returning.onReady();
  }

  test('waits for nobody before Redis was ever lost, nor for a node that was not there', async () => {
    returning.onReady();
    expect([await watch(returning.whenBack('peer'))(), await watch(returning.whenAllBack())()]).toEqual([true, true]);
    outage();
    expect(await watch(returning.whenBack('stranger'))()).toBe(true);
  });

  test('waits for each node until it says that it is back, and for all until the last has', async () => {
    outage();
    const isPeerBack = watch(returning.whenBack('peer'));
    const areAllBack = watch(returning.whenAllBack());
    expect([await isPeerBack(), await areAllBack()]).toEqual([false, false]);
    returning.onBack('peer');
    expect([await isPeerBack(), await areAllBack()]).toEqual([true, false]);
    returning.onBack('other');
    expect(await areAllBack()).toBe(true);
  });

  test('does not wait for a node that has left', async () => {
    outage();
    const isBack = watch(returning.whenBack('peer'));
    returning.onLeft('peer');
    expect(await isBack()).toBe(true);
  });

  test('waits for all but those that are known to be gone', async () => {
    outage();
    const areAllBack = watch(returning.whenAllBack());
    returning.onBack('peer');
    expect(await areAllBack()).toBe(false);
    present = ['peer'];
    await jest.advanceTimersByTimeAsync(100);
    expect(await areAllBack()).toBe(true);
  });

  test('does not wait for a node that is later than it can be if it is alive', async () => {
    outage();
    const areAllBack = watch(returning.whenAllBack());
    await jest.advanceTimersByTimeAsync(HEARTBEAT_TIMEOUT - 1);
    expect(await areAllBack()).toBe(false);
    await jest.advanceTimersByTimeAsync(200);
    expect(await areAllBack()).toBe(true);
  });

  test('does not wait when Redis is away again, for then nobody can be asked', async () => {
    outage();
    const waits = [watch(returning.whenBack('peer')), watch(returning.whenAllBack())];
    returning.onLost();
    expect(await Promise.all(waits.map((isOver) => isOver()))).toEqual([true, true]);
  });

  test('does not believe a node that says during the outage that it is back: it may not know of it', async () => {
    returning.onLost();
    returning.onBack('peer');
    returning.onReady();
    expect(await watch(returning.whenBack('peer'))()).toBe(false);
  });
});
