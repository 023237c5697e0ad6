import { connect, createServer, type Server, type Socket } from 'node:net';
import { closeAfterwards, closed } from './cleanup.js';

/** What becomes of a command: what is sent to the server in its place, or an error that is answered for it. */
export type Rewriting = { send: readonly Buffer[] } | { error: string };

/** Decides about each command of each client, before the server has it. */
export type Rewrite = (command: readonly Buffer[]) => Rewriting;

/** Who answers the next command: the server, or the proxy with these bytes. */
type Answer = 'server' | Buffer;

/**
 * A proxy that understands what passes: it changes commands, or refuses them itself, as managed servers do. Answers keep
 * their order. A connection that subscribes is passed on as it is from then on.
 */
export class RespProxy {
  /** How many commands of each name were passed on. */
  readonly counts = new Map<string, number>();
  readonly #sockets = new Set<Socket>();
  readonly #target: number;
  readonly #listener: Server;
  #rewrite: Rewrite;

  private constructor(target: number, rewrite: Rewrite) {
    this.#target = target;
    this.#rewrite = rewrite;
    this.#listener = createServer({ noDelay: true }, (client) => this.#connect(client));
  }

  /** @param target the server's port */
  static async start(target: number, rewrite: Rewrite): Promise<RespProxy> {
    const proxy = closeAfterwards(new RespProxy(target, rewrite));
    await new Promise<void>((resolve) => proxy.#listener.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get port(): number {
    return (this.#listener.address() as { port: number }).port;
  }

  /** From now on commands are treated so. */
  rewrite(rewrite: Rewrite): void {
    this.#rewrite = rewrite;
  }

  count(command: string): number {
    return this.counts.get(command) ?? 0;
  }

  close(): void {
    closed(this);
    this.#listener.close();
    this.#sockets.forEach((socket) => socket.destroy());
  }

  #connect(client: Socket): void {
    const server = connect({ host: '127.0.0.1', port: this.#target, noDelay: true });
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        client.destroy();
        server.destroy();
        this.#sockets.delete(socket);
      });
    }
    const answers: Answer[] = [];
    let isSubscriber = false;
    const answerHere = (): void => {
      while (answers.length > 0 && answers[0] !== 'server') client.write(answers.shift()!);
    };
    inFrames(client, (frame) => {
      const command = toCommand(frame);
      const name = command[0]?.toString().toUpperCase() ?? '';
      this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
      isSubscriber ||= /^[PS]?SUBSCRIBE$/.test(name);
      const rewriting = isSubscriber ? { send: command } : this.#rewrite(command);
      if ('send' in rewriting) {
        answers.push('server');
        server.write(rewriting.send === command ? frame : toFrame(rewriting.send));
      } else {
        answers.push(Buffer.from(`-${rewriting.error}\r\n`));
        answerHere();
      }
    });
    inFrames(server, (frame) => {
      client.write(frame);
      if (!isSubscriber && frame[0] !== '>'.charCodeAt(0)) {
        answers.shift();
        answerHere();
      }
    });
  }
}

/** Cuts what a socket receives into whole messages. */
function inFrames(socket: Socket, onFrame: (frame: Buffer) => void): void {
  let chunks: Buffer[] = [];
  let length = 0;
  let needed = 1;
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    length += chunk.length;
    if (length < needed) return; // not all of a large one has come
    let bytes = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
    for (let end = endOf(bytes, 0); end.isWhole; end = endOf(bytes, 0)) {
      onFrame(bytes.subarray(0, end.at));
      bytes = bytes.subarray(end.at);
    }
    needed = endOf(bytes, 0).at;
    chunks = bytes.length > 0 ? [bytes] : [];
    length = bytes.length;
  });
}

interface End {
  /** Whether all of it is there. */
  isWhole: boolean;
  /** Where it ends; if it is not whole, how many bytes there must be at least. */
  at: number;
}

/** Where the message ends that begins at `start`, of RESP2 or RESP3. */
function endOf(bytes: Buffer, start: number): End {
  const lineEnd = bytes.indexOf('\r\n', start);
  if (lineEnd < 0) return { isWhole: false, at: bytes.length + 1 };
  const after = lineEnd + 2;
  const type = String.fromCharCode(bytes[start]!);
  const count = Number(bytes.toString('latin1', start + 1, lineEnd));
  if ('$!='.includes(type)) {
    const at = count < 0 ? after : after + count + 2;
    return { isWhole: bytes.length >= at, at };
  }
  if (!'*~>%|'.includes(type)) return { isWhole: true, at: after };
  let end: End = { isWhole: true, at: after };
  const items = count * ('%|'.includes(type) ? 2 : 1) + (type === '|' ? 1 : 0);
  for (let i = 0; i < items && end.isWhole; i++) end = endOf(bytes, end.at);
  return end;
}

function toCommand(frame: Buffer): Buffer[] {
  const args: Buffer[] = [];
  for (let at = frame.indexOf('\r\n') + 2; at > 1 && at < frame.length;) {
    const { at: end } = endOf(frame, at);
    args.push(frame.subarray(frame.indexOf('\r\n', at) + 2, end - 2));
    at = end;
  }
  return args;
}

function toFrame(command: readonly Buffer[]): Buffer {
  const head = (text: string): Buffer => Buffer.from(`${text}\r\n`);
  const args = command.flatMap((arg) => [head(`$${arg.length}`), arg, head('')]);
  return Buffer.concat([head(`*${command.length}`), ...args]);
}
