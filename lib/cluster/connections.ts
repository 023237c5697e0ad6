import type {
  ConnectionListener,
  ConnectionRole,
  ProbeOptions,
  RedisConnection,
  RedisDriver,
} from '../redis/driver.js';
import { ReconnectRetry } from '../redis/reconnect-retry.js';
import { isWrongServer, replyCode } from '../redis/reply-code.js';
import type { EventPublisher } from './event-publisher.js';
import { outsideContext } from '../redis/outside-context.js';

export interface ConnectionsOptions {
  nodeId: string;
  /** Whether PUB/SUB is sharded. */
  sharded: boolean;
  /** Milliseconds after which a command counts as unanswered. */
  commandTimeout: number;
  /** Whether servers are taken as they are. */
  skipServerCheck: boolean;
  /** How it is found out that the subscriber's server is gone without a word. */
  probe: ProbeOptions;
  /** What becomes of the connections, and what an operator should know of the server. */
  events: Pick<EventPublisher, 'emit' | 'warnOnce' | 'notifyStatus'>;
}

/** The connection that publishes, writes sessions, and appends what does not leave with a read. */
export const COMMANDS = 'commands';

/** The code with which a replica refuses what is appended. */
const READONLY = 'READONLY';

/** A node's connections to Redis: whoever asks whether Redis can be used asks here. */
export class Connections {
  /** In the order in which they were opened. */
  private readonly opened: RedisConnection[] = [];
  /** By the name of the connection: why it cannot be used. */
  private readonly lost = new Map<string, Error>();
  /** Since when one is lost, by the monotonic clock; only while changes are reported. */
  private lostSince: number | undefined;
  /** Whether a lost connection is an event: not while the node starts, nor while it closes. */
  private isReporting = false;
  /** The one of the name COMMANDS; undefined before it is opened. */
  private commands: RedisConnection | undefined;
  /** Runs commands again when the connection that failed them is back. */
  private readonly retries: ReconnectRetry;
  /** Who waits for a connection to be made for the first time, by its name. */
  private readonly waiting = new Map<string, () => void>();

  constructor(
    private readonly driver: RedisDriver,
    private readonly options: ConnectionsOptions,
  ) {
    this.retries = new ReconnectRetry(() => this.commands ?? { ready: false }, options.commandTimeout);
  }

  /**
   * Opens a connection.
   *
   * @param name - by which status and events call it
   * @param key - the only one that it is for, if it is a reader
   */
  open(role: ConnectionRole, name: string, listener: ConnectionListener, key?: string): RedisConnection {
    const { nodeId, sharded, skipServerCheck, probe } = this.options;
    const connection: RedisConnection = this.driver.open({
      ...{ role, sharded, skipServerCheck, connectionName: `redis-streams:${nodeId}:${role}` },
      ...(key !== undefined && { key }),
      ...(role === 'subscriber' && { probe }),
      listener: {
        onReady: () => outsideContext(() => this.onReady(name, listener)),
        onLost: (error) => outsideContext(() => this.onLost(name, error, listener, connection)),
        onWarning: (text) => this.options.events.warnOnce(text),
        onMessage: (channel, payload) => outsideContext(() => listener.onMessage?.(channel, payload)),
      },
    });
    this.opened.push(connection);
    if (role === 'commands') {
      this.commands = connection;
    }
    return connection;
  }

  /** Resolves when a connection can be used for the first time. To be called once for each, and before that. */
  whenReady(name: string): Promise<void> {
    return new Promise((resolve) => this.waiting.set(name, resolve));
  }

  isLost(name: string): boolean {
    return this.lost.has(name);
  }

  /** Why connections cannot be used, if they cannot. */
  reasons(): string[] {
    return [...this.lost].map(([name, error]) => `the ${name} connection is lost: ${error.message}`);
  }

  /** From now on, the loss of Redis is an event. Until then it is part of the start. */
  report(): void {
    this.isReporting = true;
  }

  /** Runs commands, again when the connection that failed them is back. @throws the last error */
  retry<T>(run: () => Promise<T>): Promise<T> {
    return this.retries.run(run);
  }

  /** Nothing is reported or tried again from now on. */
  stop(): void {
    this.isReporting = false;
    this.retries.close();
  }

  async close(): Promise<void> {
    await Promise.all(this.opened.map((connection) => connection.close()));
  }

  private onReady(name: string, listener: ConnectionListener): void {
    const wasLost = this.lost.delete(name);
    if (this.isReporting && wasLost && this.lost.size === 0 && this.lostSince !== undefined) {
      const afterMs = Math.round(performance.now() - this.lostSince);
      this.lostSince = undefined;
      this.options.events.emit({ type: 'redis-reconnected', afterMs });
    }
    this.options.events.notifyStatus();
    if (name === COMMANDS) {
      this.retries.onReady();
    }
    listener.onReady();
    this.waiting.get(name)?.();
    this.waiting.delete(name);
  }

  private onLost(name: string, error: Error, listener: ConnectionListener, connection: RedisConnection): void {
    this.lost.set(name, error);
    if (this.isReporting && this.lostSince === undefined) {
      this.lostSince = performance.now();
      this.options.events.emit({ type: 'redis-lost', error });
    }
    this.options.events.notifyStatus();
    listener.onLost(error);
    if (replyCode(error) === READONLY || (name === COMMANDS && isWrongServer(error))) {
      // What is only read is not refused: what comes on the others is another server's, from whatever moment on.
      this.opened.filter((other) => other !== connection).forEach((other) => other.reset());
    }
  }
}
