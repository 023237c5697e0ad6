import { describe, expect, it } from '@jest/globals';
import { cutAt, cutBackTo, decodeCut, encodeCut, isInCut, joinCuts, NOTHING } from '../../lib/wire/cut.js';

describe('Cut', () => {
  const cut = { position: '5-0', ahead: [{ node: 'a', seq: 7 }] };

  it('holds what lies up to its position', () => {
    expect(isInCut({ id: '5-0' }, cut)).toBe(true);
    expect(isInCut({ id: '5-1' }, cut)).toBe(false);
    expect(isInCut({ id: '5-1', origin: { node: 'b', seq: 1 } }, cut)).toBe(false);
    expect(isInCut({ id: '1-0' }, NOTHING)).toBe(false);
  });

  it('holds what a publisher is ahead, whether Redis has it yet or not', () => {
    expect(isInCut({ id: '9-0', origin: { node: 'a', seq: 7 } }, cut)).toBe(true);
    expect(isInCut({ id: undefined, origin: { node: 'a', seq: 7 } }, cut)).toBe(true);
    expect(isInCut({ id: undefined, origin: { node: 'a', seq: 8 } }, cut)).toBe(false);
    expect(isInCut({ id: undefined, origin: { node: 'a', seq: 1 } }, cutAt('9-0'))).toBe(false);
  });

  it('of two, joined, holds what is in either', () => {
    const other = {
      position: '4-0',
      ahead: [
        { node: 'a', seq: 3 },
        { node: 'b', seq: 1 },
      ],
    };
    expect(joinCuts(cut, other)).toEqual({
      position: '5-0',
      ahead: [
        { node: 'a', seq: 7 },
        { node: 'b', seq: 1 },
      ],
    });
  });

  it('is a plain id on the wire where nobody is ahead', () => {
    expect(encodeCut(cutAt('5-0'))).toBe('5-0');
    expect(encodeCut(cut)).toBe('5-0,a:7');
    expect(decodeCut(encodeCut(cut))).toEqual(cut);
    expect(decodeCut('5-0')).toEqual(cutAt('5-0'));
    const marked = { ...cut, mark: { node: 'b~', seq: 12 } };
    expect(encodeCut(marked)).toBe('5-0,a:7,=b~:12');
    expect(decodeCut(encodeCut(marked))).toEqual(marked);
    expect(decodeCut('5-0,=b:1')).toEqual({ ...cutAt('5-0'), mark: { node: 'b', seq: 1 } });
  });

  it('that is marked keeps the mark as long as it keeps the position', () => {
    const marked = { ...cut, mark: { node: 'b', seq: 12 } };
    expect(joinCuts(marked, cutAt('4-0'))).toEqual(marked);
    expect(joinCuts(cutAt('4-0'), marked)).toEqual(marked);
    expect(joinCuts(marked, cutAt('6-0'))).toEqual({ ...cut, position: '6-0' });
    expect(cutBackTo('4-0', marked)).toEqual({ ...cut, position: '4-0' });
    expect(cutBackTo('5-0', marked)).toEqual(marked);
  });

  it.each([
    '',
    'x',
    '5',
    '5-0,',
    '5-0,a',
    '5-0,a:00',
    '5-0,a:1.5',
    '5-0,a:99999999999999999',
    7,
    undefined,
    '5-0' + ',a:1'.repeat(17),
  ])('is none in %j, which a client may send', (text) => expect(decodeCut(text)).toBeUndefined());
});
