/**
 * The Socket.IO adapters that are compared, and the floor: the client's own XADD and XREAD without Socket.IO. `before` is
 * another build of this package, which takes part if one is given.
 */
export const ADAPTERS = ['ours', 'before', 'reference', 'pubsub', 'raw'] as const;
export type AdapterName = (typeof ADAPTERS)[number];

export const TITLES: Record<AdapterName, string> = {
  ours: 'nestjs-redis-streams-adapter',
  before: 'nestjs-redis-streams-adapter, before',
  reference: '@socket.io/redis-streams-adapter',
  pubsub: '@socket.io/redis-adapter (PUB/SUB)',
  raw: 'XADD and XREAD, no Socket.IO',
};

/**
 * How many messages are on their way at full speed, at most: with more, a stream would be trimmed past its readers, and some
 * adapters lose messages.
 */
export const MAX_UNDERWAY = 2_000;
/** Of three nodes, the first publishes. Each serves one client; the second node's is in the room. */
export const NODES = 3;
export const ROOM = 'room';

/** `all`: `io.emit`; `room`: `io.to(ROOM).emit`; `socket`: `socket.emit` of the first node's client. */
export type Target = 'all' | 'room' | 'socket';
export type Payload = 'small' | 'binary' | 'large';

export interface Scenario {
  name: string;
  title: string;
  target: Target;
  payload: Payload;
  /** Whether connection state recovery is on. */
  recovery: boolean;
  /** Messages a second; as many as the window lets through if there is none. */
  rate?: number | undefined;
}

/** Nodes whose client is given the messages. */
export const RECIPIENTS: Record<Target, number[]> = { all: [0, 1, 2], room: [1], socket: [0] };

const RATE = 500;

export const SCENARIOS: readonly Scenario[] = [
  { name: 'all', title: 'To all', target: 'all', payload: 'small', recovery: false },
  { name: 'room', title: 'To a room with one member', target: 'room', payload: 'small', recovery: false },
  { name: 'binary', title: 'To all, with 64 bytes of binary data', target: 'all', payload: 'binary', recovery: false },
  { name: 'large', title: 'To all, 2 KB', target: 'all', payload: 'large', recovery: false },
  { name: 'paced', title: `To all, ${RATE} a second`, target: 'all', payload: 'small', recovery: false, rate: RATE },
  { name: 'all-recovery', title: 'To all, recovery on', target: 'all', payload: 'small', recovery: true },
  { name: 'room-recovery', title: 'To a room, recovery on', target: 'room', payload: 'small', recovery: true },
  { name: 'socket', title: 'socket.emit, recovery on', target: 'socket', payload: 'small', recovery: true },
  {
    ...{ name: 'paced-recovery', title: `To all, ${RATE} a second, recovery on`, target: 'all', payload: 'small' },
    ...{ recovery: true, rate: RATE },
  },
];

/** Only those with a log have recovery; the floor is the same with and without. */
export function takesPart(adapter: AdapterName, { recovery }: Pick<Scenario, 'recovery'>): boolean {
  return !recovery || (adapter !== 'pubsub' && adapter !== 'raw');
}

/** What is emitted. `at`: when, in microseconds of this machine's monotonic clock; `run`: during which measurement. */
export interface Message {
  at: number;
  run: number;
  text?: string;
  bytes?: Buffer;
}

export function messageOf(payload: Payload, run: number, at: number): Message {
  switch (payload) {
    case 'small':
      return { at, run, text: 'hello' };
    case 'binary':
      return { at, run, bytes: BYTES };
    case 'large':
      return { at, run, text: TEXT };
  }
}

const BYTES = Buffer.alloc(64, 7);
const TEXT = 'x'.repeat(2_048);

/** Microseconds of the clock that all processes of this machine share. */
export function now(): number {
  return Number(process.hrtime.bigint() / 1_000n);
}
