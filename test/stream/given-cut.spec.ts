import { describe, expect, jest, test } from '@jest/globals';
import { GivenCut } from '../../lib/stream/given-cut.js';
import { Lane } from '../../lib/stream/lane.js';
import { decodeCut } from '../../lib/wire/cut.js';
import { EntryType, type LogEntry, type Origin } from '../../lib/wire/entry.js';

const entry: LogEntry = { id: '5-0', uid: 'a', nsp: '/', type: EntryType.Broadcast, data: '{}' };

describe('GivenCut', () => {
  const lane = new Lane('me');
  const progress = { position: '4-0', origin: undefined as Origin | undefined, formerNumbers: [] as Origin[] };
  const given = new GivenCut(lane, progress);

  test('is the position while all own entries are read back, and goes with an entry as its id', () => {
    expect([given.offset(), given.offsetAt(entry)]).toEqual(['4-0', '5-0']);
  });

  test('has the number of the last own entry while it is ahead of the position', () => {
    lane.next();
    given.onChange();
    const ahead = [{ node: 'me', seq: 1 }];
    expect(given.now()).toEqual({ position: '4-0', ahead });
    expect(decodeCut(given.offset())).toEqual({ position: '4-0', ahead });
    expect(decodeCut(given.offsetAt(entry))).toEqual({ position: '5-0', ahead });
  });

  test('has what was delivered in former histories, of this node the later number only', () => {
    progress.formerNumbers = [
      { node: 'me', seq: 1 },
      { node: 'other', seq: 7 },
    ];
    lane.next();
    given.onChange();
    expect(given.now().ahead).toEqual([
      { node: 'other', seq: 7 },
      { node: 'me', seq: 2 },
    ]);
  });

  test('says for a minute which entry is at the position, if that says who appended it', () => {
    const given = new GivenCut(new Lane('me'), progress);
    progress.formerNumbers = [];
    progress.origin = { node: 'b', seq: 9 };
    const now = jest.spyOn(performance, 'now').mockReturnValue(1_000);
    given.mark();
    expect([given.offset(), given.offsetAt({ ...entry, origin: { node: 'a~', seq: 3 } })]).toEqual([
      '4-0,=b:9',
      '5-0,=a~:3',
    ]);
    expect(given.offsetAt(entry)).toBe('5-0');
    expect(given.now()).toEqual({ position: '4-0', ahead: [] });
    now.mockReturnValue(61_001);
    given.onChange();
    expect([given.offset(), given.offsetAt({ ...entry, origin: { node: 'a~', seq: 3 } })]).toEqual(['4-0', '5-0']);
    now.mockRestore();
  });

  test('is an offset with which nobody is recovered while it has more publishers than an offset may name', () => {
    const publishers = (count: number): Origin[] =>
      Array.from({ length: count }, (_, i) => ({ node: `node-${i}-with-a-long-name`, seq: 1_000_000 }));
    progress.formerNumbers = publishers(15);
    given.onChange();
    expect(decodeCut(given.offset())?.ahead).toHaveLength(16);
    progress.formerNumbers = publishers(2_000);
    given.onChange();
    expect([given.offset(), given.offsetAt(entry)]).toEqual(['-', '-']);
  });
});
