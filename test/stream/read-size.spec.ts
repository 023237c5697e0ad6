import { describe, expect, test } from '@jest/globals';
import { ReadSize } from '../../lib/stream/read-size.js';

describe('ReadSize', () => {
  test('asks for twice as many entries after each full read, up to 4,096, and for half as many after others', () => {
    const size = new ReadSize(100);
    const counts = Array.from({ length: 7 }, () => {
      size.onRead(true);
      return size.count;
    });
    expect(counts).toEqual([200, 400, 800, 1_600, 3_200, 4_096, 4_096]);
    for (let i = 0; i < 20; i++) size.onRead(false);
    expect(size.count).toBe(100);
  });

  test('asks for fewer large entries, but never for less than usual', () => {
    const size = new ReadSize(100);
    for (let i = 0; i < 6; i++) size.onRead(true);
    size.onEntries(10, 10 * 8_000);
    expect(size.count).toBe(Math.floor((8 * 1024 * 1024) / 8_256));
    size.onEntries(10, 10 * 1_000_000);
    expect(size.count).toBe(100);
  });

  test('asks for as many as usual when reading begins elsewhere', () => {
    const size = new ReadSize(100);
    size.onRead(true);
    size.reset();
    expect(size.count).toBe(100);
  });
});
