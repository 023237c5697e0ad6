import { Socket as EngineSocket } from 'engine.io-client';
import { Decoder, Encoder, PacketType, type Packet } from 'socket.io-parser';

/** What a client received: an event with its arguments, or that the server disconnected it. */
export type Received = unknown[];

/** The offsets of connection state recovery: a cut, or what the in-memory adapter counts with. */
const OFFSET = /^(\d+-\d+(,[\w~-]+:\d+)*|[\w-]{7}(\.[\w-]+)?)$/;
/** The event that ends a turn. */
export const MARK = 'mark';
/** The event by which a client knows that a middleware has refused its question. */
export const REFUSED = 'refused';

/** One namespace of a {@link RawClient}. */
class Membership {
  readonly received: Received[] = [];
  state: 'not connected' | 'refused' | 'connected' | 'disconnected' = 'not connected';
  mark = 0;

  get isConnected(): boolean {
    return this.state === 'connected';
  }
}

/**
 * A client that speaks Socket.IO's protocol, and nothing else: it notes packets in the order in which they come. Its
 * connection is used again for the next program if the last one has left it open.
 */
export class RawClient {
  private readonly encoder = new Encoder();
  private engine: EngineSocket | undefined;
  private memberships = new Map<string, Membership>();
  private acknowledged = new Map<number, () => void>();
  private waiting: (() => void)[] = [];
  private nextId = 0;

  constructor(
    private readonly url: string,
    /** Whether packets end with an offset. */
    private readonly recovery: boolean,
    /** What it answers to an event that asks for it; undefined: nothing. */
    private readonly answer: unknown[] | undefined,
  ) {}

  /** Opens its connection, if the program before has not left it open. */
  async open(nsps: readonly string[]): Promise<void> {
    this.memberships = new Map(nsps.map((nsp) => [nsp, new Membership()]));
    if (this.engine?.readyState !== 'open') {
      await this.openEngine();
    }
  }

  /** Connects to a namespace, is refused, or loses its connection meanwhile. */
  async connect(nsp: string, auth: object): Promise<void> {
    const membership = this.memberships.get(nsp)!;
    membership.state = 'not connected';
    this.send({ type: PacketType.CONNECT, nsp, data: auth });
    await this.until(() => membership.state !== 'not connected' || !this.isOpen);
  }

  receivedIn(nsp: string): Received[] {
    return this.memberships.get(nsp)!.received;
  }

  /** Whether it has received everything that was sent to it before this mark. */
  async reaches(nsp: string, mark: number): Promise<void> {
    const membership = this.memberships.get(nsp)!;
    await this.until(() => membership.mark >= mark || !membership.isConnected);
  }

  isConnected(nsp: string): boolean {
    return this.memberships.get(nsp)!.isConnected;
  }

  /** Emits an event, and waits for its acknowledgement, which is noted, for being refused, or for being disconnected. */
  async ask(nsp: string, ...event: unknown[]): Promise<void> {
    const membership = this.memberships.get(nsp)!;
    if (!membership.isConnected) {
      return;
    }
    const id = this.nextId++;
    let isAnswered = false;
    this.acknowledged.set(id, () => (isAnswered = true));
    this.send({ type: PacketType.EVENT, nsp, id, data: event });
    await this.until(() => isAnswered || !membership.isConnected);
  }

  /** Whether it has a connection. */
  get isOpen(): boolean {
    return this.engine?.readyState === 'open';
  }

  /** Whether the server has disconnected it from a namespace. */
  get wasDisconnected(): boolean {
    return [...this.memberships.values()].some(({ state }) => state === 'disconnected');
  }

  /** Closes its connection, if it was disconnected from a namespace. */
  endIfDisconnected(): void {
    if (this.wasDisconnected) {
      this.close();
      this.memberships.forEach((membership) => this.onDisconnected(membership, 'closed'));
    }
  }

  /** Leaves all namespaces. The connection stays open for the next program, unless this one was disconnected. */
  leave(): void {
    this.endIfDisconnected();
    for (const [nsp, membership] of this.memberships) {
      if (membership.isConnected) {
        membership.state = 'disconnected';
        this.send({ type: PacketType.DISCONNECT, nsp, data: undefined });
      }
    }
  }

  close(): void {
    this.engine?.close();
    this.engine = undefined;
  }

  private async openEngine(): Promise<void> {
    const engine = new EngineSocket(this.url, { path: '/socket.io/', transports: ['websocket'] });
    const decoder = new Decoder();
    this.engine = engine;
    engine.binaryType = 'nodebuffer';
    decoder.on('decoded', (packet: Packet) => this.onPacket(packet));
    engine.on('data', (data: unknown) => decoder.add(data));
    engine.on('close', () => {
      if (this.engine === engine) {
        this.memberships.forEach((membership) => this.onDisconnected(membership, 'closed'));
        this.changed();
      }
    });
    await new Promise<void>((resolve, reject) => {
      engine.once('open', resolve);
      engine.once('error', (error) => reject(new Error('cannot connect', { cause: error })));
    });
  }

  private onPacket(packet: Packet): void {
    const membership = this.memberships.get(packet.nsp);
    if (!membership) {
      return; // left over from the program before
    }
    switch (packet.type) {
      case PacketType.CONNECT:
        membership.state = 'connected';
        break;
      case PacketType.CONNECT_ERROR:
        membership.state = 'refused';
        membership.received.push(['refused by a middleware', packet.data]);
        break;
      case PacketType.DISCONNECT:
        this.onDisconnected(membership, 'disconnected');
        return;
      case PacketType.ACK:
        membership.received.push(['acknowledged', ...(packet.data as unknown[])].map((item) => readable(item)));
        this.acknowledged.get(packet.id!)?.();
        break;
      case PacketType.EVENT:
      case PacketType.BINARY_EVENT:
        this.onEvent(packet, membership);
        break;
      default:
        membership.received.push([`packet of type ${packet.type}`, packet.data]);
    }
    this.changed();
  }

  private onEvent({ nsp, id, data }: Packet, membership: Membership): void {
    const event = withoutOffset(data as unknown[], this.recovery && id === undefined);
    if (event[0] === MARK) {
      membership.mark = event[1] as number;
      this.send({ type: PacketType.EVENT, nsp, data: event });
      return;
    }
    membership.received.push(event.map((item) => readable(item)));
    if (event[0] === REFUSED) {
      this.acknowledged.forEach((resolve) => resolve());
    }
    if (id !== undefined && this.answer && membership.isConnected) {
      this.send({ type: PacketType.ACK, nsp, id, data: this.answer });
    }
  }

  private onDisconnected(membership: Membership, how: string): void {
    if (membership.isConnected) {
      membership.state = 'disconnected';
      membership.received.push([how]);
      this.changed();
    }
  }

  private send(packet: Packet): void {
    for (const part of this.encoder.encode(packet)) {
      this.engine!.write(part as never);
    }
  }

  private async until(condition: () => boolean): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error('a client waits in vain')), 8_000);
    });
    try {
      while (!condition()) {
        await Promise.race([new Promise<void>((resolve) => this.waiting.push(resolve)), late]);
      }
    } finally {
      clearTimeout(timer);
      late.catch(() => undefined);
    }
  }

  private changed(): void {
    this.waiting.splice(0).forEach((resolve) => resolve());
  }
}

/** @param mayHaveOffset - whether it may end with one */
function withoutOffset(event: unknown[], mayHaveOffset: boolean): unknown[] {
  return mayHaveOffset && OFFSET.test(String(event.at(-1))) ? event.slice(0, -1) : event;
}

/** A value that can be compared, printed and sorted; of binary data what it holds, for clients get a Buffer of any of it. */
export function readable(value: unknown, within: readonly unknown[] = []): unknown {
  if (within.includes(value)) {
    return '(circle)';
  }
  const readableWithin = (item: unknown): unknown => readable(item, [...within, value]);
  if (ArrayBuffer.isView(value)) {
    return { bytes: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex') };
  }
  if (Array.isArray(value)) {
    return value.map(readableWithin);
  }
  if (typeof value === 'bigint' || typeof value === 'symbol') {
    return { [typeof value]: value.toString() };
  }
  if (value instanceof Date || value instanceof Map || value instanceof Set || value instanceof ArrayBuffer) {
    const items =
      value instanceof Date ? [value.getTime()] : value instanceof ArrayBuffer ? new Uint8Array(value) : value;
    return { [value.constructor.name]: [...items].map(readableWithin) };
  }
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, readableWithin(item)]));
  }
  return value;
}
