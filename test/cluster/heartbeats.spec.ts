import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { HearingClock } from '../../lib/cluster/hearing-clock.js';
import { Heartbeats } from '../../lib/cluster/heartbeats.js';

describe('Heartbeats', () => {
  let published: string[];
  let failure: Error | undefined;
  let canHear: boolean;
  let called: { beat: number; check: number; deaf: number };
  let heartbeats: Heartbeats;

  beforeEach(() => {
    jest.useFakeTimers();
    [published, failure, canHear, called] = [[], undefined, true, { beat: 0, check: 0, deaf: 0 }];
    heartbeats = new Heartbeats({
      ...{ heartbeatInterval: 1_000, heartbeatTimeout: 2_500, clock: new HearingClock(500) },
      describe: () => ({}) as never,
      publish: async ({ kind }) => {
        if (failure) {
          throw failure;
        }
        published.push(kind);
      },
      subscriptions: {
        get canHear() {
          return canHear;
        },
        get isBroken() {
          return !canHear;
        },
      },
      onBeat: () => called.beat++,
      onCheck: () => called.check++,
      onDeaf: () => called.deaf++,
    });
  });
  afterEach(() => {
    heartbeats.stop();
    jest.useRealTimers();
  });

  /** Passes time, in which this node hears itself or not. */
  async function pass(ms: number, hearsItself = true): Promise<void> {
    for (let passed = 0; passed < ms; passed += 100) {
      await jest.advanceTimersByTimeAsync(100);
      if (hearsItself) {
        heartbeats.onOwn();
      }
    }
  }

  test('ask all others at the start, then beat in each interval', async () => {
    heartbeats.beat(); // not before it has started
    heartbeats.start();
    await pass(3_000);
    expect(published).toEqual(['ping', 'heartbeat', 'heartbeat', 'heartbeat']);
    expect([called.beat, called.deaf]).toEqual([3, 0]);
    expect(called.check).toBeGreaterThan(10);
  });

  test('say that the node does not hear, at once and again after pauses that double, until it does', async () => {
    heartbeats.onBroken(); // nobody knows of it yet
    heartbeats.start();
    canHear = false;
    await pass(900);
    published = [];
    heartbeats.onBroken();
    expect(published).toEqual(['heartbeat']);
    heartbeats.pause();
    await pass(700);
    expect(published).toHaveLength(4); // after 100, 300 and 700 ms
    await pass(3_600);
    expect(published).toHaveLength(7); // after 1,500, and each second: the interval
    canHear = true;
    await pass(3_000);
    expect(published).toHaveLength(7);
  });

  test('ping once for all calls of a turn', async () => {
    heartbeats.start();
    for (let n = 0; n < 5; n++) heartbeats.ping();
    await pass(100);
    expect(published).toEqual(['ping', 'ping']);
  });

  test('answer many pings at once with one heartbeat at once, and one after', async () => {
    heartbeats.start();
    for (let n = 0; n < 100; n++) heartbeats.onPing();
    await pass(500);
    expect(published).toEqual(['ping', 'heartbeat', 'heartbeat']);
  });

  test('say nothing regularly once paused, but answer; and nothing once stopped', async () => {
    heartbeats.start();
    heartbeats.pause();
    await pass(2_000);
    heartbeats.onPing();
    expect(published).toEqual(['ping', 'heartbeat']);
    heartbeats.stop();
    heartbeats.onPing();
    await pass(2_000);
    expect(published).toHaveLength(2);
  });

  test('notice that they are not heard though they are published, but not while they cannot be', async () => {
    heartbeats.start();
    await pass(2_500, false);
    expect(called.deaf).toBe(0);
    await pass(300, false);
    expect(called.deaf).toBe(1);
    await pass(2_000, false); // the connection that was reset has its time
    expect(called.deaf).toBe(1);
    canHear = false; // it is known already
    await pass(5_000, false);
    [canHear, failure] = [true, new Error('Redis is away')];
    await pass(5_000, false);
    expect([called.deaf, heartbeats.error?.message]).toEqual([1, 'Redis is away']);
    failure = undefined;
    await pass(1_000);
    expect(heartbeats.error).toBeUndefined();
  });
});
