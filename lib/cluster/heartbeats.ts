import type { ControlMessage, Heartbeat } from '../wire/control.js';
import type { HearingClock } from './hearing-clock.js';
import type { Subscriptions } from './subscriptions.js';

/** Milliseconds after which it is said again that this node does not hear, at first. */
const FIRST_REPEAT_MS = 100;
/** Milliseconds from one answer to the pings of others to the next. */
const ANSWER_INTERVAL_MS = 20;

export interface HeartbeatsOptions {
  /** Milliseconds. */
  heartbeatInterval: number;
  /** Milliseconds. */
  heartbeatTimeout: number;
  clock: HearingClock;
  /** What a heartbeat says now. */
  describe(): Omit<Heartbeat, 'kind'>;
  publish(message: ControlMessage): Promise<void>;
  /** Whether this node is subscribed, as far as it knows. */
  subscriptions: Pick<Subscriptions, 'canHear' | 'isBroken'>;
  /** Called with each regular heartbeat. */
  onBeat(): void;
  /** Called several times in a heartbeat interval, after the clock was set. */
  onCheck(): void;
  /** Called when this node's heartbeats are published but do not come back: its subscriber connection is half-open. */
  onDeaf(): void;
}

/**
 * Says regularly that this node is alive, asks others for the same, and notices when it does not hear itself.
 *
 * Modes: silent, until `start` and from `stop` on; present, between them.
 */
export class Heartbeats {
  /** See above. Changed by `start` and `stop`. */
  private mode: 'silent' | 'present' = 'silent';
  /** Runs from `start` to `pause`: the regular heartbeats. */
  private beatTimer: NodeJS.Timeout | undefined;
  /** Runs as long: the looks whether this node hears itself. */
  private checkTimer: NodeJS.Timeout | undefined;
  /** Runs while pings are not answered at once. */
  private answerTimer: NodeJS.Timeout | undefined;
  /** Runs while this node does not hear all that it should: until that is said again. */
  private repeatTimer: NodeJS.Timeout | undefined;
  /** Whether there was a ping meanwhile. */
  private isAnswerDue = false;
  /** The ping that all calls of this turn have in common. */
  private pingImmediate: NodeJS.Immediate | undefined;
  /** When this node last heard itself, by the hearing clock. */
  private heardOwnAt = 0;
  /** Why the last heartbeat could not be published. */
  private lastError: Error | undefined;

  constructor(private readonly options: HeartbeatsOptions) {}

  get error(): Error | undefined {
    return this.lastError;
  }

  start(): void {
    const { heartbeatInterval } = this.options;
    this.mode = 'present';
    this.heardOwnAt = this.options.clock.time;
    this.beatTimer = setInterval(() => this.onInterval(), heartbeatInterval);
    this.checkTimer = setInterval(() => this.check(), Math.max(5, Math.min(1_000, heartbeatInterval / 5)));
    this.publish('ping');
  }

  /** The regular heartbeats end; pings are answered still. */
  pause(): void {
    clearInterval(this.beatTimer);
    clearInterval(this.checkTimer);
  }

  stop(): void {
    this.pause();
    this.mode = 'silent';
    clearTimeout(this.answerTimer);
    clearTimeout(this.repeatTimer);
    clearImmediate(this.pingImmediate);
  }

  /** Publishes a heartbeat now. */
  beat(): void {
    if (this.mode === 'present') {
      this.publish('heartbeat');
    }
  }

  /**
   * To be called when this node does not hear all that it should. Says so now, and again after pauses that double as long as
   * that is so: the others may not hear either. Who hears again after a while has been told after as long again.
   */
  onBroken(): void {
    if (this.mode === 'silent') {
      return;
    }
    this.beat();
    clearTimeout(this.repeatTimer);
    this.repeatAfter(FIRST_REPEAT_MS);
  }

  /** Asks all others for a heartbeat. Calls of one turn are one ping. */
  ping(): void {
    this.pingImmediate ??= setImmediate(() => {
      this.pingImmediate = undefined;
      if (this.mode === 'present') {
        this.publish('ping');
      }
    });
  }

  /** To be called when another node asks for a heartbeat. Many pings at once have one answer at once, and one after. */
  onPing(): void {
    if (this.answerTimer) {
      this.isAnswerDue = true;
      return;
    }
    this.beat();
    this.answerTimer = setTimeout(() => {
      this.answerTimer = undefined;
      if (this.isAnswerDue) {
        this.isAnswerDue = false;
        this.onPing();
      }
    }, ANSWER_INTERVAL_MS).unref();
  }

  /** To be called when this node hears itself. */
  onOwn(): void {
    this.heardOwnAt = this.options.clock.time;
  }

  private repeatAfter(pause: number): void {
    this.repeatTimer = setTimeout(() => {
      if (this.options.subscriptions.isBroken) {
        this.beat();
        this.repeatAfter(Math.min(2 * pause, this.options.heartbeatInterval));
      }
    }, pause).unref();
  }

  private onInterval(): void {
    this.publish('heartbeat');
    this.options.onBeat();
  }

  private check(): void {
    const { clock, heartbeatTimeout } = this.options;
    const { canHear } = this.options.subscriptions;
    clock.tick(canHear);
    if (!canHear || this.lastError) {
      this.heardOwnAt = clock.time;
    } else if (clock.time - this.heardOwnAt > heartbeatTimeout) {
      this.heardOwnAt = clock.time;
      this.options.onDeaf();
    }
    this.options.onCheck();
  }

  private publish(kind: Heartbeat['kind']): void {
    this.options.publish({ kind, ...this.options.describe() }).then(
      () => (this.lastError = undefined),
      (error: Error) => (this.lastError = error),
    );
  }
}
