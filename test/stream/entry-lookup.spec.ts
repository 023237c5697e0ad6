import { beforeEach, describe, expect, test } from '@jest/globals';
import { EntryLookup } from '../../lib/stream/entry-lookup.js';
import { EntryType, type LogEntry } from '../../lib/wire/entry.js';

const entry = (id: string, node = 'a', seq = 1): LogEntry => ({
  ...{ id, uid: node, nsp: '/', type: EntryType.Broadcast, data: '{}', origin: { node, seq } },
});

/** With a Redis: stream-log.spec.ts. */
describe('EntryLookup', () => {
  let remembered: LogEntry[];
  let stored: LogEntry[] | undefined;
  let marks: Record<string, string>;
  let lookup: EntryLookup;

  beforeEach(() => {
    [remembered, stored, marks] = [[], [], {}];
    const ask = async (): Promise<LogEntry[]> => stored ?? Promise.reject(new Error('Redis is away'));
    lookup = new EntryLookup(
      { find: (id) => remembered.find((one) => one.id === id) },
      { markAt: (id) => marks[id] },
      { at: async (id) => (await ask()).find((one) => one.id === id), first: async () => (await ask())[0] },
    );
  });

  test('finds what is remembered without asking Redis', async () => {
    stored = undefined;
    remembered = [entry('5-0')];
    marks['6-0'] = 'a:2';
    expect([await lookup.find('5-0'), await lookup.find('6-0', 'a:2'), await lookup.find('0-0')]).toEqual([
      ...['yes', 'yes', 'yes'],
    ]);
    expect(await lookup.find('4-0')).toBe('unknown');
  });

  test('says no of another entry with the same id, here and in Redis', async () => {
    remembered = [entry('5-0')];
    stored = [entry('4-0')];
    expect([await lookup.find('5-0', 'b:1'), await lookup.find('4-0', 'b:1')]).toEqual(['no', 'no']);
    expect([await lookup.find('5-0', 'a:1'), await lookup.find('4-0', 'a:1')]).toEqual(['yes', 'yes']);
  });

  test('distinguishes what was trimmed from what cannot have been', async () => {
    stored = [entry('4-0'), entry('6-0')];
    expect([await lookup.find('3-0'), await lookup.find('5-0'), await lookup.find('7-0')]).toEqual([
      ...['trimmed', 'no', 'no'],
    ]);
    stored = [];
    expect(await lookup.find('3-0')).toBe('no');
  });

  test('does not take an entry at the end of a replaced history for the former one, without its mark', async () => {
    lookup.onBroken('3-0', '5-0');
    stored = [entry('5-0')];
    expect([await lookup.find('5-0'), await lookup.find('5-0', 'a:1')]).toEqual(['no', 'yes']);
    lookup.onBroken('6-0', '6-0'); // reading goes on at a position: no history has ended there
    expect(await lookup.find('5-0')).toBe('no');
  });
});
