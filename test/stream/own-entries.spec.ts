import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { OwnEntries, type OwnEntriesLimits } from '../../lib/stream/own-entries.js';
import type { Recipient } from '../../lib/stream/recipient.js';
import { NOTHING, type Cut } from '../../lib/wire/cut.js';
import { EntryType, weightOf, type Origin, type UnreadEntry } from '../../lib/wire/entry.js';

const LANE = 'me';
const ROOMS = ['a', 'b', 'c'];
const AMPLE: OwnEntriesLimits = { maxEntries: 1_000, maxBytes: 10_000_000 };

interface Spec {
  rooms: string[];
  except?: string[];
  text?: string;
}

function entry(seq: number, { rooms, except = [], text = '' }: Spec): UnreadEntry & { origin: Origin } {
  const data = JSON.stringify({ packet: { type: 2, data: ['msg', text] }, opts: { rooms, except, flags: {} } });
  return { uid: 'me', nsp: '/', type: EntryType.Broadcast, data, rooms, origin: { node: LANE, seq } };
}

const clientIn = (...rooms: string[]): Recipient => ({ nsp: '/', rooms, wasIn: (room) => rooms.includes(room) });
const cutOf = (seq: number, node = LANE): Cut => ({ ...NOTHING, ahead: [{ node, seq }] });
const numbers = (entries: readonly { origin: Origin }[]): number[] => entries.map(({ origin }) => origin.seq);

type Step =
  { push: Spec } | { readTo: number } | { drop: number } | { ask: { rooms: string[]; had: number | undefined } };

const steps = fc.array<Step>(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        push: fc.record({
          rooms: fc.subarray(ROOMS, { maxLength: 2 }),
          except: fc.oneof(fc.constant<string[]>([]), fc.subarray(ROOMS, { maxLength: 1 })),
          text: fc.constantFrom('', 'x'.repeat(200), 'x'.repeat(2_000)),
        }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ readTo: fc.integer({ min: 0, max: 8 }) }) },
    { weight: 2, arbitrary: fc.record({ drop: fc.integer({ min: 0, max: 8 }) }) },
    {
      weight: 3,
      arbitrary: fc.record({
        ask: fc.record({ rooms: fc.subarray(ROOMS), had: fc.option(fc.nat({ max: 12 }), { nil: undefined }) }),
      }),
    },
  ),
  { minLength: 10, maxLength: 60, size: 'max' },
);

const limits = fc.record({
  maxEntries: fc.integer({ min: 0, max: 12 }),
  maxBytes: fc.constantFrom(0, 1_500, 6_000, 1_000_000),
});

/** What was pushed and is unread. */
interface Modelled extends Spec {
  seq: number;
  bytes: number;
  isDropped: boolean;
}

const bytesOf = (entries: Modelled[]): number => entries.reduce((sum, { bytes }) => sum + bytes, 0);

describe('OwnEntries', () => {
  test('has for a client what is unread, for its rooms and new to it, or says that it has not all', () => {
    fc.assert(
      fc.property(steps, limits, (all, { maxEntries, maxBytes }) => {
        const own = new OwnEntries(LANE, 0, { maxEntries, maxBytes });
        let here: Modelled[] = [];
        let evicted: Modelled[] = [];
        let taken = 0;
        for (const step of all) {
          if ('push' in step) {
            const one = entry(++taken, step.push);
            own.push(one);
            here.push({ ...step.push, seq: taken, bytes: weightOf(one), isDropped: false });
            while (here.length > maxEntries || bytesOf(here) > maxBytes) {
              evicted.push(here.shift()!);
            }
          } else if ('readTo' in step) {
            const seq = Math.max(0, taken - step.readTo);
            own.readUpTo(seq);
            here = here.filter((one) => one.seq > seq);
            evicted = evicted.filter((one) => one.seq > seq);
          } else if ('drop' in step) {
            const dropped = here.find(({ seq }) => seq === taken - step.drop);
            if (dropped) {
              own.drop({ node: LANE, seq: dropped.seq });
              dropped.isDropped = true;
              while (here[0]?.isDropped) here.shift(); // nobody will ask for it
            }
          } else {
            const { rooms, had } = step.ask;
            const since = had === undefined ? 0 : taken - had;
            const cut = had === undefined ? NOTHING : cutOf(since);
            const isMeant = ({ rooms: to, except = [] }: Spec): boolean =>
              (to.length === 0 || to.some((room) => rooms.includes(room))) &&
              !except.some((room) => rooms.includes(room));
            const isMissed = ({ seq, isDropped }: Modelled): boolean => seq > since && !isDropped;
            expect(own.covers(cut)).toBe(!evicted.some(isMissed));
            const missed = here.filter((one) => isMissed(one) && isMeant(one));
            expect(numbers(own.entriesFor(clientIn(...rooms), cut))).toEqual(missed.map(({ seq }) => seq));
          }
          expect([own.length, own.bytes]).toEqual([here.length, bytesOf(here)]);
        }
      }),
      { numRuns: 250 },
    );
  });

  test('names the newest entry for any of the rooms of a client, also one for all', () => {
    const own = new OwnEntries(LANE, 0, AMPLE);
    expect(own.lastFor(clientIn('a'))).toBeUndefined();
    [['a'], [], ['b'], ['a', 'c'], ['c']].forEach((rooms, i) => own.push(entry(i + 1, { rooms })));
    const last = (...rooms: string[]): number | undefined => own.lastFor(clientIn(...rooms))?.origin.seq;
    expect([last(), last('a'), last('b'), last('a', 'b'), last('c', 'a')]).toEqual([2, 4, 3, 4, 5]);
    own.readUpTo(4);
    expect([last(), last('a'), last('c')]).toEqual([undefined, undefined, 5]);
  });

  test('includes what its lane has numbered since it began, and nothing of others', () => {
    const own = new OwnEntries(LANE, 7, AMPLE);
    const origins = [undefined, { node: LANE, seq: 7 }, { node: LANE, seq: 8 }, { node: 'other', seq: 8 }];
    expect(origins.map((origin) => own.includes(origin))).toEqual([false, false, true, false]);
  });

  test('covers nothing but cuts of its own lane once an entry had no room', () => {
    const own = new OwnEntries(LANE, 0, { ...AMPLE, maxEntries: 1 });
    [1, 2, 3].forEach((seq) => own.push(entry(seq, { rooms: [] })));
    const answers = [NOTHING, cutOf(1), cutOf(2), cutOf(3), cutOf(3, 'other')].map((cut) => own.covers(cut));
    expect(answers).toEqual([false, false, true, true, false]);
    own.readUpTo(1);
    expect(own.covers(NOTHING)).toBe(false); // the second is neither here nor in the log yet
    own.readUpTo(2);
    expect(own.covers(NOTHING)).toBe(true);
  });

  test('keeps what another lane drops', () => {
    const own = new OwnEntries(LANE, 0, AMPLE);
    own.push(entry(1, { rooms: [] }));
    own.drop({ node: `${LANE}~`, seq: 1 });
    expect(numbers(own.entriesFor(clientIn(), NOTHING))).toEqual([1]);
  });
});
