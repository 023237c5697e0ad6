import { Fifo } from '../../queue/fifo.js';
import type { Command } from '../driver.js';
import { isProtocolError } from '../reply-code.js';
import { appendText, encodeCommand, RecurringCommand, type EncodedCommands } from './encode-command.js';
import { RawReply } from './raw-reply.js';
import { ReplySplitter } from './reply-splitter.js';
import { RESP, RespCursor } from './resp-cursor.js';

/** What is used of a socket: a `net.Socket`, or one with TLS. */
export interface ByteStream {
  write(data: string | Buffer): unknown;
  cork(): void;
  uncork(): void;
  on(event: 'data', listener: (piece: Buffer) => void): unknown;
  removeAllListeners(event: 'data'): unknown;
}

/** What became of a transaction. */
export interface TransactionOutcome {
  /** The reply to `EXEC`, an error among others. */
  exec: unknown;
  /** The first error before that, which is its cause. */
  cause?: Error | undefined;
  /** The error with which `MULTI` was refused: what followed was executed one by one. */
  multiRefused?: Error | undefined;
}

/** Who waits for a reply. Returns whether that was the last one that it waits for. */
type Taker = (bytes: Buffer, start: number) => boolean;

/**
 * Commands and replies on a socket that a client library has connected, logged in and handed over: it knows best how to
 * come to a server, but makes several objects of each command and of each string of a reply, which at thousands of
 * messages a second is most of what a message costs.
 *
 * Commands of one turn leave in one write. Replies are handed on undecoded to those who want that.
 */
export class RespPipe {
  /** Of each command, or each transaction, without all its replies, in the order in which these come. */
  private readonly takers = new Fifo<Taker>();
  /** What leaves with the next write. */
  private out: EncodedCommands = [];
  /** Reads follow each other, and differ by the position only. */
  private readonly reads = new RecurringCommand();
  private readonly splitter = new ReplySplitter((bytes, start) => this.onReply(bytes, start));

  /**
   * Takes the socket over: nobody else reads from it or writes to it any more. No reply may be under way.
   *
   * @param onBroken - called if what comes is not RESP; nothing is understood from then on
   */
  constructor(
    private readonly stream: ByteStream,
    onBroken: (error: Error) => void,
  ) {
    stream.removeAllListeners('data');
    stream.on('data', (piece) => {
      try {
        this.splitter.push(piece);
      } catch (error) {
        onBroken(error as Error);
      }
    });
  }

  /** Resolves to the reply, its strings as strings. */
  call(command: Command): Promise<unknown> {
    return new Promise((resolve, reject) => this.exchange(command, resolve, reject));
  }

  /** {@link call}, which calls back: with a reply at once, with an error when all that came with it is taken apart. */
  exchange(command: Command, onReply: (reply: unknown) => void, onError: (error: Error) => void): void {
    this.write(command);
    this.takers.push((bytes, start) => {
      const reply = new RespCursor(bytes, start).decode(false);
      if (reply instanceof Error) {
        later(onError, reply);
      } else {
        onReply(reply);
      }
      return true;
    });
  }

  /** Resolves to a {@link RawReply}, or to null. */
  read(command: Command): Promise<unknown> {
    return new Promise((resolve, reject) => this.exchangeRead(command, resolve, reject));
  }

  /** {@link read}, which calls back, as {@link exchange} does. */
  exchangeRead(command: Command, onReply: (reply: unknown) => void, onError: (error: Error) => void): void {
    const text = this.reads.encode(command);
    if (text === undefined) {
      this.write(command);
    } else {
      this.writeText(text);
    }
    this.takers.push((bytes, start) => {
      const cursor = new RespCursor(bytes, start);
      cursor.next();
      if (cursor.type === RESP.error || cursor.type === RESP.bulkError) {
        later(onError, new Error(cursor.text()));
      } else {
        onReply(cursor.isNull ? null : new RawReply(bytes, start));
      }
      return true;
    });
  }

  /** Sends commands between `MULTI` and `EXEC`. Resolves when all replies are there that will be. */
  transaction(commands: readonly Command[], asking: boolean): Promise<TransactionOutcome> {
    return new Promise((resolve) => {
      const outcome: TransactionOutcome = { exec: undefined };
      if (asking) {
        this.writeText(ASKING);
      }
      this.writeText(MULTI);
      for (const command of commands) {
        this.write(command);
      }
      this.writeText(EXEC);
      const multi = asking ? 1 : 0;
      const last = multi + commands.length + 1;
      let n = 0;
      this.takers.push((bytes, start) => {
        if (n === last) {
          outcome.exec = new RespCursor(bytes, start).decode(false);
          resolve(outcome);
          return true;
        }
        if (bytes[start] === RESP.error || bytes[start] === RESP.bulkError) {
          const error = new RespCursor(bytes, start).decode(false) as Error;
          outcome.cause ??= error;
          if (n === multi) {
            outcome.multiRefused = error;
          }
          if (isProtocolError(error)) {
            resolve(outcome); // the server closes the connection, and no other reply comes
          }
        }
        n++;
        return false;
      });
    });
  }

  private write(command: Command): void {
    this.flushSoon();
    encodeCommand(command, this.out);
  }

  /** @param text - a command, encoded */
  private writeText(text: string): void {
    this.flushSoon();
    appendText(text, this.out);
  }

  /** To be called before something is written. */
  private flushSoon(): void {
    if (this.out.length === 0) {
      void NOW.then(this.flush); // as queueMicrotask does it, without the resource that Node makes for it
    }
  }

  private readonly flush = (): void => {
    const { stream, out } = this;
    this.out = [];
    if (out.length === 1) {
      stream.write(out[0]!);
      return;
    }
    stream.cork();
    for (const part of out) {
      stream.write(part);
    }
    stream.uncork();
  };

  private onReply(bytes: Buffer, start: number): void {
    if (bytes[start] === RESP.push) {
      return; // nobody has asked for it
    }
    if (this.takers.peek()?.(bytes, start)) {
      this.takers.shift();
    }
  }
}

const NOW = Promise.resolve();

/** What an error leads to, such as the end of the socket, must not come between the replies of one piece. */
function later(onError: (error: Error) => void, error: Error): void {
  void NOW.then(() => onError(error));
}

const ASKING = '*1\r\n$6\r\nASKING\r\n';
const MULTI = '*1\r\n$5\r\nMULTI\r\n';
const EXEC = '*1\r\n$4\r\nEXEC\r\n';
