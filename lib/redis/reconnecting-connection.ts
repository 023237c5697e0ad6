import { isNativeError } from 'node:util/types';
import { Backoff } from './backoff.js';
import type { Command, ConnectionListener, OpenOptions, RedisConnection } from './driver.js';
import { RedisClientError, RedisTimeoutError } from './errors.js';
import { multiRefused } from './multi-refused.js';
import { PendingCommands } from './pending-commands.js';
import type { RedisSocket, RedisSocketOptions } from './redis-socket.js';
import { isProtocolError, isWrongServer, replyCode } from './reply-code.js';
import type { TransactionOutcome } from './resp/resp-pipe.js';
import { outsideContext } from './outside-context.js';
import { checkServer, explain, type ServerNeeds } from './server-check.js';

/** Milliseconds in which a server must have accepted a connection and answered the first commands. */
const OPEN_TIMEOUT_MS = 5_000;
/** Milliseconds after which a connection counts as good: one that is lost earlier is made again later each time. */
const STABLE_AFTER_MS = 1_000;

export interface ReconnectingConnectionOptions
  extends Pick<OpenOptions, 'role' | 'connectionName' | 'sharded' | 'probe'>, Omit<ServerNeeds, 'sharded'> {
  listener: ConnectionListener;
}

/** What a connection needs of its server, by what it is for. */
export function needsOf({ role, skipServerCheck = false }: OpenOptions): Omit<ServerNeeds, 'sharded'> {
  return { writable: true, transactions: role === 'commands', trusted: skipServerCheck };
}

type Mode = 'opening' | 'ready' | 'waiting' | 'closed';

/**
 * A connection to one server that comes back for ever, as a succession of {@link RedisSocket}s.
 *
 * Modes, and what leads out of them:
 * - opening: a socket is being made. The server's answers to the first commands lead to `ready`; an error, or
 *   OPEN_TIMEOUT_MS, to `waiting`.
 * - ready: commands are sent. The end of the socket, a reply of a wrong server, a reply that does not come in time, and
 *   `reset` lead to `waiting`.
 * - waiting: there is no socket. After a pause that grows with each failure, `opening`.
 * - closed: by `close`, from any mode and for ever.
 *
 * Reconnecting is done here and not by the client library, so that it is certain that what was under way is rejected
 * at once with the real reason, that nothing is sent twice, and that a server that has fallen silent is left at once.
 */
export class ReconnectingConnection implements RedisConnection {
  /** See above. Changed by `open`, `onOpened` and `leave`. */
  private mode: Mode = 'opening';
  /** The socket of the modes `opening` and `ready`. What comes from any other is of the past. */
  private socket: RedisSocket | undefined;
  /** The commands that wait for a reply of the present socket. */
  private readonly pending = new PendingCommands(() => this.reset());
  /** The pauses before the next socket is made. */
  private readonly backoff = new Backoff();
  /** Why the connection cannot be used, unless it is ready. */
  private lastError = new Error('the connection is being opened');
  /** When it became ready, by `performance.now()`. */
  private readySince = 0;
  /** Ends `opening` by OPEN_TIMEOUT_MS, or `waiting`. */
  private modeTimer: NodeJS.Timeout | undefined;
  /** Runs in `ready`, with the option `probe`: asks a silent server for a sign of life. */
  private probeTimer: NodeJS.Timeout | undefined;
  /** Whether a message has arrived since the last look of the probe: then the server is there. */
  private hasHeard = false;

  constructor(
    private readonly connect: (options: RedisSocketOptions) => RedisSocket,
    private readonly options: ReconnectingConnectionOptions,
  ) {
    outsideContext(() => this.open());
  }

  get ready(): boolean {
    return this.mode === 'ready';
  }

  /** Whether an answer is being waited for. */
  get isBusy(): boolean {
    return !this.pending.isEmpty;
  }

  /** @param asking - whether the server is asked for a key of a slot that it is still importing (Redis Cluster) */
  call(command: Command, timeout = Infinity, asking = false): Promise<unknown> {
    return this.exchange(command, false, timeout, asking);
  }

  /** @param asking - as for {@link call} */
  read(command: Command, timeout = Infinity, asking = false): Promise<unknown> {
    return this.exchange(command, true, timeout, asking);
  }

  /** @param asking - as for {@link call} */
  async transaction(commands: readonly Command[], timeout = Infinity, asking = false): Promise<unknown[]> {
    const socket = this.usable();
    const outcome = socket.transaction?.(commands, asking) ?? transact(socket, commands, asking);
    const results = this.resultsOf(socket, await this.track(commands[0]?.[0], timeout, outcome));
    if (!Array.isArray(results)) {
      throw new Error('the transaction was aborted');
    }
    const failed = (results as unknown[]).find(isNativeError);
    if (failed) {
      throw failed;
    }
    return results as unknown[];
  }

  /** @throws what the transaction was refused with, also if a proxy has refused a part of it and the server executed the rest */
  private resultsOf(socket: RedisSocket, { exec, cause, multiRefused }: TransactionOutcome): unknown {
    if (multiRefused) {
      throw this.onMultiRefused(socket, multiRefused);
    }
    const error = cause ?? (isNativeError(exec) ? exec : undefined);
    if (error) {
      this.leaveIfWrong(socket, error);
      throw error;
    }
    return exec;
  }

  async publish(channel: string, payload: Buffer, timeout = Infinity, asking = false): Promise<void> {
    await this.call([this.options.sharded ? 'SPUBLISH' : 'PUBLISH', channel, payload], timeout, asking);
  }

  async subscribe(channels: readonly string[], timeout = Infinity): Promise<void> {
    if (channels.length > 0) {
      await this.track('SUBSCRIBE', timeout, this.usable().subscribe(channels));
    }
  }

  async unsubscribe(channels: readonly string[], timeout = Infinity): Promise<void> {
    if (channels.length > 0) {
      await this.track('UNSUBSCRIBE', timeout, this.usable().unsubscribe(channels));
    }
  }

  async countSubscribers(channels: readonly string[], timeout = Infinity): Promise<number[]> {
    const count = this.options.sharded ? 'SHARDNUMSUB' : 'NUMSUB';
    const reply = await this.call(['PUBSUB', count, ...channels], timeout);
    return channels.map((_channel, i) => Number((reply as unknown[])[2 * i + 1]));
  }

  reset(): void {
    if (this.socket && this.mode === 'ready') {
      this.lose(this.socket, new RedisTimeoutError('the connection was dropped because Redis did not answer'));
    }
  }

  close(): Promise<void> {
    this.leave('closed', new Error('the connection was closed'));
    return Promise.resolve();
  }

  private open(): void {
    const { connectionName, sharded, listener } = this.options;
    const socket = this.connect({
      connectionName,
      sharded,
      onMessage: (channel, payload) => {
        if (this.socket === socket) {
          this.hasHeard = true;
          listener.onMessage?.(channel, payload);
        }
      },
      onClosed: (error) => this.lose(socket, error),
    });
    this.mode = 'opening';
    this.socket = socket;
    this.modeTimer = setTimeout(
      () => this.lose(socket, new RedisTimeoutError(`Redis did not answer within ${OPEN_TIMEOUT_MS} ms`)),
      OPEN_TIMEOUT_MS,
    );
    socket
      .open()
      .then(() => checkServer(socket, this.options))
      .then((warnings) => this.prepare(socket, warnings))
      .then(
        (warnings) => this.onOpened(socket, warnings),
        (error: Error) => this.lose(socket, error),
      );
  }

  private async prepare(socket: RedisSocket, warnings: string[]): Promise<string[]> {
    if (this.options.role !== 'subscriber') {
      await socket.takeOver?.();
    }
    return warnings;
  }

  private onOpened(socket: RedisSocket, warnings: readonly string[]): void {
    if (this.socket === socket) {
      clearTimeout(this.modeTimer);
      this.mode = 'ready';
      this.readySince = performance.now();
      this.startProbe(socket);
      for (const warning of warnings) {
        this.options.listener.onWarning?.(warning);
      }
      this.options.listener.onReady();
    }
  }

  /** A half-open connection on which nothing is sent would never end: nothing reports to this side that the other is gone. */
  private startProbe(socket: RedisSocket): void {
    const { probe } = this.options;
    if (!probe) {
      return;
    }
    this.hasHeard = false;
    this.probeTimer = setInterval(() => {
      if (!this.hasHeard && this.pending.isEmpty) {
        // A refusal is a sign of life as well; without any, the connection is reset.
        this.track('PING', probe.timeout, socket.call(['PING'])).catch(() => undefined);
      }
      this.hasHeard = false;
    }, probe.interval).unref();
  }

  private lose(socket: RedisSocket, cause: Error): void {
    if (this.socket !== socket) {
      return;
    }
    if (this.mode === 'ready' && performance.now() - this.readySince > STABLE_AFTER_MS) {
      this.backoff.reset();
    }
    const error = explain(cause, this.mode === 'opening' ? socket.refusal : undefined);
    this.leave('waiting', error);
    this.modeTimer = outsideContext(() => setTimeout(() => this.open(), this.backoff.next()));
    this.options.listener.onLost(error);
  }

  /** Ends the socket, and all that waits for it. */
  private leave(mode: 'waiting' | 'closed', error: Error): void {
    const { socket } = this;
    this.mode = mode;
    this.socket = undefined;
    this.lastError = error;
    clearTimeout(this.modeTimer);
    clearInterval(this.probeTimer);
    socket?.destroy();
    this.pending.rejectAll(error);
  }

  /** The socket for the next command, if it can be used. */
  private ask(asking: boolean): RedisSocket | undefined {
    const socket = this.mode === 'ready' ? this.socket : undefined;
    if (asking) {
      socket?.call(['ASKING']).catch(() => undefined); // then the reply of the command is an error too
    }
    return socket;
  }

  private usable(): RedisSocket {
    if (!this.socket || this.mode !== 'ready') {
      throw this.unavailable();
    }
    return this.socket;
  }

  private unavailable(): Error {
    return new RedisClientError(`Redis cannot be used now: ${this.lastError.message}`, { cause: this.lastError });
  }

  private exchange(command: Command, isRead: boolean, timeout: number, asking: boolean): Promise<unknown> {
    const socket = this.ask(asking);
    if (!socket) {
      return Promise.reject(this.unavailable());
    }
    return this.pending.issue<unknown>(
      String(command[0]),
      timeout,
      (onReply, onError) => {
        if (!socket.exchange?.(command, isRead, onReply, onError)) {
          (isRead ? socket.read(command) : socket.call(command)).then(onReply, onError);
        }
      },
      (error) => this.leaveIfWrong(socket, error),
    );
  }

  private track<T>(what: unknown, timeout: number, reply: Promise<T>): Promise<T> {
    const { socket } = this;
    return this.pending.track(String(what), timeout, reply, (error) => this.leaveIfWrong(socket, error));
  }

  /**
   * The right to MULTI was taken away: what was sent after it has been executed one by one, and would be again with each
   * try. Before another connection is ready, transactions are tried.
   */
  private onMultiRefused(socket: RedisSocket, cause: Error): Error {
    if (replyCode(cause) === undefined) {
      return cause;
    }
    const error = multiRefused(cause);
    this.lose(socket, error);
    return error;
  }

  private leaveIfWrong(socket: RedisSocket | undefined, error: Error): void {
    if (socket && isWrongServer(error)) {
      this.lose(socket, error);
    }
  }
}

/** A transaction by way of {@link RedisSocket.send}. Rejected if the reply to `EXEC` does not come. */
function transact(socket: RedisSocket, commands: readonly Command[], asking: boolean): Promise<TransactionOutcome> {
  const replies = socket.send([...(asking ? [['ASKING']] : []), ['MULTI'], ...commands, ['EXEC']]);
  const exec = replies.pop()!;
  const multi = asking ? 1 : 0;
  const outcome: TransactionOutcome = { exec: undefined };
  return new Promise((resolve, reject) => {
    replies.forEach((queued, i) => {
      queued.catch((error: Error) => {
        outcome.cause ??= error; // that of EXEC would only say that there was one
        if (i === multi) {
          outcome.multiRefused = error;
        }
        if (isProtocolError(error)) {
          resolve(outcome); // the server closes the connection, and no other reply comes
        }
      });
    });
    exec.then(
      (reply) => resolve({ ...outcome, exec: reply }),
      (error: Error) => (replyCode(error) === undefined ? reject(error) : resolve({ ...outcome, exec: error })),
    );
  });
}
