import { describe, expect, test } from '@jest/globals';
import { closeAfterwards, closeFrom, freePort, openCount, until } from './index.js';

describe('until', () => {
  test('returns what the condition returned first that is neither false nor undefined', async () => {
    let looks = 0;
    expect(await until(() => ++looks === 3 && 'third', { what: 'the third look', interval: 1 })).toBe('third');
  });

  test('names in its failure what was waited for and why the last look failed', async () => {
    const look = () => Promise.reject(new Error('not there'));
    await expect(until(look, { what: 'the bus', timeout: 20 })).rejects.toThrow(
      'Waited 20 ms in vain for the bus; the last try failed: not there',
    );
  });
});

test('free ports differ from each other', async () => {
  const ports = await Promise.all(Array.from({ length: 20 }, freePort));
  expect(new Set(ports).size).toBe(20);
});

describe('closing afterwards', () => {
  const closedNow: string[] = [];

  test('closes the newest first, and all of it although one fails', async () => {
    const before = openCount();
    closeAfterwards({ close: () => closedNow.push('first') });
    closeAfterwards({ close: () => Promise.reject(new Error('stuck')) });
    closeAfterwards({ close: () => closedNow.push('third') });
    await expect(closeFrom(before)).rejects.toThrow('Closing failed: Error: stuck');
    expect(closedNow).toEqual(['third', 'first']);
    closeAfterwards({ close: () => closedNow.push('left open') });
  });

  test('happens after each test', () => {
    expect(closedNow).toEqual(['third', 'first', 'left open']);
  });
});
