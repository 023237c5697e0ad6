import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { Checkpoints } from '../../lib/session/checkpoints.js';
import { SessionClaim } from '../../lib/session/session-claim.js';

describe('Checkpoints', () => {
  let claims: Map<string, SessionClaim>;
  let written: string[][];
  let removed: string[];
  let settled: string[];
  let failing: boolean;
  let failures: number;
  let unencodable: string[];
  let checkpoints: Checkpoints;

  const start = (isEnabled = true): void => {
    checkpoints = new Checkpoints({
      ...{ isEnabled, claims },
      records: {
        writeLive: async (sessions) => {
          await Promise.resolve();
          if (failing) throw new Error('Redis is away');
          written.push([...sessions.keys()]);
        },
        removeLive: (pid) => Promise.resolve(void removed.push(pid)),
        dropCopy: (pid) => Promise.resolve(void settled.push(pid)),
      },
      encoder: { encode: (_operation, { pid }) => (unencodable.includes(pid) ? undefined : pid) },
      writes: { add: (_operation, write) => void write.catch(() => failures++) },
    });
  };
  const open = (pid: string, { isConfirmed = true, isCopyDropped = true, data = {} } = {}): SessionClaim => {
    const keeper = { touch: (claim: SessionClaim) => checkpoints.add(claim), finish: () => undefined };
    const session = { sid: 'sid', pid, rooms: [], data };
    const claim = new SessionClaim(keeper, {
      ...{ pid, session, isConfirmed, isCopyDropped, epoch: 1, nsp: '/', owner: 'node', duration: 1_000 },
    });
    claims.set(pid, claim);
    return claim;
  };
  const pass = (ms = 50): Promise<void> => jest.advanceTimersByTimeAsync(ms);

  beforeEach(() => {
    jest.useFakeTimers();
    claims = new Map();
    written = [];
    removed = [];
    settled = [];
    unencodable = [];
    failing = false;
    failures = 0;
    start();
  });

  afterEach(() => {
    jest.useRealTimers();
  });

  test('writes what has changed with one command, and what changes right after it 50 ms later', async () => {
    await pass(1_000);
    open('a').touch();
    open('b').touch();
    await pass(0);
    expect(written).toEqual([['a', 'b']]);
    claims.get('a')!.touch();
    claims.get('a')!.touch();
    await pass(0);
    expect(written).toHaveLength(1);
    await pass(50);
    expect(written).toEqual([['a', 'b'], ['a']]);
  });

  test('writes 200 at once, and the others in later turns', async () => {
    for (let i = 0; i < 450; i++) {
      open(`client ${i}`).touch();
    }
    await pass(60);
    expect(written.map(({ length }) => length)).toEqual([200, 200, 50]);
  });

  test('writes nothing that Redis has not confirmed, that is deleted meanwhile, or after it was closed', async () => {
    open('unconfirmed', { isConfirmed: false }).touch();
    const deleted = open('deleted');
    deleted.touch();
    checkpoints.delete(deleted);
    await pass();
    open('late').touch();
    checkpoints.close();
    open('later').touch();
    await pass(100);
    expect(written).toEqual([]);
  });

  test('writes nothing without the option', async () => {
    start(false);
    open('a').touch();
    await checkpoints.writeNow(open('b'));
    await pass();
    expect(written).toEqual([]);
  });

  test('writes all of some sessions at once, and nothing of those whose clients are gone or not confirmed', async () => {
    const [a, gone, unconfirmed] = [open('a'), open('gone'), open('unconfirmed')];
    a.touch();
    gone.mode = 'saving';
    unconfirmed.isConfirmed = false;
    await checkpoints.writeAll([a, gone, unconfirmed]);
    expect(written).toEqual([['a']]);
    await pass();
    expect(written).toHaveLength(1); // it is not due any more
    failing = true;
    await checkpoints.writeAll([a]);
    expect(failures).toBe(1);
  });

  test('writes again what could not be written, when Redis is back', async () => {
    failing = true;
    const claim = open('a');
    claim.touch();
    await pass();
    expect([failures, claim.written]).toEqual([1, undefined]);
    failing = false;
    await pass(1_000);
    expect(written).toEqual([]); // it waits for Redis
    checkpoints.resume();
    await pass();
    expect(written).toEqual([['a']]);
  });

  test('drops the copy of a session once it is written, and says so if a write failed', async () => {
    await checkpoints.writeNow(open('a', { isCopyDropped: false }));
    expect([settled, claims.get('a')!.isCopyDropped]).toEqual([['a'], true]);
    failing = true;
    await expect(checkpoints.writeNow(open('b'))).rejects.toThrow('Redis is away');
  });

  test('removes the record of a session that was released while it was being written, or cannot be encoded', async () => {
    const writing = checkpoints.writeNow(open('released'));
    claims.delete('released');
    await writing;
    unencodable = ['circle'];
    await checkpoints.writeNow(open('circle'));
    expect(removed).toEqual(['released', 'circle']);
  });

  test.each<[string, Record<string, unknown>, (data: any) => unknown]>([
    ['a Map', { seen: new Map() }, ({ seen }) => seen.set('a', { b: new Set([1]) })],
    ['a Set', { seen: new Set([1]) }, ({ seen }) => seen.add(2)],
    ['a BigInt', { sum: 1n }, (data) => (data.sum += 1n)],
    ['a Date', { at: new Date(0) }, ({ at }) => at.setTime(5)],
  ])('finds %s in the data that has changed', async (_name, data, change) => {
    open('changed', { data }).touch();
    open('same', { data: { ...data, seen: new Map() } }).touch();
    await pass();
    change(data);
    await checkpoints.touchChanged();
    await pass();
    expect(written.at(-1)).toContain('changed');
    const before = written.length;
    await checkpoints.touchChanged();
    await pass();
    expect(written).toHaveLength(before);
  });

  test('finds data that have changed without a word', async () => {
    const data = { name: 'old' };
    open('changed', { data }).touch();
    open('same').touch();
    await pass();
    data.name = 'new';
    await checkpoints.touchChanged();
    await pass();
    expect(written).toEqual([['changed', 'same'], ['changed']]);
  });
});
