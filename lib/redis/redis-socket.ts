import type { Command } from './driver.js';
import type { TransactionOutcome } from './resp/resp-pipe.js';

/**
 * One socket to one server. It is opened once and never comes back: it does not reconnect, queue or send anything a
 * second time, whatever its client library would like to do.
 */
export interface RedisSocket {
  /** An error reply to what the library, or the socket, sent first of its own accord. */
  readonly refusal?: Error | undefined;
  /** Resolves when commands can be sent; rejected with the reason why they never will. */
  open(): Promise<void>;
  /** Sends one command. */
  call(command: Command): Promise<unknown>;
  /**
   * To be called once all that was sent has been answered, if the socket is not going to subscribe: from then on what is sent
   * does not go through the client library, if its socket can be had.
   */
  takeOver?(): Promise<void>;
  /** Sends one command; strings of its reply may come as their bytes, or the reply undecoded, if that costs less. */
  read(command: Command): Promise<unknown>;
  /**
   * Sends one command as `call` does, or as `read`, and calls back, which costs less than a promise that somebody waits for only
   * to settle another. Returns false, and does nothing, if it has no such way.
   */
  exchange?(
    command: Command,
    isRead: boolean,
    onReply: (reply: unknown) => void,
    onError: (error: Error) => void,
  ): boolean;
  /** Sends commands in one go, and returns the reply of each: of the last as `call` does, of the others as `read` does. */
  send(commands: readonly Command[]): Promise<unknown>[];
  /** Sends commands between `MULTI` and `EXEC`, if it has a cheaper way than {@link send}. Never rejected. */
  transaction?(commands: readonly Command[], asking: boolean): Promise<TransactionOutcome> | undefined;
  subscribe(channels: readonly string[]): Promise<unknown>;
  unsubscribe(channels: readonly string[]): Promise<unknown>;
  /** Ends it at once, whatever its state is and whether or not the server answers. */
  destroy(): void;
}

export interface RedisSocketOptions {
  /** Shown by `CLIENT LIST`. */
  connectionName: string;
  /** Whether PUB/SUB is sharded. */
  sharded: boolean;
  onMessage(channel: string, payload: Buffer): void;
  /** The socket is of no use any more. May be called more than once. */
  onClosed(error: Error): void;
}
