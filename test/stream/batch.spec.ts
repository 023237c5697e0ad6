import { beforeEach, describe, expect, test } from '@jest/globals';
import { RedisClientError } from '../../lib/redis/errors.js';
import { multiRefused } from '../../lib/redis/multi-refused.js';
import { Batch } from '../../lib/stream/batch.js';
import { Lane } from '../../lib/stream/lane.js';
import { Outbox, type OutboxEntry } from '../../lib/stream/outbox.js';

const MB = 1024 * 1024;
const tooLarge = new Error('ERR max request size exceeded');
const lost = new Error('the connection was closed');

describe('Batch', () => {
  let lane: Lane;
  let outbox: Outbox;
  let batch: Batch;
  let order: number;

  beforeEach(() => {
    lane = new Lane('me');
    outbox = new Outbox({ maxEntries: 10_000, maxBytes: 1_000 * MB });
    batch = new Batch();
    order = 0;
  });

  function push(bytes: number, to = lane): OutboxEntry {
    const entry = { order: ++order, lane: to, seq: to.next().seq, fields: ['data', '{}'], bytes };
    outbox.push(entry);
    return entry;
  }

  /** The numbers of the entries that are sent next, and of those before them as they say. */
  const sent = (): string[] =>
    batch.commands('s', 100).map((command) => {
      const fields = command.slice(command.indexOf('*') + 1).map(String);
      return fields.slice(2).join(' ');
    });

  test('takes as many entries as may be appended, up to a number and a size, and one of any size', () => {
    for (let n = 0; n < 600; n++) push(100);
    batch.fill(outbox, 5);
    expect([batch.length, batch.bytes, outbox.length]).toEqual([5, 500, 595]);
    batch.fill(outbox, undefined);
    expect(batch.length).toBe(512);
    outbox.clear();
    [MB / 2, MB / 2, 1].forEach((bytes) => push(bytes));
    batch.fill(outbox, undefined);
    expect(batch.length).toBe(2);
    outbox.clear();
    push(5 * MB);
    batch.fill(outbox, undefined);
    expect(batch.length).toBe(1);
  });

  test('numbers its commands, says which were dropped before them, and trims with the last one', () => {
    lane.appended = 1;
    lane.taken = 3;
    [push(1), push(1)].forEach(() => undefined);
    push(1, new Lane('me~'));
    batch.fill(outbox, undefined);
    expect(sent()).toEqual(['seq 4 prev 1', 'seq 5', 'seq ~1']);
    expect(batch.commands('s', 100).map((command) => command.includes('MAXLEN'))).toEqual([false, false, true]);
    batch.onFailed(lost);
    expect(sent()).toEqual(['seq 4 prev 1 resent 1', 'seq 5 resent 1', 'seq ~1 resent 1']);
  });

  test('marks what was appended in its lane', () => {
    [push(1), push(1)].forEach(() => undefined);
    batch.fill(outbox, undefined);
    expect(batch.onAppended()).toBe(2);
    expect([lane.appended, lane.pending, batch.length, batch.bytes]).toEqual([2, 0, 0, 0]);
  });

  test('finds an entry that is too large among others, and has all others appended in order', () => {
    const large = [10, 2_000, 10, 3_000, 10].map((bytes) => push(bytes)).filter(({ bytes }) => bytes > 1_000);
    const appended: number[] = [];
    const refused: OutboxEntry[] = [];
    for (batch.fill(outbox, undefined); batch.length > 0;) {
      const isRefused = sent().some((fields) => large.some(({ seq }) => fields.startsWith(`seq ${seq}`)));
      if (isRefused) {
        const step = batch.onFailed(tooLarge);
        expect(step?.isSaid).toBe(true);
        refused.push(...(step?.refused ? [step.refused] : []));
      } else {
        appended.push(...sent().map((fields) => Number(/^seq (\d+)/.exec(fields)![1])));
        batch.onAppended();
      }
    }
    expect([appended, refused]).toEqual([[1, 3, 5], large]);
  });

  test('takes smaller batches after one was refused, and large ones again when it was a single entry', () => {
    for (let n = 0; n < 4; n++) push(MB / 4);
    batch.fill(outbox, undefined);
    expect(batch.length).toBe(4);
    batch.onFailed(tooLarge);
    while (batch.length > 0) batch.onAppended();
    for (let n = 0; n < 4; n++) push(MB / 4);
    batch.fill(outbox, undefined);
    expect(batch.length).toBe(2);
    batch.onFailed(tooLarge);
    expect(batch.onFailed(tooLarge)?.refused?.seq).toBe(5);
    batch.onAppended();
    for (let n = 0; n < 2; n++) push(MB / 4);
    batch.fill(outbox, undefined);
    expect(batch.length).toBe(4);
  });

  test('gives up a large entry when the connection is lost four times meanwhile, though it is good before', () => {
    const entry = push(MB);
    batch.fill(outbox, undefined);
    expect([batch.needsProof, batch.onFailed(lost)]).toEqual([false, { refused: undefined, isSaid: false }]);
    for (let losses = 2; losses < 4; losses++) {
      expect(batch.needsProof).toBe(true);
      expect(batch.onFailed(lost)?.refused).toBeUndefined(); // the connection was bad before
      batch.onConnectionProved();
      expect(batch.onFailed(lost)?.refused).toBeUndefined();
    }
    batch.onConnectionProved();
    expect(batch.onFailed(lost)?.refused).toBe(entry);
    expect(batch.length).toBe(0);
  });

  test('counts on when a try could not be sent, as while one master of a cluster is away', () => {
    const entry = push(MB);
    batch.fill(outbox, undefined);
    batch.onFailed(lost);
    const tries = Array.from({ length: 3 }, () => {
      expect(batch.onFailed(new RedisClientError('Redis cannot be used now'))).toBeUndefined();
      expect(batch.needsProof).toBe(true);
      batch.onConnectionProved();
      return batch.onFailed(lost)?.refused;
    });
    expect(tries).toEqual([undefined, undefined, entry]);
  });

  test('gives up one as large as the last that was given up after one loss, until one so large is taken', () => {
    const lossesOf = (bytes: number): number => {
      push(bytes);
      batch.fill(outbox, undefined);
      for (let losses = 1; ; losses++) {
        if (batch.needsProof) batch.onConnectionProved();
        if (batch.onFailed(lost)?.refused) return losses;
      }
    };
    expect([lossesOf(2 * MB), lossesOf(MB), lossesOf(2 * MB)]).toEqual([4, 4, 2]);
    push(2 * MB);
    batch.fill(outbox, undefined);
    batch.onAppended();
    expect(lossesOf(2 * MB)).toBe(4);
  });

  test('does not search when an entry is small, or when the failure says nothing of the size', () => {
    push(1_000);
    batch.fill(outbox, undefined);
    expect(batch.onFailed(lost)).toBeUndefined();
    expect(batch.onFailed(new Error('OOM command not allowed'))).toBeUndefined();
    expect([batch.length, batch.needsProof]).toEqual([1, false]);
  });

  test('is marked as sent before, and otherwise as it was, when it is not known what became of it', () => {
    [1, 2].forEach(() => push(1));
    batch.fill(outbox, undefined);
    batch.onUnanswered();
    expect(batch.commands('s', 10).every((command) => command.includes('resent'))).toBe(true);
    expect([batch.length, batch.needsProof]).toEqual([2, false]);
  });

  test('takes an answer to what it has been cleared of for none', () => {
    [1, 2].forEach(() => push(1));
    batch.fill(outbox, undefined);
    batch.clear();
    expect(batch.onAppended()).toBe(0);
  });

  test('sends one by one to a server that allows no transactions', () => {
    for (let n = 0; n < 3; n++) push(1);
    batch.fill(outbox, undefined);
    expect(batch.onFailed(multiRefused(new Error('NOPERM')))).toBeUndefined();
    expect(sent()).toHaveLength(1);
    batch.onAppended();
    expect([sent().length, batch.length]).toEqual([1, 2]);
    batch.clear();
    for (let n = 0; n < 3; n++) push(1);
    batch.fill(outbox, undefined);
    expect(batch.length).toBe(1);
  });
});
