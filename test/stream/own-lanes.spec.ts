import { describe, expect, test } from '@jest/globals';
import { OwnLanes } from '../../lib/stream/own-lanes.js';

describe('OwnLanes', () => {
  test('delivers at once what is in the main lane, or with the ordering log what is in the direct one', () => {
    const localFirst = new OwnLanes('me', 'local-first');
    expect(localFirst.atOnce).toBe(localFirst.main);
    const log = new OwnLanes('me', 'log');
    expect(log.atOnce).toBe(log.direct);
  });

  test('finds the lane of an own entry, and none of an entry of others', () => {
    const lanes = new OwnLanes('me', 'log');
    expect([lanes.of('me'), lanes.of('me~'), lanes.of('other'), lanes.of(undefined)]).toEqual([
      ...[lanes.main, lanes.direct, undefined, undefined],
    ]);
  });

  test('is read back when nothing that was appended is awaited any more', () => {
    const lanes = new OwnLanes('me', 'log');
    lanes.direct.appended = 2;
    lanes.direct.readUpTo(1);
    expect(lanes.isReadBack).toBe(false);
    lanes.loseUnread();
    expect(lanes.isReadBack).toBe(true);
  });
});
