import { stat } from 'node:fs';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { PendingCommands } from '../../lib/redis/pending-commands.js';

/** A reply that comes when the test says so. */
function reply(): { promise: Promise<string>; come: (value: string) => void; fail: (error: Error) => void } {
  let come!: (value: string) => void;
  let fail!: (error: Error) => void;
  const promise = new Promise<string>((resolve, reject) => {
    come = resolve;
    fail = reject;
  });
  return { promise, come, fail };
}

const outcome = (tracked: Promise<string>): { is: string } => {
  const told = { is: 'pending' };
  tracked.then(
    (value) => (told.is = value),
    (error: Error) => (told.is = `${error.name}: ${error.message}`),
  );
  return told;
};

describe('PendingCommands', () => {
  let pending: PendingCommands;
  let silences: number;

  beforeEach(() => {
    jest.useFakeTimers();
    silences = 0;
    pending = new PendingCommands(() => {
      silences++;
      pending.rejectAll(new Error('dropped'));
    });
  });
  afterEach(() => void jest.useRealTimers());

  const track = (what: string, timeout: number, of = reply()): { of: typeof of; told: { is: string } } => ({
    of,
    told: outcome(pending.track(what, timeout, of.promise, () => undefined)),
  });

  test('end with their replies, in whatever order these come', async () => {
    const all = [track('A', 100), track('B', 100), track('C', 100)];
    all[1]!.of.come('b');
    await jest.advanceTimersByTimeAsync(0);
    expect(all.map(({ told }) => told.is)).toEqual(['pending', 'b', 'pending']);
    all[2]!.of.fail(new TypeError('c'));
    all[0]!.of.come('a');
    await jest.advanceTimersByTimeAsync(0);
    expect(all.map(({ told }) => told.is)).toEqual(['a', 'b', 'TypeError: c']);
    expect(pending.isEmpty).toBe(true);
    await jest.advanceTimersByTimeAsync(1_000);
    expect(silences).toBe(0);
  });

  test('whose replies are called back end with them, and at once if they cannot be sent', async () => {
    const refused: string[] = [];
    const onRefused = ({ message }: Error): void => void refused.push(message);
    let come!: (reply: string) => void;
    const told = outcome(pending.issue<string>('A', 100, (onReply) => (come = onReply), onRefused));
    const unsent = (): never => {
      throw new Error('no text');
    };
    expect(outcome(pending.issue<string>('B', 100, unsent, onRefused))).toEqual({ is: 'pending' });
    expect(refused).toEqual(['no text']);
    expect(pending.isEmpty).toBe(false);
    come('a');
    expect(pending.isEmpty).toBe(true);
    await jest.advanceTimersByTimeAsync(1_000);
    expect([told.is, silences]).toEqual(['a', 0]);
  });

  test('expire each at its own time, and the others are dropped with the connection', async () => {
    const long = track('XREAD', 1_000);
    await jest.advanceTimersByTimeAsync(100);
    const short = track('XADD', 200);
    const endless = track('GET', Infinity);
    await jest.advanceTimersByTimeAsync(199);
    expect(short.told.is).toBe('pending');
    await jest.advanceTimersByTimeAsync(10);
    expect(short.told.is).toBe('RedisTimeoutError: Redis did not answer XADD within 200 ms');
    expect([long.told.is, endless.told.is, silences]).toEqual(['Error: dropped', 'Error: dropped', 1]);
    long.of.come('late');
    await jest.advanceTimersByTimeAsync(10_000);
    expect([long.told.is, silences]).toEqual(['Error: dropped', 1]);
  });

  test('a stream of replies in time never expires, and the one that fails to come does', async () => {
    for (let i = 0; i < 50; i++) {
      const { of, told } = track('XREAD', 150);
      await jest.advanceTimersByTimeAsync(100);
      of.come('entries');
      await jest.advanceTimersByTimeAsync(0);
      expect(told.is).toBe('entries');
    }
    const { told } = track('XREAD', 150);
    await jest.advanceTimersByTimeAsync(149);
    expect(told.is).toBe('pending');
    await jest.advanceTimersByTimeAsync(10);
    expect(told.is).toContain('RedisTimeoutError');
    expect(silences).toBe(1);
  });

  test('a timeout longer than timers can be is waited for all the same', async () => {
    const { told, of } = track('XADD', 2 ** 40);
    await jest.advanceTimersByTimeAsync(2 ** 31 + 1_000);
    expect([told.is, silences]).toEqual(['pending', 0]);
    of.come('id');
    await jest.advanceTimersByTimeAsync(0);
    expect(told.is).toBe('id');
  });
});

test('a reply that waits to be read when its time has run out is taken', async () => {
  const pending = new PendingCommands(() => undefined);
  const arrived = new Promise<string>((resolve) => stat('/', () => resolve('in time')));
  const tracked = pending.track('XADD', 5, arrived, () => undefined);
  const busyUntil = performance.now() + 50;
  while (performance.now() < busyUntil); // the turn takes long: the timer is due, and comes before what was read
  await expect(tracked).resolves.toBe('in time');
});
