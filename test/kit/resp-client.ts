import { connect, type Socket } from 'node:net';

/** A reply as RESP2 has it; texts are UTF-8. */
export type Reply = string | number | null | Reply[];

/** An error reply of the server, `-ERR ...`. */
export class RespError extends Error {
  override name = 'RespError';
}

interface Waiting {
  command: string;
  resolve: (reply: Reply) => void;
  reject: (error: Error) => void;
}

/** A connection that sends any command as it is and never retries: what a test looks at Redis with. */
export class RespClient {
  readonly #socket: Socket;
  readonly #waiting: Waiting[] = [];
  #received: Buffer = Buffer.alloc(0);
  #failure?: Error;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay();
    socket.on('data', (chunk) => this.#receive(chunk));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('The connection was closed')));
  }

  static async connect(port: number, credentials?: { username: string; password: string }): Promise<RespClient> {
    const socket = connect({ host: '127.0.0.1', port });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    const client = new RespClient(socket);
    if (credentials) await client.command('AUTH', credentials.username, credentials.password);
    return client;
  }

  get isOpen(): boolean {
    return this.#failure === undefined;
  }

  /** @throws RespError for an error reply, and Error when the connection ends before there is one */
  command(...args: (string | number | Buffer)[]): Promise<Reply> {
    if (this.#failure) return Promise.reject(this.#failure);
    const parts: (string | Buffer)[] = [`*${args.length}\r\n`];
    for (const arg of args) {
      const bytes = Buffer.isBuffer(arg) ? arg : Buffer.from(String(arg));
      parts.push(`$${bytes.length}\r\n`, bytes, '\r\n');
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ command: String(args[0]), resolve, reject });
      this.#socket.write(Buffer.concat(parts.map((part) => Buffer.from(part))));
    });
  }

  close(): void {
    this.#socket.destroy();
    this.#fail(new Error('The connection was closed'));
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const { command, reject } of this.#waiting.splice(0))
      reject(new Error(`${command} got no reply: ${error.message}`, { cause: error }));
  }

  #receive(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    for (;;) {
      const parsed = parse(this.#received, 0);
      if (parsed === undefined) return;
      this.#received = this.#received.subarray(parsed.end);
      const waiting = this.#waiting.shift();
      if (parsed.value instanceof RespError) waiting?.reject(parsed.value);
      else waiting?.resolve(parsed.value);
    }
  }
}

type Parsed = { value: Reply | RespError; end: number } | undefined;

/** The reply that begins at `start`, or undefined while its rest has yet to arrive. */
function parse(bytes: Buffer, start: number): Parsed {
  const lineEnd = bytes.indexOf('\r\n', start);
  if (lineEnd < 0) return undefined;
  const line = bytes.toString('utf8', start + 1, lineEnd);
  let end = lineEnd + 2;
  switch (String.fromCharCode(bytes[start] ?? 0)) {
    case '+':
      return { value: line, end };
    case '-':
      return { value: new RespError(line), end };
    case ':':
      return { value: Number(line), end };
    case '$': {
      const length = Number(line);
      if (length < 0) return { value: null, end };
      if (bytes.length < end + length + 2) return undefined;
      return { value: bytes.toString('utf8', end, end + length), end: end + length + 2 };
    }
    case '*': {
      if (Number(line) < 0) return { value: null, end };
      const items: Reply[] = [];
      for (let i = 0; i < Number(line); i++) {
        const item = parse(bytes, end);
        if (item === undefined) return undefined;
        items.push(item.value instanceof RespError ? item.value.message : item.value);
        end = item.end;
      }
      return { value: items, end };
    }
    default:
      throw new Error(`Not a RESP2 reply: ${bytes.toString('utf8', start, lineEnd)}`);
  }
}
