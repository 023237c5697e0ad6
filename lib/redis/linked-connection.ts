import { isNativeError } from 'node:util/types';
import { Backoff } from './backoff.js';
import {
  RedisTimeoutError,
  type Command,
  type ConnectionListener,
  type ProbeOptions,
  type RedisConnection,
} from './driver.js';
import type { Link, LinkOptions } from './link.js';
import { isWrongServer } from './reply-code.js';
import { checkServer } from './server-check.js';
import { UnderWay } from './under-way.js';

/** Milliseconds in which a server must have accepted a connection and answered the first commands. */
const OPEN_TIMEOUT = 5_000;

export interface LinkedConnectionOptions {
  connectionName: string;
  sharded: boolean;
  /** Whether a replica will not do. */
  writable: boolean;
  probe?: ProbeOptions | undefined;
  listener: ConnectionListener;
}

/**
 * A connection to one server that comes back for ever, as a succession of {@link Link}s.
 *
 * Modes:
 * - opening: a link is being made, for at most OPEN_TIMEOUT.
 * - ready: commands are sent. A reply of a wrong server, the end of the link, and `reset` lead to:
 * - waiting: there is no link; the next is made after a pause that grows with each failure.
 * - closed.
 *
 * Reconnecting is done here and not by the client library, so that it is certain that what was under way is rejected
 * at once with the real reason, that nothing is sent twice, and that a server that has fallen silent is left at once.
 */
export class LinkedConnection implements RedisConnection {
  private readonly backoff = new Backoff();
  private readonly underWay = new UnderWay(() => this.reset());
  private link: Link | undefined;
  private isReady = false;
  private isClosed = false;
  private openTimer: NodeJS.Timeout | undefined;
  private waitTimer: NodeJS.Timeout | undefined;
  private probeTimer: NodeJS.Timeout | undefined;
  /** Whether a message has arrived since the last look of the probe: then the server is there. */
  private hasHeard = false;
  private lastError = new Error('the connection is being opened');

  constructor(
    private readonly connect: (options: LinkOptions) => Link,
    private readonly options: LinkedConnectionOptions,
  ) {
    this.open();
  }

  get ready(): boolean {
    return this.isReady;
  }

  /** Whether an answer is being waited for. */
  get isBusy(): boolean {
    return !this.underWay.isEmpty;
  }

  /** Why the connection cannot be used, if it cannot. */
  get error(): Error {
    return this.lastError;
  }

  /** @param asking - whether the server is asked for a key of a slot that it is still importing (Redis Cluster) */
  call(command: Command, timeout = Infinity, asking = false): Promise<unknown> {
    const link = this.ask(asking);
    return link ? this.track(command[0], timeout, link.call(command)) : Promise.reject(this.unavailable());
  }

  /** @param asking - as for {@link call} */
  read(command: Command, timeout = Infinity, asking = false): Promise<unknown> {
    const link = this.ask(asking);
    return link ? this.track(command[0], timeout, link.read(command)) : Promise.reject(this.unavailable());
  }

  async transaction(commands: readonly Command[], timeout = Infinity, asking = false): Promise<unknown[]> {
    const link = this.usable();
    const replies = link.send([...(asking ? [['ASKING']] : []), ['MULTI'], ...commands, ['EXEC']]);
    const exec = replies.pop()!;
    // The first error is the cause; that of EXEC would only say that there was one.
    let cause: Error | undefined;
    const note = (error: Error): Error => (cause ??= error);
    for (const queued of replies) {
      queued.catch(note);
    }
    const results = await this.track(commands[0]?.[0], timeout, exec).catch((error: Error) => {
      if (this.link !== link || !cause) {
        throw error;
      }
      this.leaveIfWrong(link, cause);
      throw cause;
    });
    if (!Array.isArray(results)) {
      throw new Error('the transaction was aborted');
    }
    const failed = (results as unknown[]).find(isNativeError);
    if (failed) {
      throw failed;
    }
    return results as unknown[];
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
    if (this.link && this.isReady) {
      this.lose(this.link, new RedisTimeoutError('the connection was dropped because Redis did not answer'));
    }
  }

  close(): Promise<void> {
    this.isClosed = true;
    this.drop(new Error('the connection was closed'));
    return Promise.resolve();
  }

  private open(): void {
    const { connectionName, sharded, listener } = this.options;
    const link = this.connect({
      connectionName,
      sharded,
      onMessage: (channel, payload) => {
        if (this.link === link) {
          this.hasHeard = true;
          listener.onMessage?.(channel, payload);
        }
      },
      onClosed: (error) => this.lose(link, error),
    });
    this.link = link;
    this.openTimer = setTimeout(
      () => this.lose(link, new RedisTimeoutError(`Redis did not answer within ${OPEN_TIMEOUT} ms`)),
      OPEN_TIMEOUT,
    );
    link
      .open()
      .then(() => checkServer(link, this.options))
      .then(
        () => this.onOpened(link),
        (error: Error) => this.lose(link, error),
      );
  }

  private onOpened(link: Link): void {
    if (this.link === link) {
      clearTimeout(this.openTimer);
      this.backoff.reset();
      this.isReady = true;
      this.startProbe(link);
      this.options.listener.onReady();
    }
  }

  /** A half-open connection on which nothing is sent would never end: nobody tells this side that the other is gone. */
  private startProbe(link: Link): void {
    const { probe } = this.options;
    if (!probe) {
      return;
    }
    this.hasHeard = false;
    this.probeTimer = setInterval(() => {
      if (!this.hasHeard && this.underWay.isEmpty) {
        // A refusal is a sign of life as well; without any, the connection is reset.
        this.track('PING', probe.timeout, link.call(['PING'])).catch(() => undefined);
      }
      this.hasHeard = false;
    }, probe.interval).unref();
  }

  private lose(link: Link, error: Error): void {
    if (this.link !== link) {
      return;
    }
    this.drop(error);
    this.waitTimer = setTimeout(() => this.open(), this.backoff.next());
    this.options.listener.onLost(error);
  }

  private drop(error: Error): void {
    const { link } = this;
    this.link = undefined;
    this.isReady = false;
    this.lastError = error;
    clearTimeout(this.openTimer);
    clearTimeout(this.waitTimer);
    clearInterval(this.probeTimer);
    link?.destroy();
    this.underWay.rejectAll(error);
  }

  /** The link for the next command, if it can be used. */
  private ask(asking: boolean): Link | undefined {
    const link = this.isReady ? this.link : undefined;
    if (asking) {
      link?.call(['ASKING']).catch(() => undefined); // then the reply of the command is an error too
    }
    return link;
  }

  private usable(): Link {
    if (!this.link || !this.isReady) {
      throw this.unavailable();
    }
    return this.link;
  }

  private unavailable(): Error {
    return new Error(`Redis cannot be used now: ${this.lastError.message}`, { cause: this.lastError });
  }

  private track<T>(what: unknown, timeout: number, reply: Promise<T>): Promise<T> {
    const { link } = this;
    return this.underWay.track(String(what), timeout, reply, (error) => this.leaveIfWrong(link, error));
  }

  private leaveIfWrong(link: Link | undefined, error: Error): void {
    if (link && !this.isClosed && isWrongServer(error)) {
      this.lose(link, error);
    }
  }
}
