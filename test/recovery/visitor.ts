import { io as connect, type ManagerOptions, type Socket, type SocketOptions } from 'socket.io-client';
import { decodeCut, isInCut, type Cut } from '../../lib/wire/cut.js';
import { compareStreamIds } from '../../lib/wire/stream-id.js';
import { closeAfterwards, until } from '../kit/index.js';

export interface VisitorOptions extends Partial<ManagerOptions & SocketOptions> {
  /** Rooms that the server has it join when it connects for the first time. */
  rooms?: string[];
  /** @default "/" */
  namespace?: string;
}

/** A message as it was received: what was sent, and the offset at its end. */
export interface Received {
  value: any;
  offset: string | undefined;
}

/** One time that a client was connected. */
export interface Visit {
  sid: string;
  recovered: boolean;
  url: string;
  /** How many messages it had received before. */
  after: number;
  /** Why it ended, and the offset that the client had then. */
  end?: { reason: string; offset: string | undefined };
}

/** A client that notes what it receives, that can be cut off, and that comes back to the node that it is sent to. */
export class Visitor {
  readonly socket: Socket;
  readonly received: Received[] = [];
  readonly visits: Visit[] = [];
  readonly errors: Error[] = [];

  constructor(
    private url: string,
    { rooms = [], namespace = '/', ...options }: VisitorOptions = {},
  ) {
    this.socket = connect(url + (namespace === '/' ? '' : namespace), {
      transports: ['websocket'],
      forceNew: true,
      reconnectionDelay: 5,
      reconnectionDelayMax: 40,
      auth: { rooms },
      ...options,
    });
    this.socket.on('connect', () =>
      this.visits.push({
        ...{ sid: this.socket.id!, recovered: this.socket.recovered, url: this.url },
        after: this.received.length,
      }),
    );
    this.socket.on('disconnect', (reason) => (this.visits.at(-1)!.end = { reason, offset: this.offset }));
    this.socket.on('connect_error', (error) => this.errors.push(error));
    this.socket.on('msg', (value: unknown, ...rest: unknown[]) =>
      this.received.push({ value, offset: rest.at(-1) as string | undefined }),
    );
    closeAfterwards(this);
  }

  get sid(): string {
    return this.visits.at(-1)!.sid;
  }

  get values(): any[] {
    return this.received.map(({ value }) => value);
  }

  /** The offset that it sends when it comes back. */
  get offset(): string | undefined {
    return (this.socket as unknown as { _lastOffset?: string })._lastOffset;
  }

  set offset(offset: string | undefined) {
    (this.socket as unknown as { _lastOffset?: string | undefined })._lastOffset = offset;
  }

  /** The private session id that it sends when it comes back. */
  get pid(): string | undefined {
    return (this.socket as unknown as { _pid?: string })._pid;
  }

  set pid(pid: string | undefined) {
    (this.socket as unknown as { _pid?: string | undefined })._pid = pid;
  }

  /** How often it has come back without being recovered. */
  get refused(): number {
    return this.visits.slice(1).filter(({ recovered }) => !recovered).length;
  }

  /**
   * How often a node that had recovered it without Redis has sent it away, because the session was another's: its offset says
   * nothing then.
   */
  get sentAway(): number {
    return this.visits.filter(({ end }) => end?.offset === '-').length;
  }

  get recoveries(): number {
    return this.visits.filter(({ recovered }) => recovered).length;
  }

  get isConnected(): boolean {
    return this.socket.connected;
  }

  /** It will come back to this node. */
  goTo(url: string): void {
    this.url = url;
    (this.socket.io as unknown as { uri: string }).uri = url;
  }

  /** Its connection is closed as a browser does it, or breaks. */
  cut(how: 'close' | 'destroy' = 'destroy'): void {
    const engine = this.socket.io.engine as unknown as {
      close(): void;
      transport: { ws?: { _socket?: { destroy(): void } } };
    };
    const stream = engine.transport.ws?._socket;
    if (how === 'destroy' && stream) {
      stream.destroy();
    } else {
      engine.close();
    }
  }

  /** It stays away until `comeBack`. */
  async stayAway(how?: 'close' | 'destroy'): Promise<void> {
    this.socket.io.reconnection(false);
    this.cut(how);
    await until(() => !this.socket.connected, { what: 'a client to notice that it was cut off' });
  }

  comeBack(url?: string): void {
    if (url !== undefined) {
      this.goTo(url);
    }
    this.socket.io.reconnection(true);
    this.socket.connect();
  }

  /** Says goodbye. */
  close(): void {
    this.socket.disconnect();
    (this.socket.io as unknown as { _close(): void })._close(); // all its namespaces
  }
}

/** A client that is connected, and in its rooms. */
export async function visit(node: { url: string }, options: VisitorOptions = {}): Promise<Visitor> {
  const visitor = new Visitor(node.url, options);
  await until(() => visitor.isConnected, { what: 'a client to connect' });
  return visitor;
}

/** Waits until a client has come back `times` times, counted from its first connection. */
export function visits(visitor: Visitor, times: number): Promise<unknown> {
  return until(() => visitor.visits.length >= times && visitor.isConnected, {
    what: `connection ${times} of a client, which has ${visitor.visits.length}`,
  });
}

/** Waits until a client has received so many messages. */
export async function receives(visitor: Visitor, count: number): Promise<void> {
  await until(() => visitor.received.length >= count, { what: `${count} messages` }).catch((error: Error) => {
    const visits = JSON.stringify(visitor.visits);
    throw new Error(`${error.message}: there are ${visitor.received.length}, in the visits ${visits}`);
  });
}

/** What a client received in each stretch of visits that it was recovered from one to the next. */
export function stretches({ visits, received }: Visitor): Received[][] {
  const starts = visits.filter(({ recovered }, i) => i === 0 || !recovered).map(({ after }) => after);
  return starts.map((start, i) => received.slice(i === 0 ? 0 : start, starts[i + 1]));
}

/**
 * What was received after something that its sender had sent later, of messages that are named after their sender and
 * numbered: `sender 12`.
 */
export function disordered(received: Received[]): Received[] {
  const last = new Map<string, number>();
  return received.filter(({ value }) => {
    const [sender, number] = parts(value);
    const isLate = number <= (last.get(sender) ?? -1);
    last.set(sender, Math.max(number, last.get(sender) ?? -1));
    return isLate;
  });
}

/** The two parts of a message's name. */
export function parts(value: unknown): [sender: string, number: number] {
  const text = String(value);
  const space = text.lastIndexOf(' ');
  return [text.slice(0, Math.max(0, space)), Number(text.slice(space + 1))];
}

/** What was received with an offset that does not go on from the one before: it came twice, or out of order. */
export function notGoingOn(received: Received[]): Received[] {
  return received.filter(({ offset }, i) => i > 0 && !goesOn(decodeCut(received[i - 1]!.offset)!, decodeCut(offset)!));
}

/** Whether a cut holds more than another that was given before it. */
function goesOn(before: Cut, cut: Cut): boolean {
  const further = compareStreamIds(cut.position, before.position);
  return further > 0 || (further === 0 && cut.ahead.some((origin) => !isInCut({ id: undefined, origin }, before)));
}
