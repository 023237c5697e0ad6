import type { Namespace, Server } from 'socket.io';
import { DIRECT_LANE } from '../../lib/wire/entry.js';
import { until, type RedisServer } from '../kit/index.js';
import type { Random } from '../kit/random.js';
import { disordered, parts, stretches, type Received, type Visitor } from './visitor.js';

/** Whom a message is for, as it was sent. */
export type Addressing =
  { to: 'all' } | { to: 'room'; room: string } | { to: 'except'; room: string } | { to: 'client'; client: number };

export interface Message {
  id: string;
  addressing: Addressing;
  /** Whether it overtook what its sender sends to rooms; read from the log. */
  isDirect?: boolean;
  /** Its id in the log, read back at the end. */
  entryId?: string;
}

/** What the clients saw, compared with what was sent. */
export interface LedgerReport {
  sent: number;
  expected: number;
  received: number;
  recoveries: number;
  /** Clients that came back and were not recovered. */
  refused: number;
  missing: number;
  doubled: number;
  /** Messages that came to somebody for whom they were not. */
  misdelivered: number;
  /** Messages that came after one that their sender had sent later. */
  disordered: number;
  /** Messages that are not in the log: their node was killed after it had given them to its own clients. */
  unlogged: number;
  /** Clients that were sent away by a node which had recovered them without Redis. What is sent to them is not counted. */
  sentAway: number;
}

const ROOMS = ['red', 'green', 'blue'];

/** Knows what was sent, and to whom. Client `i` is in two of three rooms, always the same. */
export class Ledger {
  readonly messages: Message[] = [];
  /** Made when it is asked for first, when all has been sent. */
  private byId: Map<string, Message> | undefined;

  roomsOf(client: number): string[] {
    return [ROOMS[client % 3]!, ROOMS[(client + 1) % 3]!];
  }

  /** A message for somebody of so many clients. */
  static random(id: string, random: Random, clients: number): Message {
    const room = random.pick(ROOMS);
    const addressing = random.pick<Addressing>([
      { to: 'all' },
      { to: 'room', room },
      { to: 'except', room },
      { to: 'client', client: random.between(0, clients - 1) },
    ]);
    return { id, addressing };
  }

  note(message: Message): Message {
    this.messages.push(message);
    return message;
  }

  /** Notes all that a stream holds: what nodes have sent that are no more. */
  async noteStream(redis: RedisServer, stream: string, sids: string[]): Promise<void> {
    const seen = new Set(this.messages.map(({ id }) => id));
    for (let from = '-'; ;) {
      const entries = (await redis.command('XRANGE', stream, from, '+', 'COUNT', '5000')) as [string, string[]][];
      for (const [entryId, fields] of entries) {
        from = `(${entryId}`;
        const { packet, opts } = JSON.parse(fields[fields.indexOf('data') + 1]!) as {
          packet: { data: [string, string] };
          opts: { rooms: string[]; except: string[] };
        };
        const [event, id] = packet.data;
        if (event === 'msg' && !seen.has(id)) {
          seen.add(id);
          const isDirect = fields[fields.indexOf('seq') + 1]!.startsWith(DIRECT_LANE);
          this.messages.push({ id, addressing: addressingOf(opts, sids), isDirect, entryId });
        }
      }
      if (entries.length === 0) {
        return;
      }
    }
  }

  isFor({ addressing }: Message, client: number): boolean {
    switch (addressing.to) {
      case 'all':
        return true;
      case 'room':
        return this.roomsOf(client).includes(addressing.room);
      case 'except':
        return !this.roomsOf(client).includes(addressing.room);
      case 'client':
        return addressing.client === client;
    }
  }

  addressingOf(id: string): Addressing | undefined {
    return this.find(id)?.addressing;
  }

  /** Its id in the log, if that was read back. */
  entryIdOf(id: string): string | undefined {
    return this.find(id)?.entryId;
  }

  private find(id: string): Message | undefined {
    this.byId ??= new Map(this.messages.map((message) => [message.id, message]));
    return this.byId.get(id);
  }

  /** Whether a message may have overtaken others of its sender, with the ordering `log`. */
  private isDirect(id: string): boolean {
    const message = this.find(id);
    return message?.isDirect ?? message?.addressing.to === 'client';
  }

  expectedOf(client: number): string[] {
    return this.messages.filter((message) => this.isFor(message, client)).map(({ id }) => id);
  }

  /** Waits until each client has received as many messages as were for it; not for ever. */
  async arrived(visitors: Visitor[]): Promise<void> {
    const counts = visitors.map((_, i) => this.expectedOf(i).length);
    const isComplete = () => visitors.every(({ received }, i) => received.length >= counts[i]!);
    await until(isComplete, { what: 'all messages to arrive', timeout: 15_000 }).catch(() => undefined);
  }

  /** What came in one order. With the ordering `log`, what a node sends to one client of its own overtakes what it sends to rooms. */
  lanesOf(received: Received[], ordering: 'local-first' | 'log'): Received[][] {
    if (ordering === 'local-first') {
      return [received];
    }
    // Of what is not in the log, because a failover has lost it, nobody knows whether it overtook the rest.
    const logged = received.filter(({ value }) => this.find(value as string));
    const isDirect = ({ value }: Received): boolean => this.isDirect(value as string);
    return [logged.filter(isDirect), logged.filter((message) => !isDirect(message))];
  }

  /**
   * What is missing between messages of the same sender that a client received without being refused in between; and at the
   * end, all that its sender has sent since. For runs in which a client may rightly be refused: what was sent while it
   * was away then, nobody has promised.
   */
  holesOf(visitor: Visitor, client: number, ordering: 'local-first' | 'log'): string[] {
    const seen = new Set(visitor.values as string[]);
    const laneOf = (id: string): string => {
      return `${parts(id)[0]}${ordering === 'log' && this.isDirect(id) ? '~' : ''}`;
    };
    const missing = this.expectedOf(client).filter((id) => !seen.has(id));
    const holes = new Set<string>();
    const all = stretches(visitor);
    for (const [i, stretch] of all.entries()) {
      const bounds = new Map<string, [least: number, most: number]>();
      for (const { value } of stretch) {
        if (ordering === 'log' && !this.find(value as string)) {
          continue; // nobody knows whether it overtook the rest
        }
        const number = parts(value)[1];
        const [least, most] = bounds.get(laneOf(value as string)) ?? [i === 0 ? -1 : number, -1];
        bounds.set(laneOf(value as string), [least, i === all.length - 1 ? Infinity : Math.max(most, number)]);
      }
      for (const id of missing) {
        const [least, most] = bounds.get(laneOf(id)) ?? [Infinity, -Infinity];
        const number = parts(id)[1];
        // A client that was refused has another id then.
        const isReachable = i === 0 || this.find(id)?.addressing.to !== 'client';
        if (least < number && number < most && isReachable) {
          holes.add(id);
        }
      }
    }
    return [...holes];
  }

  /**
   * @param mayBeRefused - whether clients may rightly be refused. Who is refused is a new client, and may be given what it had
   * in its life before, if its node was behind: then doubles and the order count from one refusal to the next.
   */
  check(visitors: Visitor[], ordering: 'local-first' | 'log' = 'local-first', mayBeRefused = false): LedgerReport {
    const report: LedgerReport = {
      ...{ sent: this.messages.length, expected: 0, received: 0, recoveries: 0, refused: 0 },
      ...{ missing: 0, doubled: 0, misdelivered: 0, disordered: 0, unlogged: 0, sentAway: 0 },
    };
    const known = new Set(this.messages.map(({ id }) => id));
    const unlogged = new Set<string>();
    for (const [client, visitor] of visitors.entries()) {
      if (visitor.sentAway > 0) {
        report.sentAway++;
        continue;
      }
      const expected = new Set(this.expectedOf(client));
      const ids = visitor.values as string[];
      const distinct = new Set(ids);
      report.expected += expected.size;
      report.received += ids.length;
      report.recoveries += visitor.recoveries;
      report.refused += visitor.refused;
      report.missing += [...expected].filter((id) => !distinct.has(id)).length;
      report.misdelivered += [...distinct].filter((id) => known.has(id) && !expected.has(id)).length;
      [...distinct].filter((id) => !known.has(id)).forEach((id) => unlogged.add(id));
      for (const stretch of mayBeRefused ? stretches(visitor) : [visitor.received]) {
        report.doubled += stretch.length - new Set(stretch.map(({ value }) => value as string)).size;
        for (const received of this.lanesOf(stretch, ordering)) {
          report.disordered += disordered(received).length;
        }
      }
    }
    report.unlogged = unlogged.size;
    return report;
  }
}

/** What must not be: how much of it is in a report. */
export function anomalies({ refused, missing, doubled, misdelivered, disordered }: LedgerReport): number {
  return refused + missing + doubled + misdelivered + disordered;
}

function addressingOf({ rooms, except }: { rooms: string[]; except: string[] }, sids: string[]): Addressing {
  if (except.length > 0) {
    return { to: 'except', room: except[0]! };
  }
  if (rooms.length === 0) {
    return { to: 'all' };
  }
  const client = sids.indexOf(rooms[0]!);
  return client < 0 ? { to: 'room', room: rooms[0]! } : { to: 'client', client };
}

/** Sends a message of the ledger. */
export function send(io: Pick<Namespace, 'emit' | 'to' | 'except'>, { id, addressing }: Message, sids: string[]): void {
  switch (addressing.to) {
    case 'all':
      io.emit('msg', id);
      break;
    case 'room':
      io.to(addressing.room).emit('msg', id);
      break;
    case 'except':
      io.except(addressing.room).emit('msg', id);
      break;
    case 'client':
      io.to(sids[addressing.client]!).emit('msg', id);
      break;
  }
}

/** All nodes broadcast, until it is stopped. */
export function startLoad(
  nodes: { io: Server }[],
  ledger: Ledger,
  visitors: Visitor[],
  random: Random,
): { stop(): void } {
  const sids = visitors.map(({ sid }) => sid);
  const names = new Map<Server, string>();
  const timer = setInterval(() => {
    for (const { io } of nodes) {
      const name = names.get(io) ?? `node ${names.size}`;
      names.set(io, name);
      const id = `${name} ${ledger.messages.length}`;
      send(io, ledger.note(Ledger.random(id, random, visitors.length)), sids);
    }
  }, 5);
  return { stop: () => clearInterval(timer) };
}
