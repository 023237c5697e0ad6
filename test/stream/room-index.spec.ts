import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { isFor, RoomIndex, type Recipient } from '../../lib/stream/room-index.js';
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

const byId = ({ id }: LogEntry): string => id;
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
  run(step: Step, index: RoomIndex<Numbered>): void {
    if (step === 'removeOldest') {
      if (this.from < this.all.length) index.removeOldest(this.all[this.from++]!);
    } else if (step === 'addMany') {
      for (let i = 0; i < 70; i++) index.add(this.next({ rooms: ['a'], node: 'other' }));
      for (let i = 0; i < 68; i++) index.removeOldest(this.all[this.from++]!);
    } else if ('add' in step) {
      index.add(this.next(step.add));
    } else {
      this.from = Math.max(0, this.from - step.bringBack);
      this.hasBroughtBack = true;
      index.replace(this.present);
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
      fc.property(
        steps,
        visits,
        fc.integer({ min: -1, max: 40 }),
        fc.integer({ min: -1, max: 60 }),
        (all, of, a, b) => {
          const index = new RoomIndex<Numbered>(byId, [], STREAM_START, OWN);
          const model = new Model();
          for (const step of all) {
            model.run(step, index);
          }
          const missed = model.present.filter((one) => one.n > a && isMissed(one, of));
          expect(numbers(index.entriesFor(recipient(of), idOf(a)))).toEqual(numbers(missed));
          const upTo = missed.filter(({ n }) => n <= b);
          expect(numbers(index.entriesFor(recipient(of), idOf(a), idOf(b)))).toEqual(numbers(upTo));
        },
      ),
      { numRuns: 300 },
    );
  });

  test('knows the newest entry for a room that is there, and the last that there was of each side', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const index = new RoomIndex<Numbered>(byId, [], STREAM_START, OWN);
        const model = new Model();
        for (const step of all) {
          model.run(step, index);
        }
        for (const room of ROOMS) {
          const [own, other] = [true, false].map((isOwn) =>
            model.all.findLast((one) => isUnder(one, '/', room) && (one.origin?.node === OWN) === isOwn),
          );
          expect(index.newestFor('/', room)).toBe(model.present.findLast((one) => isUnder(one, '/', room)));
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
        const index = new RoomIndex<Numbered>(byId, [], STREAM_START, OWN);
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
    const index = new RoomIndex<Numbered>(byId);
    const all = ['x', 'x', 'y', 'x'].map((node, n) => entry(n, { rooms: ['a'], node }));
    all.forEach((one) => index.add(one));
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

  test('does not look at what is for rooms in which the client never was', () => {
    let looks = 0;
    const index = new RoomIndex<Numbered>((one) => {
      looks++;
      return one.id;
    });
    for (let n = 0; n < 20_000; n++) {
      index.add(entry(n, { rooms: [n % 1_000 === 0 ? 'mine' : `room ${n % 500}`], node: OWN }));
    }
    looks = 0;
    expect(index.entriesFor(recipient({ mine: always }), idOf(15_000))).toHaveLength(4);
    expect(looks).toBeLessThan(20);
  });

  test('forgets the rooms that have been empty for longest, and says up to where it has', () => {
    const index = new RoomIndex<Numbered>(byId);
    const count = 20_001;
    const used = entry(1, { rooms: ['room 1'] });
    for (let n = 0; n < count; n++) {
      const one = entry(n, { rooms: [`room ${n}`] });
      index.add(one);
      index.removeOldest(one);
      if (n === 1) {
        index.add(used); // it is not empty any more
      }
    }
    const has = (n: number): boolean => index.hasRemoved('/', `room ${n}`, cutAt(STREAM_START));
    expect(index.forgotten).toBe(STREAM_START);
    const last = entry(count, { rooms: ['the last'] });
    index.add(last);
    index.removeOldest(last);
    expect(index.forgotten).toBe(idOf(2_000)); // a tenth of the rooms at once
    expect([0, 1, 2, 2_000, 2_001, count - 1].map(has)).toEqual([false, true, false, false, true, true]);
    expect(index.newestFor('/', 'room 1')).toBe(used);
  });
});

describe('isFor', () => {
  const inA = recipient({ a: always });

  test('passes over what is for other rooms without decoding it', () => {
    const one = entry(1, { rooms: ['b'] });
    const undecoded = Object.defineProperty({ ...one }, 'data', {
      get: () => {
        throw new Error('it was decoded');
      },
    });
    expect(isFor(undecoded, inA)).toBe(false);
    expect(isFor(entry(1, { rooms: ['b', 'a'] }), inA)).toBe(true);
  });

  test('decodes what a node of the reference has written, to know the rooms', () => {
    const answers = [['a'], ['b'], []].map((rooms) => isFor(entry(1, { rooms, isPlain: true }), inA));
    expect(answers).toEqual([true, false, true]);
  });

  test('leaves out what is of another namespace, is no broadcast, or cannot be decoded', () => {
    const one = entry(1, { rooms: ['a'] });
    const others = [{ nsp: '/chat' }, { type: EntryType.SocketsJoin }, { data: '{"opts":' }].map((wrong) => ({
      ...one,
      ...wrong,
    }));
    expect([one, ...others].map((each) => isFor(each, inA))).toEqual([true, false, false, false]);
  });
});
