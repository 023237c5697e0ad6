import type { Command } from './driver.js';

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
  /** Sends one command; strings of its reply may come as their bytes, if that costs less. */
  read(command: Command): Promise<unknown>;
  /** Sends commands in one go, and returns the reply of each: of the last as `call` does, of the others as `read` does. */
  send(commands: readonly Command[]): Promise<unknown>[];
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
