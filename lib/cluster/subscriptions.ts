import { Backoff } from '../redis/backoff.js';
import type { RedisConnection } from '../redis/driver.js';
import { outsideContext } from '../redis/outside-context.js';

/** How many channels one command names at most, so that neither Redis nor the connection is busy with it for long. */
const PIECE_CHANNELS = 500;
/** How many commands are spent in a row on finding out which of several channels it is that Redis refuses. */
const MAX_SPLITS = 64;
/** Milliseconds from one try of refused channels to the next, at most. */
const MAX_PAUSE_MS = 5_000;

export interface SubscriptionsOptions {
  /** The channel that is subscribed to before all others. */
  first: string;
  /** Milliseconds after which a command counts as unanswered. */
  commandTimeout: number;
  /** Called when all channels are subscribed, at first or again. */
  onComplete(): void;
  /** Called with channels that were added since, and are heard now. */
  onAdded(channels: readonly string[]): void;
  /** Called when not all are heard any more, and until it is so again whenever other channels are heard, or may be. */
  onBroken(): void;
}

/**
 * The channels that this node listens to.
 *
 * They are a set that is wanted, and what Redis has of it is brought in line, in pieces and by one command at a time.
 * Changes that come meanwhile are part of the next piece. When the connection is back, all are subscribed again. What
 * Redis refuses is tried again after a pause that grows, without the others waiting for it.
 */
export class Subscriptions {
  /** The channels that are to be heard. */
  private readonly wanted = new Set<string>();
  /** Those that Redis has. */
  private readonly active = new Set<string>();
  /** Those that may have to be subscribed or unsubscribed, in this order. */
  private readonly pending = new Set<string>();
  /** Those that Redis has refused, and why. */
  private readonly refused = new Map<string, Error>();
  /** The pauses before channels that were refused are tried again. */
  private readonly backoff = new Backoff(100, MAX_PAUSE_MS);
  /** Runs while channels that were refused are tried again later. */
  private retryTimer: NodeJS.Timeout | undefined;
  /** Those that have come to be heard since the pieces are being sent. */
  private added: string[] = [];
  /** Whether pieces are being sent. */
  private isRunning = false;
  /** Whether all were subscribed, but for what was added since. */
  private wasComplete = false;
  /** How often that has ended. */
  private lossCount = 0;
  /** Counts the connections, for answers of an earlier one say nothing about this one. */
  private connections = 0;
  /** Set by `close`: nothing is tried any more. */
  private isClosed = false;
  /** Who waits for all channels to be heard. */
  private readonly waiting: (() => void)[] = [];

  constructor(
    private readonly connection: () => Pick<RedisConnection, 'ready' | 'subscribe' | 'unsubscribe'>,
    private readonly options: SubscriptionsOptions,
  ) {
    this.wanted.add(options.first);
  }

  /** Whether the first channel is heard, whatever becomes of the others. */
  get canHear(): boolean {
    return this.active.has(this.options.first);
  }

  /** Whether all channels are heard. */
  get isComplete(): boolean {
    return this.canHear && this.pending.size === 0 && this.refused.size === 0;
  }

  /** How often channels were lost that had been heard. */
  get losses(): number {
    return this.lossCount;
  }

  /** Whether channels are lost that had been heard, and are not all heard again. */
  get isBroken(): boolean {
    return this.lossCount > 0 && !this.wasComplete;
  }

  has(channel: string): boolean {
    return this.active.has(channel);
  }

  /** Resolves when all channels are heard for the first time. */
  whenComplete(): Promise<void> {
    return this.isComplete ? Promise.resolve() : new Promise((resolve) => this.waiting.push(resolve));
  }

  /** Why channels are not heard although there is a connection. */
  reasons(): string[] {
    const [first] = this.refused;
    if (!first) {
      return [];
    }
    const more = this.refused.size > 1 ? ` (and ${this.refused.size - 1} more)` : '';
    return [`the channel "${first[0]}"${more} cannot be subscribed to: ${first[1].message}`];
  }

  add(channels: readonly string[]): void {
    channels.forEach((channel) => this.wanted.add(channel));
    this.change(channels);
  }

  remove(channels: readonly string[]): void {
    channels.forEach((channel) => this.wanted.delete(channel));
    channels.forEach((channel) => this.refused.delete(channel));
    this.change(channels);
  }

  /** To be called when the connection can be used: at first, and again after each loss. */
  onReady(): void {
    this.connections++;
    this.clear();
    this.backoff.reset();
    this.wanted.forEach((channel) => this.pending.add(channel));
    this.schedule();
  }

  /** To be called when the connection is lost, and with it all subscriptions. */
  onLost(): void {
    this.connections++;
    this.clear();
    if (this.isBroken) {
      this.options.onBroken();
    }
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.retryTimer);
  }

  private clear(): void {
    this.active.clear();
    this.pending.clear();
    this.refused.clear();
    this.setComplete(false);
    clearTimeout(this.retryTimer);
    this.retryTimer = undefined;
  }

  private change(channels: readonly string[]): void {
    if (this.connection().ready) {
      channels.forEach((channel) => this.pending.add(channel));
      this.schedule();
    } // else all are subscribed when the connection is ready
  }

  private schedule(): void {
    if (!this.isRunning && !this.isClosed) {
      this.isRunning = true;
      outsideContext(() => queueMicrotask(() => void this.run())); // with the other changes that are made now
    }
  }

  private async run(): Promise<void> {
    while (this.pending.size > 0 && this.connection().ready && !this.isClosed) {
      const { subscribe, unsubscribe } = this.nextPiece();
      const { connections } = this;
      await this.send('subscribe', subscribe, connections);
      await this.send('unsubscribe', unsubscribe, connections);
    }
    this.isRunning = false;
    this.onProgress();
  }

  private nextPiece(): { subscribe: string[]; unsubscribe: string[] } {
    const subscribe: string[] = [];
    const unsubscribe: string[] = [];
    // The first channel goes alone, so that this node is heard of, and hears, before it has a thousand others.
    const size = this.canHear || this.refused.has(this.options.first) ? PIECE_CHANNELS : 1;
    for (const channel of this.pending) {
      if (subscribe.length + unsubscribe.length === size) {
        break;
      }
      this.pending.delete(channel);
      if (this.wanted.has(channel) !== this.active.has(channel)) {
        (this.wanted.has(channel) ? subscribe : unsubscribe).push(channel);
      }
    }
    return { subscribe, unsubscribe };
  }

  /** Sends a command, or several to find out which of the channels it is that Redis refuses. */
  private async send(how: 'subscribe' | 'unsubscribe', channels: string[], connections: number): Promise<void> {
    const pieces = channels.length > 0 ? [channels] : [];
    let splits = 0;
    for (let piece = pieces.shift(); piece; piece = pieces.shift()) {
      try {
        await this.connection()[how](piece, this.options.commandTimeout);
        if (this.connections === connections) {
          piece.forEach((channel) => this.onDone(how, channel));
        }
      } catch (error) {
        if (this.connections !== connections || !this.connection().ready) {
          return; // all are subscribed again when it is back
        }
        if (piece.length === 1 || splits >= MAX_SPLITS) {
          piece.forEach((channel) => this.onRefused(channel, error as Error));
        } else {
          splits++;
          const middle = Math.ceil(piece.length / 2);
          pieces.push(piece.slice(0, middle), piece.slice(middle));
        }
      }
    }
  }

  private onDone(how: 'subscribe' | 'unsubscribe', channel: string): void {
    this.refused.delete(channel);
    if (how === 'subscribe') {
      this.active.add(channel);
      this.added.push(channel);
    } else {
      this.active.delete(channel);
    }
    if (this.wanted.has(channel) !== this.active.has(channel)) {
      this.pending.add(channel); // it was changed meanwhile
    }
  }

  private onRefused(channel: string, error: Error): void {
    if (this.wanted.has(channel)) {
      this.refused.set(channel, error);
      this.retryTimer ??= setTimeout(() => this.retry(), this.backoff.next()).unref();
    }
  }

  private retry(): void {
    this.retryTimer = undefined;
    for (const channel of this.refused.keys()) {
      this.pending.add(channel);
    }
    this.schedule();
  }

  private onProgress(): void {
    const { isComplete, wasComplete } = this;
    const added = this.added.splice(0);
    this.setComplete(isComplete || (wasComplete && this.refused.size === 0));
    if (isComplete && !wasComplete) {
      this.backoff.reset();
      this.options.onComplete();
      this.waiting.splice(0).forEach((resolve) => resolve());
    } else if (this.isBroken) {
      this.options.onBroken();
    } else if (added.length > 0) {
      this.options.onAdded(added);
    }
  }

  private setComplete(isComplete: boolean): void {
    this.lossCount += Number(this.wasComplete && !isComplete);
    this.wasComplete = isComplete;
  }
}
