import { beforeEach, describe, expect, test } from '@jest/globals';
import { findReplayStart } from '../../lib/adapter/replay-start.js';
import { cutAt, type Cut } from '../../lib/wire/cut.js';
import type { Session } from '../../lib/wire/session.js';

type Log = Parameters<typeof findReplayStart>[0];
type InLog = Awaited<ReturnType<Log['isInLog']>>;

describe('findReplayStart', () => {
  let inLog: Record<string, InLog>;
  let asked: [position: string, mark?: string][];
  let hasRead: boolean;
  let hasFormer: boolean;
  let isReading: boolean;
  /** Whether commands are executed on the log that is read. */
  let isShared: boolean;
  /** Whether this node comes to read. */
  let willRead: boolean;
  const log = (): Log => ({
    whenReading: () => Promise.resolve(willRead),
    isInLog: (position, mark) => {
      asked.push(mark === undefined ? [position] : [position, mark]);
      return Promise.resolve(inLog[position] ?? 'yes');
    },
    whenRead: () => Promise.resolve(hasRead),
    whenSharedUpTo: () => Promise.resolve(isShared),
    whenFormerIn: () => Promise.resolve(hasFormer),
    isReading,
  });
  const find = (
    session: Partial<Session>,
    cut: Cut | string,
    isConfirmed = true,
  ): ReturnType<typeof findReplayStart> => {
    const whole = { sid: 'sid', pid: 'pid', rooms: [], data: {}, ...session };
    return findReplayStart(log(), whole, typeof cut === 'string' ? cutAt(cut) : cut, isConfirmed);
  };

  beforeEach(() => {
    inLog = {};
    asked = [];
    hasRead = hasFormer = isReading = willRead = isShared = true;
  });

  test('is what the client has by its offset', async () => {
    expect(await find({ sent: { other: '6-0' }, position: cutAt('9-0') }, '5-0')).toEqual(cutAt('5-0'));
  });

  test('is the position of the session if the client has what it was given last', async () => {
    expect(await find({ sent: { other: '5-0' }, position: cutAt('9-0') }, '5-0')).toEqual(cutAt('9-0'));
  });

  test('is none while what was delivered of a replaced history may come again, and is not in it', async () => {
    hasFormer = false;
    expect(await find({}, '5-0')).toBe('lost');
  });

  test('is none for an offset that names a node of which the session knows nothing', async () => {
    const cut = { position: '5-0', ahead: [{ node: 'elsewhere~', seq: 0 }] };
    expect(await find({ owner: 'here' }, cut)).toBe('unknown');
    expect(await find({ owner: 'here', owners: ['elsewhere'] }, cut)).toEqual(cut);
  });

  test('is the offset if the client has not received the last entry of its own node', async () => {
    const sent = { other: '5-0', own: { origin: { node: 'own', seq: 2 } } };
    const session = { owner: 'own', sent, position: cutAt('9-0') };
    const at = (seq: number): Cut => ({ position: '5-0', ahead: [{ node: 'own', seq }] });
    expect(await find(session, at(1))).toEqual(at(1));
    expect(await find(session, at(2))).toEqual({ ...at(2), position: '9-0' });
  });

  test('is not before the client connected for the first time', async () => {
    expect(await find({ since: cutAt('3-0') }, '0-0')).toEqual(cutAt('3-0'));
  });

  test('is refused as trimmed if rooms that the client left after its offset are forgotten', async () => {
    expect(await find({ forgotten: cutAt('6-0') }, '5-0')).toBe('trimmed');
    expect(await find({ forgotten: cutAt('6-0') }, '6-0')).toEqual(cutAt('6-0'));
  });

  test.each([
    { ofSession: 'no', expected: 'offset' },
    { ofSession: 'unknown', expected: 'redis-away' },
  ] as const)(
    'is refused as $expected if the log says "$ofSession" of the position',
    async ({ ofSession, expected }) => {
      inLog['9-0'] = ofSession;
      expect(await find({ position: cutAt('9-0'), mark: 'mark' }, '5-0')).toBe(expected);
      expect(asked).toEqual([['9-0', 'mark']]);
    },
  );

  test('is refused as offset if the log never had an entry there, though it has that of the session', async () => {
    inLog['5-0'] = 'no';
    expect(await find({ position: cutAt('9-0') }, '5-0')).toBe('offset');
    expect(asked).toEqual([['9-0'], ['5-0']]);
  });

  test('is found though the entries that are named were trimmed, which the replay finds out', async () => {
    Object.assign(inLog, { '9-0': 'trimmed', '5-0': 'trimmed' });
    expect(await find({ position: cutAt('9-0') }, '5-0')).toEqual(cutAt('5-0'));
  });

  test('asks nothing of the log before Redis has confirmed that the session is this node\u2019s', async () => {
    Object.assign(inLog, { '9-0': 'unknown', '5-0': 'unknown' });
    expect(await find({ position: cutAt('9-0') }, '5-0', false)).toEqual(cutAt('5-0'));
    expect(asked).toEqual([]);
  });

  test('asks nothing of the log before this node reads it: Redis may have another history than was read here', async () => {
    willRead = false;
    expect(await find({ position: cutAt('9-0') }, '5-0')).toBe('redis-away');
    expect(await find({ position: cutAt('9-0') }, '5-0', false)).toEqual(cutAt('5-0'));
    expect(asked).toEqual([]);
  });

  test('looks for the very entry that the offset says to be at its position', async () => {
    const cut = { ...cutAt('5-0'), mark: { node: 'a', seq: 7 } };
    expect(await find({ position: cutAt('5-0'), mark: 'a:7' }, cut)).toEqual(cut);
    expect(asked).toEqual([['5-0', 'a:7'], ['5-0', 'a:7']]); // prettier-ignore
    inLog['5-0'] = 'no';
    expect(await find({}, cut)).toBe('offset');
  });

  test('is none while commands are executed on another log than this node reads', async () => {
    isShared = false;
    expect(await find({ position: cutAt('9-0') }, '5-0')).toBe('redis-away');
    expect(await find({ position: cutAt('9-0') }, '5-0', false)).toEqual(cutAt('5-0'));
  });

  test('is refused if this node does not come there: as offset while it reads, as redis-away otherwise', async () => {
    hasRead = false;
    expect(await find({}, '5-0')).toBe('offset');
    isReading = false;
    expect(await find({}, '5-0')).toBe('redis-away');
  });
});
