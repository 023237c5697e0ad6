import { describe, expect, test } from '@jest/globals';
import { BackwardCheck } from '../../lib/stream/backward-check.js';
import { EntryType, type LogEntry } from '../../lib/wire/entry.js';

function entry(n: number, node: string, seq: number, more: Partial<LogEntry> = {}): LogEntry {
  return { id: `${n}-0`, uid: node, nsp: '/', type: EntryType.Broadcast, data: '', origin: { node, seq }, ...more };
}

describe('BackwardCheck', () => {
  test('finds the place of an entry that is missing between two others', () => {
    const check = new BackwardCheck();
    [entry(9, 'a', 8), entry(7, 'b', 2), entry(6, 'a', 5), entry(5, 'b', 1)].forEach((one) =>
      check.addOlder(one, false),
    );
    expect(check.lostUpTo).toBe('9-0');
  });

  test('finds one that is missing between what is read and what was known before', () => {
    const newer = new BackwardCheck();
    [entry(20, 'a', 8), entry(21, 'a', 10)].forEach((one) => newer.addNewer(one));
    const check = new BackwardCheck(newer);
    check.addOlder(entry(6, 'a', 6), false);
    expect(check.lostUpTo).toBe('20-0');
  });

  test('takes nothing for missing that its publisher has dropped, or that is there twice', () => {
    const check = new BackwardCheck();
    const entries = [
      entry(9, 'a', 8, { prev: 5 }),
      entry(8, 'a', 5, { isResent: true }),
      entry(7, 'a', 4, { isResent: true }),
      entry(6, 'a', 5),
      entry(5, 'a', 4),
      entry(4, 'a', 3),
    ];
    entries.forEach((one) => check.addOlder(one, false));
    expect(check.lostUpTo).toBe('0-0');
  });

  test('is open until the entry before the oldest of each publisher is seen, or there is none', () => {
    const check = new BackwardCheck();
    check.addOlder(entry(9, 'a', 2, { isResent: true }), false);
    check.addOlder(entry(8, 'b', 1), false);
    check.addOlder(entry(7, 'c', 100), true); // of no interest
    expect([check.isOpen, check.mayRepeat('a'), check.mayRepeat('b'), check.mayRepeat('c')]).toEqual([
      true,
      true,
      false,
      false,
    ]);
    check.addOlder(entry(6, 'a', 2), true);
    expect([check.isOpen, check.mayRepeat('a')]).toEqual([true, true]);
    check.addOlder(entry(5, 'a', 1), true);
    expect([check.isOpen, check.mayRepeat('a')]).toEqual([false, false]);
  });

  test('knows nothing, and so says nothing, of publishers beyond those that it has room for', () => {
    const check = new BackwardCheck();
    for (let n = 0; n < 4_096; n++) check.addOlder(entry(10_000 - n, `publisher ${n}`, 1), false);
    [entry(7, 'late', 5), entry(6, 'late', 4)].forEach((one) => check.addOlder(one, false));
    const newer = new BackwardCheck();
    newer.addNewer(entry(20_000, 'late', 6));
    check.join(newer);
    expect(check.lostUpTo).toBe('0-0');
    expect(check.mayRepeat('late')).toBe(false);
  });
});
