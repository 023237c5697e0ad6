import { describe, expect, test } from '@jest/globals';
import { ReconnectRetry } from '../../lib/redis/reconnect-retry.js';
import { outcomeOf } from './rows.js';

describe('ReconnectRetry', () => {
  /** Commands that fail so often, and count how often they are run. */
  const failing = (times: number, message: string) => {
    const commands = { runs: 0, run: async (): Promise<string> => Promise.resolve('') };
    commands.run = async () => {
      if (++commands.runs <= times) {
        throw new Error(message);
      }
      return Promise.resolve('done');
    };
    return commands;
  };

  test('runs commands again as soon as the lost connection is back', async () => {
    const connection = { ready: false };
    const retry = new ReconnectRetry(() => connection, 10_000);
    const commands = failing(1, 'Connection is closed.');
    const outcome = outcomeOf(retry.run(commands.run));
    setTimeout(() => {
      expect(commands.runs).toBe(1);
      connection.ready = true;
      retry.onReady();
    }, 50);
    const { value, ms } = await outcome;
    expect([value, commands.runs]).toEqual(['done', 2]);
    expect(ms).toBeLessThan(1_000);
  });

  test('tries again after pauses while the connection can be used, but not for these keys', async () => {
    const retry = new ReconnectRetry(() => ({ ready: true }), 10_000);
    const commands = failing(4, 'CLUSTERDOWN Hash slot not served');
    expect(await retry.run(commands.run)).toBe('done');
    expect(commands.runs).toBe(5);
  });

  test('gives up after its time, with the last error', async () => {
    for (const ready of [true, false]) {
      const retry = new ReconnectRetry(() => ({ ready }), 300);
      const commands = failing(Infinity, 'CLUSTERDOWN Hash slot not served');
      const { error, ms } = await outcomeOf(retry.run(commands.run));
      expect(error?.message).toContain('CLUSTERDOWN');
      expect(ms).toBeGreaterThan(290);
      expect(ms).toBeLessThan(2_000);
      expect(commands.runs).toBeGreaterThan(1);
      expect(commands.runs).toBeLessThan(20);
    }
  });

  test('does not repeat what Redis refuses for good', async () => {
    const retry = new ReconnectRetry(() => ({ ready: true }), 10_000);
    const commands = failing(Infinity, 'WRONGTYPE Operation against a key');
    await expect(retry.run(commands.run)).rejects.toThrow('WRONGTYPE');
    expect(commands.runs).toBe(1);
  });

  test('ends all waiting when it is closed', async () => {
    const retry = new ReconnectRetry(() => ({ ready: false }), 60_000);
    const commands = failing(Infinity, 'Connection is closed.');
    const outcome = outcomeOf(retry.run(commands.run));
    setImmediate(() => retry.close());
    expect((await outcome).error?.message).toBe('Connection is closed.');
    expect(commands.runs).toBe(1);
  });
});
