import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { isFor, type Recipient } from '../../lib/stream/recipient.js';
import { RoomIndex } from '../../lib/stream/room-index.js';
import { cutAt, isInCut, type Cut } from '../../lib/wire/cut.js';
import { EntryType, type LogEntry } from '../../lib/wire/entry.js';
import { STREAM_START } from '../../lib/wire/stream-id.js';

const ROOMS = ['a', 'b', 'c', ''];
const OWN = 'own';

/** An entry of the model: the n-th of all. */
interface Numbered extends LogEntry {
  readonly n: number;
  readonly to: readonly string[];
  readonly except: readonly string[];
}

interface Spec {
  nsp?: string;
  rooms?: string[];
  except?: string[];
  type?: number;
  node?: string;
  /** Written by the reference adapter: it has no field for its rooms, and no number. */
  isPlain?: boolean;
}

/** Ids that would be out of order as texts, or as doubles. */
const idOf = (n: number): string =>
  n < 0 ? STREAM_START : `${9 + Math.floor(n / 3)}-${9_007_199_254_740_990n + BigInt(n)}`;

function entry(n: number, spec: Spec = {}, seq = n + 1): Numbered {
  const { nsp = '/', rooms = [], except = [], type = EntryType.Broadcast, node = 'other', isPlain = false } = spec;
  return {
    ...{ id: idOf(n), uid: 'sender', nsp, type, n, to: rooms, except },
    data: JSON.stringify({ packet: { type: 2, data: ['msg', n] }, opts: { rooms, except, flags: {} } }),
    ...(!isPlain && { rooms, origin: { node, seq } }),
  };
}

const add = (index: RoomIndex, one: Numbered): void => index.add(one.n, one);
const numbers = (entries: Numbered[]): number[] => entries.map(({ n }) => n);
const isUnder = (one: Numbered, nsp: string, room: string): boolean =>
  one.nsp === nsp && (one.rooms?.length ? one.rooms : ['']).includes(room);

/** A client that was in each room from the entry after `from` to the entry `upTo`. */
type Visits = Record<string, [from: number, upTo: number]>;

function recipient(visits: Visits): Recipient {
  const wasIn = (room: string, n: number): boolean => room in visits && n > visits[room]![0] && n <= visits[room]![1];
  return { nsp: '/', rooms: Object.keys(visits), wasIn: (room, one) => wasIn(room, (one as Numbered).n) };
}

const always: [number, number] = [-1, Infinity];

const specs = fc.record({
  nsp: fc.constantFrom('/', '/', '/chat'),
  rooms: fc.oneof(fc.subarray(ROOMS, { maxLength: 2 }), fc.constant<string[]>(['a', 'a'])),
  except: fc.oneof(fc.constant<string[]>([]), fc.subarray(ROOMS, { maxLength: 1 })),
  type: fc.constantFrom<number>(EntryType.Broadcast, EntryType.Broadcast, EntryType.SocketsJoin),
  node: fc.constantFrom(OWN, 'other', 'third'),
  isPlain: fc.boolean(),
});

type Step = { add: Spec } | 'removeOldest' | 'addMany' | { bringBack: number };

const steps = fc.array<Step>(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ add: specs }) },
    { weight: 3, arbitrary: fc.constant('removeOldest' as const) },
    { weight: 1, arbitrary: fc.record({ bringBack: fc.integer({ min: 0, max: 5 }) }) },
    { weight: 1, arbitrary: fc.constant('addMany' as const) },
  ),
  { minLength: 10, maxLength: 40, size: 'max' },
);

const visits = fc.dictionary(
  fc.constantFrom(...ROOMS),
  fc.oneof(fc.constant(always), fc.tuple(fc.integer({ min: -1, max: 30 }), fc.integer({ min: -1, max: 60 }))),
);

const cuts = fc.record({
  position: fc.integer({ min: -1, max: 50 }).map(idOf),
  ahead: fc.array(fc.record({ node: fc.constantFrom(OWN, 'other', 'third'), seq: fc.nat({ max: 20 }) }), {
    maxLength: 2,
  }),
});

/** All that was ever added; what comes before `from` is removed. */
class Model {
  readonly all: Numbered[] = [];
  from = 0;
  hasBroughtBack = false;
  private readonly seqs = new Map<string, number>();

  get present(): Numbered[] {
    return this.all.slice(this.from);
  }

  next(spec: Spec): Numbered {
    const seq = (this.seqs.get(spec.node!) ?? 0) + (spec.isPlain ? 0 : 1);
    this.seqs.set(spec.node!, seq);
    const one = entry(this.all.length, spec, seq);
    this.all.push(one);
    return one;
  }

  /** Runs a step here and on the index. */
  run(step: Step, index: RoomIndex): void {
    if (step === 'removeOldest') {
      if (this.from < this.all.length) index.removeOldest(this.all[this.from++]!);
    } else if (step === 'addMany') {
      for (let i = 0; i < 70; i++) add(index, this.next({ rooms: ['a'], node: 'other' }));
      for (let i = 0; i < 68; i++) index.removeOldest(this.all[this.from++]!);
    } else if ('add' in step) {
      add(index, this.next(step.add));
    } else {
      this.from = Math.max(0, this.from - step.bringBack);
      this.hasBroughtBack = true;
      index.replace(this.from, this.present);
    }
  }

  removedNotIn(cut: Cut, nsp: string, room: string): boolean {
    return this.all.slice(0, this.from).some((one) => isUnder(one, nsp, room) && !isInCut(one, cut));
  }
}

describe('RoomIndex', () => {
  test('gives a client what a search through all entries gives, whatever was added and removed', () => {
    const isMissed = ({ nsp, type, to, except, n }: Numbered, of: Visits): boolean => {
      const isIn = (room: string): boolean => room in of && n > of[room]![0] && n <= of[room]![1];
      const isMeant = to.length === 0 || to.some(isIn);
      return nsp === '/' && type === EntryType.Broadcast && isMeant && !except.some(isIn);
    };
    fc.assert(
      fc.property(steps, visits, fc.integer({ min: -1, max: 40 }), (all, of, a) => {
        const index = new RoomIndex(STREAM_START, OWN);
        const model = new Model();
        for (const step of all) {
          model.run(step, index);
        }
        const client = recipient(of);
        const found = index.placesFor('/', client.rooms, a + 1).map((place) => model.all[place]!);
        const missed = model.present.filter((one) => one.n > a && isMissed(one, of));
        expect(numbers(found.filter((one) => isFor(one, client)))).toEqual(numbers(missed));
      }),
      { numRuns: 300 },
    );
  });

  test('knows the newest entry for a room that is there, and the last that there was of each side', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const index = new RoomIndex(STREAM_START, OWN);
        const model = new Model();
        for (const step of all) {
          model.run(step, index);
        }
        for (const room of ROOMS) {
          const [own, other] = [true, false].map((isOwn) =>
            model.all.findLast((one) => isUnder(one, '/', room) && (one.origin?.node === OWN) === isOwn),
          );
          expect(index.newestFor('/', room)).toBe(model.present.findLast((one) => isUnder(one, '/', room))?.n);
          const last = index.lastFor('/', room);
          expect([last.own?.origin, last.own?.id, last.other]).toEqual([own?.origin, own?.id, other?.id]);
        }
      }),
      { numRuns: 150 },
    );
  });

  test('says of each removed entry that a client may lack it, and of no other that only has an id', () => {
    fc.assert(
      fc.property(steps, cuts, (all, cut) => {
        const index = new RoomIndex(STREAM_START, OWN);
        const model = new Model();
        for (const step of all) {
          model.run(step, index);
        }
        for (const room of ROOMS) {
          const isMissing = model.removedNotIn(cut, '/', room);
          const says = index.hasRemoved('/', room, cut);
          expect([room, says || !isMissing]).toEqual([room, true]);
          if (!model.hasBroughtBack) {
            const plain = cutAt(cut.position);
            expect([room, index.hasRemoved('/', room, plain)]).toEqual([room, model.removedNotIn(plain, '/', room)]);
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  test('does not take what the client has of one publisher for lost, and sees what it lacks of another', () => {
    const index = new RoomIndex();
    const all = ['x', 'x', 'y', 'x'].map((node, n) => entry(n, { rooms: ['a'], node }));
    all.forEach((one) => add(index, one));
    const having = (position: number, seq: number): Cut => ({ position: idOf(position), ahead: [{ node: 'x', seq }] });
    index.removeOldest(all[0]!);
    index.removeOldest(all[1]!);
    expect(index.hasRemoved('/', 'a', having(-1, 2))).toBe(false);
    expect(index.hasRemoved('/', 'a', having(-1, 1))).toBe(true);
    index.removeOldest(all[2]!);
    index.removeOldest(all[3]!);
    expect(index.hasRemoved('/', 'a', having(1, 4))).toBe(true); // that of y
    expect(index.hasRemoved('/', 'a', having(2, 4))).toBe(false);
  });

  test('gives only what is for rooms in which the client was, and for all, once and in order', () => {
    const index = new RoomIndex();
    for (let n = 0; n < 20_000; n++) {
      add(index, entry(n, { rooms: n % 1_000 === 0 ? ['mine', 'ours', 'mine'] : [`room ${n % 500}`] }));
    }
    add(index, entry(20_000));
    const rooms = ['ours', 'nobody', 'mine'];
    expect(index.placesFor('/', rooms, 15_001)).toEqual([16_000, 17_000, 18_000, 19_000, 20_000]);
    expect(index.placesFor('/', rooms, 20_001)).toEqual([]);
    expect(index.placesFor('/chat', rooms)).toEqual([]);
  });

  test('forgets the rooms that have been empty for longest, and says up to where it has', () => {
    const index = new RoomIndex();
    const count = 20_001;
    const all = Array.from({ length: count }, (_, n) => entry(n, { rooms: [`room ${n}`] }));
    const last = entry(count, { rooms: ['the last'] });
    const used = entry(count + 1, { rooms: ['room 1'] });
    for (const one of all.slice(0, -1)) {
      add(index, one);
      index.removeOldest(one);
    }
    [all.at(-1)!, last, used].forEach((one) => add(index, one)); // room 1 is not empty any more
    index.removeOldest(all.at(-1)!);
    const has = (n: number): boolean => index.hasRemoved('/', `room ${n}`, cutAt(STREAM_START));
    expect(index.forgotten).toBe(STREAM_START);
    index.removeOldest(last);
    expect(index.forgotten).toBe(idOf(2_000)); // a tenth of the rooms at once
    expect([0, 1, 2, 2_000, 2_001, count - 1].map(has)).toEqual([false, true, false, false, true, true]);
    expect(index.newestFor('/', 'room 1')).toBe(used.n);
  });
});
