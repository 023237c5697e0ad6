import { describe, expect, test } from '@jest/globals';
import { isNodeId, nodeOf, serverIndexOf, serverUid, serverUids } from '../../lib/wire/server-uid.js';

describe('the uid of a server', () => {
  test('names its node and its number, from 0', () => {
    const uids = serverUids('a-1_B', 3);
    expect(uids).toEqual(['a-1_B', 'a-1_B.1', 'a-1_B.2']);
    expect(uids.map(nodeOf)).toEqual(['a-1_B', 'a-1_B', 'a-1_B']);
    expect(uids.map(serverIndexOf)).toEqual([0, 1, 2]);
    expect(serverUid('a', 64)).toBe('a.64');
  });

  test('is of no node if that has no form of an id, which anybody may have sent', () => {
    const ids = ['a', '0123456789abcdef', '_-', 'x'.repeat(64)];
    const others = ['', 'a.1', 'a b', 'ä', 'a\n', 'x'.repeat(65), 1, null, undefined, ['a'], new String('a')];
    expect(ids.filter(isNodeId)).toEqual(ids);
    expect(others.filter(isNodeId)).toEqual([]);
  });
});
