import fc from 'fast-check';

/**
 * What an app does, as data. Clients are numbered: 0, 1 and 2 are connected to the node that acts, 3 and 4 to others if
 * there are any; 5 and 6 are 0 and 3 in a second namespace.
 */
export type Statement =
  | { do: 'emit'; from: number | undefined; target: Target; flags: Flags; args: ValueName[] }
  | { do: 'ask all'; target: Target; local: boolean; args: ValueName[]; promise: boolean }
  | { do: 'emit to socket'; who: number; flags: Omit<Flags, 'local'>; args: ValueName[] }
  | { do: 'ask socket'; who: number; args: ValueName[] }
  | { do: 'join' | 'leave'; who: number; rooms: Room[] }
  | { do: 'socketsJoin' | 'socketsLeave'; target: Target; local: boolean; rooms: Room[] }
  | { do: 'disconnectSockets'; target: Target; local: boolean; close: boolean }
  | { do: 'disconnect'; who: number; close: boolean }
  | { do: 'fetchSockets'; target: Target; local: boolean }
  | { do: 'set data'; who: number; value: ValueName }
  | { do: 'look at rooms'; who: number };

/** What is done in one turn of the event loop, or by a listener of a client's event before it acknowledges it. */
export interface Turn {
  askedBy: number | undefined;
  statements: Statement[];
  /** Instead of the statements: what is done with each socket that `fetchSockets` gives. */
  sockets: { target: Target; then: 'emit' | 'join' | 'leave' | 'disconnect' | 'ask' } | undefined;
}

export type Program = Turn[];

export interface Target {
  nsp: '/' | '/second';
  to: Room[];
  except: Room[];
}

export interface Flags {
  local?: boolean;
  volatile?: boolean;
  compress?: boolean;
}

/** A room's name; "@0" is the id of a client, and what begins with "?" is no name at all. */
export type Room = string;

/** Clients that are connected to the node that acts. */
export const OWN = [0, 1, 2, 5] as const;

const NOBODY: Record<string, unknown> = {
  '?undefined': undefined,
  '?null': null,
  '?number': 42,
  '?NaN': NaN,
  '?empty': '',
  '?object': { id: 1 },
  '?symbol': Symbol('room'),
  '?true': true,
  '?bigint': 7n,
  '?function': () => 'r1',
};

export function roomOf(room: Room, idOf: (who: number) => string): string {
  if (room.startsWith('@')) {
    return idOf(Number(room.slice(1)));
  }
  return (room in NOBODY ? NOBODY[room] : room) as string;
}

class Money {
  constructor(readonly cents: number) {}
  toJSON(): string {
    return `${this.cents / 100} EUR`;
  }
}

class Picture {
  readonly name = 'a.png';
  readonly bytes = Buffer.from([7, 8, 9]);
  toJSON(): unknown {
    return { name: this.name, bytes: this.bytes };
  }
}

const circle: Record<string, unknown> = {};
circle.self = circle;

/** Values as an app may emit them. */
const VALUES = {
  number: 1.5,
  'minus zero': -0,
  string: 'a string that is none of the offsets',
  empty: '',
  unicode: '\u2028 ünï 😀 \0',
  null: null,
  true: true,
  nested: { a: [1, { b: null, c: [] }], d: {} },
  undefined: undefined,
  'undefined within': { a: undefined, b: [undefined] },
  NaN: NaN,
  date: new Date(0),
  map: new Map([['a', 1]]),
  set: new Set([1]),
  buffer: Buffer.from([1, 2, 3]),
  'buffer within': { a: [Buffer.from([4])], at: new Date(0), none: undefined, money: new Money(5) },
  'typed array': new Uint16Array([1, 2]),
  'part of a typed array': new Float32Array([1, 2, 3]).subarray(1, 2),
  'array buffer': new Uint8Array([5, 6]).buffer,
  'with toJSON': new Money(250),
  'binary with toJSON': new Picture(),
  symbol: Symbol('value'),
  regexp: /a/g,
  error: new Error('an error'),
  url: new URL('http://localhost/a'),
  bigint: 1n,
  circle,
} satisfies Record<string, unknown>;
export type ValueName = keyof typeof VALUES;

export const valueOf = (name: ValueName): unknown => VALUES[name];

/** Values that go everywhere; those that cannot be sent are rarer, as nothing is sent with them. */
const value = fc.oneof(
  { weight: 20, arbitrary: fc.constantFrom(...(Object.keys(VALUES) as ValueName[]).slice(0, -2)) },
  { weight: 1, arbitrary: fc.constantFrom<ValueName>('bigint', 'circle') },
);
const args = fc.array(value, { maxLength: 3 });
const who = fc.constantFrom(...OWN);
const room: fc.Arbitrary<Room> = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('r1', 'r2', 'r3') },
  { weight: 3, arbitrary: fc.constantFrom('@0', '@1', '@2', '@3', '@4', '@5', '@6') },
  { weight: 1, arbitrary: fc.constantFrom(...Object.keys(NOBODY)) },
);
const rooms = fc.array(room, { minLength: 1, maxLength: 3 });
const target: fc.Arbitrary<Target> = fc.record({
  nsp: fc.oneof(
    { weight: 5, arbitrary: fc.constant('/' as const) },
    { weight: 1, arbitrary: fc.constant('/second' as const) },
  ),
  to: fc.oneof({ weight: 1, arbitrary: fc.constant<Room[]>([]) }, { weight: 2, arbitrary: rooms }),
  except: fc.oneof({ weight: 3, arbitrary: fc.constant<Room[]>([]) }, { weight: 1, arbitrary: rooms }),
});
const rarely = fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) });
const flags: fc.Arbitrary<Flags> = fc.record({ local: rarely, volatile: rarely, compress: rarely });
const from = fc.oneof({ weight: 2, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: who });

const peaceful: fc.Arbitrary<Statement> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('emit' as const), from, target, flags, args }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('ask all' as const), target, local: rarely, args, promise: fc.boolean() }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('emit to socket' as const), who, flags, args }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('ask socket' as const), who, args }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('join' as const, 'leave' as const), who, rooms }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom('socketsJoin' as const, 'socketsLeave' as const),
      ...{ target, local: rarely, rooms },
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('fetchSockets' as const), target, local: rarely }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('set data' as const), who, value }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('look at rooms' as const), who }) },
);

const disconnecting: fc.Arbitrary<Statement> = fc.oneof(
  { weight: 1, arbitrary: fc.record({ do: fc.constant('disconnect' as const), who, close: fc.boolean() }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('disconnectSockets' as const),
      ...{ target, local: rarely, close: fc.boolean() },
    }),
  },
);

function programOf(statement: fc.Arbitrary<Statement>): fc.Arbitrary<Program> {
  const turn = fc.record<Turn>({
    askedBy: fc.oneof(
      { weight: 3, arbitrary: fc.constant(undefined) },
      { weight: 1, arbitrary: fc.constantFrom(0, 1, 5) },
    ),
    statements: fc.array(statement, { minLength: 1, maxLength: 6 }),
    sockets: fc.oneof(
      { weight: 6, arbitrary: fc.constant(undefined) },
      {
        weight: 1,
        arbitrary: fc.record({
          target,
          then: fc.constantFrom(
            'emit' as const,
            'join' as const,
            'leave' as const,
            'disconnect' as const,
            'ask' as const,
          ),
        }),
      },
    ),
  });
  return fc.array(turn, { minLength: 1, maxLength: 3 });
}

/** Half of the programs disconnect nobody: those are the ones in which acknowledgements all come, and quickly. */
export const program: fc.Arbitrary<Program> = fc.oneof(
  programOf(peaceful),
  programOf(fc.oneof({ weight: 5, arbitrary: peaceful }, { weight: 1, arbitrary: disconnecting })),
);

/**
 * The program as it can be compared when clients 3, 4 and 6 are connected to other nodes:
 * - Nothing is local to the node that acts.
 * - Clients do not leave the room that is theirs: a socket of another node is reached by it, one of this node without.
 * - Clients are put into rooms only whose names can be sent, and into none that is named like a client: with recovery on, the
 *   in-memory adapter takes an event for that client which asks for an acknowledgement for one to all in the room; here it
 *   does not leave the node.
 * - Sockets are fetched at the end of a turn: one of another node is given as it was then, one of the in-memory adapter as it
 *   is when it is looked at.
 */
export function acrossNodes(program: Program): Program {
  const isSent = (room: Room): boolean => /^r|^\?(number|empty)$/.test(room);
  return program.map((turn) => {
    const statements = turn.statements.map((statement) => {
      const copy = JSON.parse(JSON.stringify(statement)) as Statement;
      if ('local' in copy) copy.local = false;
      if ('flags' in copy) delete (copy.flags as Flags).local;
      if ('rooms' in copy) copy.rooms = copy.rooms.map((room) => (isSent(room) ? room : 'r3'));
      return copy;
    });
    const isFetch = (statement: Statement): boolean => statement.do === 'fetchSockets';
    return { ...turn, statements: [...statements.filter((one) => !isFetch(one)), ...statements.filter(isFetch)] };
  });
}

/** The program with one statement in each turn, and no acknowledgement behind it. */
export function oneByOne(program: Program): Program {
  return program.flatMap<Turn>(({ statements, sockets }) =>
    sockets
      ? [{ askedBy: undefined, statements: [], sockets }]
      : statements.map((statement) => ({ askedBy: undefined, statements: [statement], sockets })),
  );
}
