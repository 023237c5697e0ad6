import { describe, expect, test } from '@jest/globals';
import { describeMark, History } from '../../lib/stream/history.js';
import { EntryType, type LogEntry } from '../../lib/wire/entry.js';

const entry = (n: number, node: string | undefined = 'a', seq = n): LogEntry => ({
  ...{ id: `${n}-0`, uid: 'u', nsp: '/', type: EntryType.Broadcast, data: `["x",${seq}]` },
  ...(node !== undefined && { origin: { node, seq } }),
});
const plain = (n: number, text: string): LogEntry => ({ ...entry(n), origin: undefined, data: text });

function of(...entries: LogEntry[]): History {
  const history = new History();
  entries.forEach((one) => history.add(one.id, one));
  return history;
}

describe('History', () => {
  test('knows the very entries that were added, not others with the same ids', () => {
    const history = of(entry(1), entry(2), plain(3, 'of the reference'));
    expect([history.has('2-0', entry(2)), history.has('3-0', plain(3, 'of the reference'))]).toEqual([true, true]);
    expect([history.has('2-0', entry(2, 'b')), history.has('2-0', entry(2, 'a', 7))]).toEqual([false, false]);
    expect([history.has('3-0', plain(3, 'another')), history.has('4-0', entry(4))]).toEqual([false, false]);
  });

  test('gives what distinguishes an entry, as describeMark does', () => {
    const history = of(entry(1), plain(2, 'x'));
    expect([history.markAt('1-0'), history.markAt('2-0')]).toEqual([
      describeMark(entry(1)),
      describeMark(plain(2, 'x')),
    ]);
    expect([history.markAt('1-0'), history.markAt('9-0')]).toEqual(['a:1', undefined]);
  });

  test('keeps one entry when it restarts, and nothing of one that it does not know', () => {
    const history = of(entry(1), entry(2));
    history.restart('1-0');
    expect([history.oldest, history.newest, history.has('1-0', entry(1)), history.has('2-0', entry(2))]).toEqual([
      ...['1-0', '1-0', true, false],
    ]);
    history.restart('7-0');
    expect([history.newest, history.markAt('7-0')]).toEqual(['7-0', undefined]);
  });

  test('remembers at least the latest thousand entries, and not all there ever were', () => {
    const history = of(...Array.from({ length: 10_000 }, (_, n) => entry(n + 1)));
    expect([history.newest, history.has('9000-0', entry(9_000)), history.has('1-0', entry(1))]).toEqual([
      ...['10000-0', true, false],
    ]);
  });
});
