import type { SocketIoAdapter } from '../adapters.js';

/**
 * Who is compared. `memory` is the zero line: the same app on Socket.IO's in-memory adapter, where each node's messages
 * are for members of its own, so that a node emits and delivers as many as a node of a cluster, and does nothing else.
 */
export const CONTENDERS = ['memory', 'ours', 'before', 'reference', 'pubsub'] as const satisfies SocketIoAdapter[];
export type Contender = (typeof CONTENDERS)[number];

export const TITLES: Record<Contender, string> = {
  memory: 'in-memory',
  ours: 'ours',
  before: 'ours, before',
  reference: 'reference',
  pubsub: 'PUB/SUB',
};

/** WebSocket clients of a cluster, whatever its size: the first is on the first node, the second on the second, and so on. */
export const CLIENTS = 30;

/** A cluster. */
export interface Setup {
  nodes: number;
  /** Rooms that are sent to, each with one member. The i-th is in the i-th namespace and has the i-th client, in turn. */
  rooms: number;
  /** `/` if it is one. There are as many rooms at least. */
  namespaces: number;
}

export const PAYLOADS = ['text-100', 'text-2048', 'binary-100', 'binary-2048'] as const;
/** What is emitted: so many characters of text, or so many bytes of binary data. */
export type Payload = (typeof PAYLOADS)[number];

/** What is measured at once. */
export interface Point extends Setup {
  /** Messages a second of all nodes together: each emits its share. */
  rate: number;
  payload: Payload;
}

export type Axis = keyof Point;

export const BASE: Point = { nodes: 3, rooms: CLIENTS, namespaces: 1, rate: 3_000, payload: 'text-100' };

/** A series of points that differ in one thing. */
export interface Series {
  axis: Axis;
  title: string;
  /** Of the values, in a table and below a plot. */
  label: string;
  /** What all points have in common. */
  base: Point;
  values: (number | Payload)[];
  /** Whether it is measured with connection state recovery too, where the adapter has it. */
  recovery: boolean[];
}

/** Options of the command line by axis. */
export const SERIES: Record<'rates' | 'nodes' | 'rooms' | 'namespaces' | 'sizes', Omit<Series, 'base'>> = {
  rates: {
    axis: 'rate',
    title: 'Rates',
    label: 'messages a second, in total',
    values: [600, 3_000, 9_000],
    recovery: [false, true],
  },
  nodes: { axis: 'nodes', title: 'Nodes', label: 'nodes', values: [2, 3, 6, 12], recovery: [false] },
  rooms: { axis: 'rooms', title: 'Rooms', label: 'rooms', values: [1, 30, 1_000, 50_000], recovery: [false] },
  namespaces: {
    axis: 'namespaces',
    title: 'Namespaces',
    label: 'namespaces',
    values: [1, 10, 100, 1_000],
    recovery: [false],
  },
  sizes: {
    axis: 'payload',
    title: 'Sizes',
    label: 'payload',
    values: ['text-100', 'text-2048', 'binary-100'],
    recovery: [false],
  },
};
export type SeriesName = keyof typeof SERIES;
export const SERIES_NAMES = Object.keys(SERIES) as SeriesName[];

export function pointsOf({ axis, base, values }: Series): Point[] {
  return values.map((value) => ({ ...base, [axis]: value }));
}

export const keyOf = ({ nodes, rooms, namespaces, rate, payload }: Point): string =>
  [nodes, rooms, namespaces, rate, payload].join(' ');

/** A contender as it is set up: only with a log, or alone, there is something to recover from. */
export interface Variant {
  contender: Contender;
  recovery: boolean;
}

export const nameOf = ({ contender, recovery }: Variant): string => (recovery ? `${contender}+recovery` : contender);

/** PUB/SUB keeps nothing: where the others recover, it is compared as it is. */
export const hasRecovery = (contender: Contender): boolean => contender !== 'pubsub';

/** Where the messages go: all that clients and nodes need to know of it. */
export class Targets {
  readonly count: number;

  constructor(
    private readonly setup: Setup,
    contender: Contender,
  ) {
    const { nodes, rooms, namespaces } = setup;
    // Alone, each node needs a member of its own.
    this.count = Math.max(rooms, namespaces, contender === 'memory' ? nodes : 1);
  }

  namespace(target: number): string {
    const { namespaces } = this.setup;
    return namespaces === 1 ? '/' : `/n${target % namespaces}`;
  }

  room(target: number): string {
    return `room-${target}`;
  }

  client(target: number): number {
    return target % CLIENTS;
  }

  nodeOf(client: number): number {
    return client % this.setup.nodes;
  }

  /** Where a client connects: it has a namespace even if no messages are for it. */
  namespacesOf(client: number): string[] {
    const mine = this.all().filter((target) => this.client(target) === client);
    return [...new Set((mine.length > 0 ? mine : [0]).map((target) => this.namespace(target)))];
  }

  all(): number[] {
    return Array.from({ length: this.count }, (_, target) => target);
  }
}
