import { connect, createServer, type Server, type Socket } from 'node:net';
import { closeAfterwards, closed } from './cleanup.js';
import { freePort } from './free-port.js';

/** Which way bytes travel through the proxy. */
export type Direction = 'toServer' | 'toClient';

interface Connection {
  client: Socket;
  server: Socket;
  /** Its replies are dropped from now on. */
  mute: boolean;
  /** What the client has sent first. */
  greeting: string;
  /** Whether nothing passes any more. */
  stranded: boolean;
}

/** How much of what a client sends is kept: enough to know by its name what connection it is. */
const GREETING = 4_096;

interface LostReply {
  command: string;
  done(): void;
}

/** A network between a client and a server of 127.0.0.1 that can be made to fail in each of the ways networks do. */
export class TcpProxy {
  /** Bytes that were passed on, of all connections. */
  readonly bytes: Record<Direction, number> = { toServer: 0, toClient: 0 };
  /** How many connections there have ever been. */
  accepted = 0;

  readonly #connections = new Set<Connection>();
  readonly #held = new Set<Direction>();
  #listener?: Server | undefined;
  #port = 0;
  #target: number;
  #latency = 0;
  #swallow = false;
  #lost: LostReply[] = [];

  private constructor(target: number) {
    this.#target = target;
  }

  /** @param target the server's port */
  static async start(target: number): Promise<TcpProxy> {
    const proxy = closeAfterwards(new TcpProxy(target));
    for (let tries = 1; ; tries++) {
      proxy.#port = await freePort();
      try {
        await proxy.accept();
        return proxy;
      } catch (error) {
        if (tries === 20) throw error;
      }
    }
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** How many connections are open. */
  get connections(): number {
    return this.#connections.size;
  }

  /** Leads connections that are made from now on to another server. */
  target(port: number): void {
    this.#target = port;
  }

  /** Destroys all connections. New ones are accepted, unless they are refused. */
  cut(): void {
    this.#swallow = false;
    for (const { client, server } of this.#connections) {
      reset(client);
      server.destroy();
    }
  }

  /** New connections are refused; those that are open stay. */
  refuse(): void {
    this.#listener?.close();
    this.#listener = undefined;
  }

  /** The opposite of `refuse`, on the same port. */
  async accept(): Promise<void> {
    if (this.#listener) return;
    const listener = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#connect(client));
    await new Promise<void>((resolve, reject) => {
      listener.once('error', reject);
      listener.listen(this.#port, '127.0.0.1', resolve);
    });
    this.#listener = listener;
  }

  /** Nothing gets through any more, though connections stay open and new ones are made. `heal` delivers what was held. */
  blackhole(...directions: Direction[]): void {
    for (const direction of directions.length > 0 ? directions : (['toServer', 'toClient'] as const))
      this.#held.add(direction);
    for (const connection of this.#connections) this.#hold(connection);
  }

  /**
   * Leaves connections half-open whose client has sent this text among the first, such as its name: nothing passes on
   * them, and neither side is told. All other connections, and new ones, work. Returns how many there were.
   */
  strand(text: string): number {
    const chosen = [...this.#connections].filter(({ greeting }) => greeting.includes(text));
    for (const connection of chosen) {
      connection.stranded = true;
      this.#hold(connection);
    }
    return chosen.length;
  }

  /** Ends `blackhole` and `strand`. */
  heal(): void {
    this.#held.clear();
    for (const connection of this.#connections) connection.stranded = false;
    for (const connection of this.#connections) this.#hold(connection);
  }

  /** Requests reach the server, and its replies are lost, until `cut`: what a connection does that breaks half-way. */
  swallowReplies(): void {
    this.#swallow = true;
    for (const connection of this.#connections) connection.mute = true;
  }

  /**
   * Loses one reply: the first request that contains `command` (such as `XADD`) reaches the server; when it has
   * answered, its connection is cut and the answer dropped. Resolves then.
   */
  loseReplyTo(command: string): Promise<void> {
    return new Promise((done) => this.#lost.push({ command: command.toLowerCase(), done }));
  }

  /** Delays everything by so many milliseconds each way. */
  latency(ms: number): void {
    this.#latency = ms;
  }

  close(): void {
    closed(this);
    this.refuse();
    this.cut();
  }

  #connect(client: Socket): void {
    this.accepted++;
    const server = connect({ host: '127.0.0.1', port: this.#target, allowHalfOpen: true, noDelay: true });
    const connection: Connection = { client, server, mute: this.#swallow, greeting: '', stranded: false };
    this.#connections.add(connection);
    for (const socket of [client, server]) {
      socket.on('error', () => undefined);
      socket.on('close', () => {
        client.destroy();
        server.destroy();
        this.#connections.delete(connection);
      });
    }
    this.#pipe(client, server, 'toServer', (chunk) => {
      if (connection.greeting.length < GREETING) connection.greeting += chunk.toString('latin1');
      this.#watchFor(connection, chunk);
      return true;
    });
    this.#pipe(server, client, 'toClient', () => !connection.mute);
    this.#hold(connection);
  }

  /** Passes on what `filter` lets through, in order, after the latency of its time. */
  #pipe(from: Socket, to: Socket, direction: Direction, filter: (chunk: Buffer) => boolean): void {
    let lastDue = 0;
    const later = (action: () => void): void => {
      const now = performance.now();
      lastDue = Math.max(lastDue, now + this.#latency);
      if (lastDue <= now) action();
      else setTimeout(action, lastDue - now);
    };
    from.on('data', (chunk: Buffer) => {
      if (!filter(chunk)) return;
      later(() => {
        if (to.destroyed) return;
        this.bytes[direction] += chunk.length;
        to.write(chunk);
      });
    });
    from.on('end', () => later(() => to.end()));
  }

  #hold({ client, server, stranded }: Connection): void {
    for (const [socket, direction] of [
      [client, 'toServer'],
      [server, 'toClient'],
    ] as const) {
      if (stranded || this.#held.has(direction)) socket.pause();
      else socket.resume();
    }
  }

  /** Arranges the loss of a reply if this is the request that it belongs to. */
  #watchFor(connection: Connection, chunk: Buffer): void {
    const text = this.#lost.length > 0 ? chunk.toString('latin1').toLowerCase() : '';
    const lost = this.#lost.find(({ command }) => text.includes(command));
    if (!lost) return;
    this.#lost = this.#lost.filter((other) => other !== lost);
    connection.mute = true;
    connection.server.once('data', () => {
      reset(connection.client);
      connection.server.destroy();
      lost.done();
    });
  }
}

/** Breaks a connection as a network does. One that is being shut down cannot be reset: libuv would keep its handle. */
function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
