import { Manager, type Socket } from 'socket.io-client';
import { until } from './until.js';

export interface TestClientOptions {
  /** @default "/" */
  nsp?: string;
  /** Rooms that the server puts it into. */
  rooms?: (string | number)[];
  /** What the server puts into `socket.data`. */
  data?: object;
  /** What it answers when an event asks for an acknowledgement; nothing, if it is undefined. */
  answer?: unknown;
  /** What it tells the server besides, when it connects. */
  auth?: object;
  /** Opens another namespace on the connection of this client. */
  beside?: TestClient;
}

export const MARK = 'mark';
const OFFSET = /^\d+-\d+(,=?[\w~-]+:\d+)*$/;

/** A client that notes what it receives. */
export class TestClient {
  /** Each event and its arguments, the offsets of connection state recovery left out. */
  readonly received: unknown[][] = [];
  /** The offset that came with each of them. */
  readonly offsets: (string | undefined)[] = [];
  readonly marks = new Set<string>();
  readonly disconnects: string[] = [];
  readonly socket: Socket;
  /** What it answers to events that ask for an acknowledgement. */
  answer: unknown;
  /** The last offset that it was given. */
  offset: string | undefined;

  private constructor(url: string, { nsp = '/', rooms = [], data = {}, answer, auth, beside }: TestClientOptions) {
    const manager = beside?.socket.io ?? new Manager(url, { transports: ['websocket'], reconnection: false });
    this.answer = answer;
    this.socket = manager.socket(nsp, { auth: { rooms, data, ...auth } });
    this.socket.onAny((...event: unknown[]) => this.receive(event));
    this.socket.on('disconnect', (reason) => this.disconnects.push(reason));
  }

  static async connect(url: string, options: TestClientOptions = {}): Promise<TestClient> {
    const client = new TestClient(url, options);
    await client.connected();
    return client;
  }

  get id(): string {
    return this.socket.id!;
  }

  /** The events of this name: their arguments. */
  argumentsOf(event: string): unknown[][] {
    return this.received.filter(([name]) => name === event).map(([, ...args]) => args);
  }

  /** Waits until so many events have been received. */
  async receives(count: number): Promise<unknown[][]> {
    await until(() => this.received.length >= count, { what: `${count} events`, interval: 2 });
    return this.received;
  }

  /** Loses the connection, as in a tunnel. */
  cut(): void {
    this.socket.io.engine.close();
  }

  /** Connects again, perhaps to another node. Returns whether Socket.IO has recovered its session. */
  async reconnect(url: string): Promise<boolean> {
    (this.socket.io as unknown as { uri: string }).uri = url;
    this.socket.connect();
    await this.connected();
    return this.socket.recovered;
  }

  close(): void {
    this.socket.disconnect();
  }

  /** Only then are events followed by offsets. */
  private get isRecoverable(): boolean {
    return (this.socket as unknown as { _pid?: string })._pid !== undefined;
  }

  private async connected(): Promise<void> {
    let refused: Error | undefined;
    const onRefused = (error: Error): void => void (refused = error);
    this.socket.on('connect_error', onRefused);
    this.socket.io.on('error', onRefused);
    await until(() => this.socket.connected || refused !== undefined, { what: 'a client to connect', interval: 2 });
    this.socket.off('connect_error', onRefused);
    this.socket.io.off('error', onRefused);
    if (refused) throw refused;
  }

  private receive(event: unknown[]): void {
    const acknowledge = event.at(-1);
    let offset: string | undefined;
    if (typeof acknowledge === 'function') {
      event.pop();
      if (this.answer !== undefined) {
        (acknowledge as (answer: unknown) => void)(this.answer);
      }
    } else if (this.isRecoverable && OFFSET.test(String(event.at(-1)))) {
      this.offset = offset = event.pop() as string;
    }
    if (event[0] === MARK) {
      this.marks.add(event[1] as string);
    } else {
      this.received.push(event);
      this.offsets.push(offset);
    }
  }
}
