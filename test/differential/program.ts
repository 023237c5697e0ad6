import fc from 'fast-check';

/**
 * What an app does, as data. Clients are numbered: 0, 1 and 2 are connected to the node that acts, 3 and 4 to others if
 * there are any; 5 and 6 are 0 and 3 in a second namespace, and so is {@link GUEST}, which is 1 and comes later.
 */
export type Statement =
  | { do: 'emit'; from: number | undefined; target: Target; flags: Flags; args: ValueName[] }
  | { do: 'ask all'; target: Target; local: boolean; args: ValueName[]; promise: boolean }
  | { do: 'emit to socket'; who: number; flags: Pick<Flags, 'volatile' | 'compress'>; args: ValueName[] }
  | { do: 'emit to its rooms'; who: number; args: ValueName[] }
  | { do: 'ask socket'; who: number; how: 'callback' | 'callback with timeout' | 'promise'; args: ValueName[] }
  | { do: 'serverSideEmit'; nsp: Target['nsp']; asks: boolean; args: ValueName[] }
  | { do: 'join' | 'leave'; who: number; rooms: Room[] }
  | { do: 'socketsJoin' | 'socketsLeave'; target: Target; local: boolean; rooms: Room[] }
  | { do: 'disconnectSockets'; target: Target; local: boolean; close: boolean }
  | { do: 'disconnect'; who: number; close: boolean }
  | { do: 'fetchSockets'; target: Target; local: boolean }
  | { do: 'set data'; who: number; value: ValueName }
  | { do: 'look at rooms'; who: number }
  | { do: 'look at adapter'; nsp: Target['nsp'] };

/** What is done in one turn of the event loop, or by a listener of a client's event before it acknowledges it. */
export interface Turn {
  askedBy: number | undefined;
  /** Whether a middleware of the asking socket refuses the event: its `error` listener does the statements then. */
  isRefused: boolean;
  statements: Statement[];
  /** Instead of the statements: what is done with each socket that `fetchSockets` gives. */
  sockets: { target: Target; then: 'emit' | 'join' | 'leave' | 'disconnect' | 'ask' } | undefined;
  /** Instead of the statements: a client comes. */
  guest: Guest | undefined;
  /**
   * What is done from now on when the server disconnects one of its sockets, by a listener of `disconnecting`. All statements
   * stand for that socket.
   */
  farewell: Statement[];
}

/** A client that connects to a second namespace in the middle of a program. All statements stand for its socket. */
export interface Guest {
  /** What the middleware does: the rooms in which it puts the socket, and what comes after that. */
  rooms: Room[];
  inMiddleware: Statement[];
  /** What it passes to `next`: nothing, an error, or an error with data. */
  verdict: 'let in' | 'refused' | 'refused with data';
  onConnection: Statement[];
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
  compress?: boolean | undefined;
  /** By `socket.broadcast`; what it makes of a namespace is nothing. */
  broadcast?: boolean;
}

/** A room's name; "@0" is the id of a client, and what begins with "?" is no name at all. */
export type Room = string;

export const GUEST = 7;
/** Clients that are connected to the node that acts. */
export const OWN: readonly number[] = [0, 1, 2, 5, GUEST];

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

const NAMES = Object.keys(VALUES) as ValueName[];
/** Values that another server can be given, so that it can give them to its clients. */
const forServers = fc.constantFrom(...NAMES.filter((name) => !['symbol', 'bigint', 'circle'].includes(name)));
/** Values that go everywhere; those that cannot be sent are rarer, as nothing is sent with them. */
const value = fc.oneof(
  { weight: 20, arbitrary: fc.constantFrom(...NAMES.slice(0, -2)) },
  { weight: 1, arbitrary: fc.constantFrom<ValueName>('bigint', 'circle') },
);
const args = fc.array(value, { maxLength: 3 });
const who = fc.constantFrom(...OWN.filter((one) => one !== GUEST));
const room: fc.Arbitrary<Room> = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('r1', 'r2', 'r3') },
  { weight: 3, arbitrary: fc.constantFrom('@0', '@1', '@2', '@3', '@4', '@5', '@6', '@7') },
  { weight: 1, arbitrary: fc.constantFrom(...Object.keys(NOBODY)) },
);
const rooms = fc.array(room, { minLength: 1, maxLength: 3 });
const nsp = fc.oneof(
  { weight: 5, arbitrary: fc.constant('/' as const) },
  { weight: 1, arbitrary: fc.constant('/second' as const) },
);
const target: fc.Arbitrary<Target> = fc.record({
  nsp,
  to: fc.oneof({ weight: 1, arbitrary: fc.constant<Room[]>([]) }, { weight: 2, arbitrary: rooms }),
  except: fc.oneof({ weight: 3, arbitrary: fc.constant<Room[]>([]) }, { weight: 1, arbitrary: rooms }),
});
const rarely = fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) });
const compress = fc.oneof({ weight: 5, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: fc.boolean() });
const flags: fc.Arbitrary<Flags> = fc.record({ local: rarely, volatile: rarely, compress, broadcast: rarely });
const from = fc.oneof({ weight: 2, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: who });

/** What makes no client answer. */
const quiet: fc.Arbitrary<Statement> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('emit' as const), from, target, flags, args }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('emit to socket' as const),
      ...{ who, flags: fc.record({ volatile: rarely, compress }), args },
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('emit to its rooms' as const), who, args }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('join' as const, 'leave' as const), who, rooms }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom('socketsJoin' as const, 'socketsLeave' as const),
      ...{ target, local: rarely, rooms },
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('set data' as const), who, value }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('look at rooms' as const), who }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('look at adapter' as const), nsp }) },
);

const asking: fc.Arbitrary<Statement> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('ask all' as const), target, local: rarely, args, promise: fc.boolean() }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('ask socket' as const),
      ...{ who, how: fc.constantFrom('callback' as const, 'callback with timeout' as const, 'promise' as const), args },
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('serverSideEmit' as const),
      ...{ nsp, asks: fc.boolean(), args: fc.array(forServers, { maxLength: 3 }) },
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('fetchSockets' as const), target, local: rarely }) },
);

const peaceful = fc.oneof({ weight: 24, arbitrary: quiet }, { weight: 8, arbitrary: asking });

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

/** Mostly nothing. */
function rare<T>(weight: number, arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.oneof({ weight, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });
}

function programOf(statement: fc.Arbitrary<Statement>): fc.Arbitrary<Program> {
  const turn = fc.record<Turn>({
    askedBy: rare(3, fc.constantFrom(0, 1, 5)),
    isRefused: rarely,
    statements: fc.array(statement, { minLength: 1, maxLength: 6 }),
    sockets: rare(
      6,
      fc.record({
        target,
        then: fc.constantFrom(
          'emit' as const,
          'join' as const,
          'leave' as const,
          'disconnect' as const,
          'ask' as const,
        ),
      }),
    ),
    guest: rare(
      8,
      fc.record({
        rooms: fc.array(room, { maxLength: 2 }),
        // What is fetched is looked at when it is there, and by then the socket has passed.
        inMiddleware: fc.array(
          statement.filter((one) => one.do !== 'fetchSockets'),
          { maxLength: 3 },
        ),
        verdict: fc.constantFrom('let in' as const, 'refused' as const, 'refused with data' as const),
        onConnection: fc.array(statement, { maxLength: 3 }),
      }),
    ),
    farewell: fc.array(quiet, { maxLength: 2 }),
  });
  return fc.array(turn, { minLength: 1, maxLength: 3 });
}

/** Half of the programs disconnect nobody: those are the ones in which acknowledgements all come, and quickly. */
export const program: fc.Arbitrary<Program> = fc.oneof(
  programOf(peaceful),
  programOf(fc.oneof({ weight: 5, arbitrary: peaceful }, { weight: 1, arbitrary: disconnecting })),
);

/** Statements of all parts of a turn, each mapped or, to undefined, left out. */
function mapStatements(turn: Turn, map: (statement: Statement) => Statement | undefined): Turn {
  const mapped = (statements: Statement[]): Statement[] =>
    statements.map(map).filter((statement) => statement !== undefined);
  const { guest, statements, farewell } = turn;
  return {
    ...turn,
    statements: mapped(statements),
    farewell: mapped(farewell),
    guest: guest && { ...guest, inMiddleware: mapped(guest.inMiddleware), onConnection: mapped(guest.onConnection) },
  };
}

/** What is the same statement, standing for a socket. */
export function of(who: number, statement: Statement): Statement {
  if (statement.do === 'emit') {
    return statement.from === undefined ? statement : { ...statement, from: who };
  }
  return 'who' in statement ? { ...statement, who } : statement;
}

/**
 * The program as it can be compared when clients 3, 4 and 6 are connected to other nodes:
 * - Nothing is local to the node that acts.
 * - Clients do not leave the room that is theirs: a socket of another node is reached by it, one of this node without.
 * - Clients are put into rooms only whose names can be sent, and into none that is named like a client: with recovery on, the
 *   in-memory adapter takes an event for that client which asks for an acknowledgement for one to all in the room; here it
 *   does not leave the node.
 * - Sockets are fetched at the end of a turn: one of another node is given as it was then, one of the in-memory adapter as it
 *   is when it is looked at.
 * - Where clients of all nodes are disconnected, their last events are not compared: each node disconnects its own at once, so
 *   what a listener of `disconnecting` emits comes to those of other nodes when they are gone.
 */
export function acrossNodes(program: Program): Program {
  const isSent = (room: Room): boolean => /^r|^\?(number|empty)$/.test(room);
  const sendable = (rooms: Room[]): Room[] => rooms.map((room) => (isSent(room) ? room : 'r3'));
  const toAllNodes = (statement: Statement): Statement => {
    const copy = structuredClone(statement);
    if ('local' in copy) copy.local = false;
    if ('flags' in copy) delete (copy.flags as Flags).local;
    if ('rooms' in copy) copy.rooms = sendable(copy.rooms);
    return copy;
  };
  const fetchingLast = (statements: Statement[]): Statement[] => {
    const isFetch = (statement: Statement): boolean => statement.do === 'fetchSockets';
    return [...statements.filter((one) => !isFetch(one)), ...statements.filter(isFetch)];
  };
  const isOfAll = JSON.stringify(program).includes('disconnectSockets');
  return program
    .map((turn) => mapStatements(turn, toAllNodes))
    .map(({ statements, guest, farewell, ...turn }) => ({
      ...turn,
      statements: fetchingLast(statements),
      guest: guest && {
        ...guest,
        rooms: sendable(guest.rooms),
        onConnection: fetchingLast(guest.onConnection),
      },
      farewell: isOfAll ? [] : farewell,
    }));
}

/** The program as it can be compared while other nodes cannot be asked: only sockets of this node are. */
export function askingHere(program: Program): Program {
  const here = (statement: Statement): Statement | undefined => {
    switch (statement.do) {
      case 'ask all':
      case 'fetchSockets':
        return { ...statement, local: true };
      case 'serverSideEmit':
        return undefined;
      default:
        return statement;
    }
  };
  return program.map((turn) => ({ ...mapStatements(turn, here), sockets: undefined }));
}

/** The program without what waits for an answer. */
export function withoutQuestions(program: Program): Program {
  const isQuestion = ({ do: what }: Statement): boolean =>
    ['ask all', 'ask socket', 'serverSideEmit', 'fetchSockets'].includes(what);
  return program.map((turn) => mapStatements(turn, (statement) => (isQuestion(statement) ? undefined : statement)));
}

/** The program with one statement in each turn, no acknowledgement behind it, and nothing that is done besides. */
export function oneByOne(program: Program): Program {
  const alone = { askedBy: undefined, isRefused: false, farewell: [] };
  return program.flatMap<Turn>(({ statements, sockets, guest }) => {
    if (sockets) {
      return [{ ...alone, statements: [], sockets, guest: undefined }];
    }
    if (guest) {
      const first = { ...guest, inMiddleware: [], onConnection: guest.onConnection.slice(0, 1) };
      return [{ ...alone, statements: [], sockets, guest: first }];
    }
    return statements.map((statement) => ({ ...alone, statements: [statement], sockets, guest }));
  });
}
