import { logEvent } from './describe-event.js';
import type { ClusterEvent, NodeStatus } from './events.js';
import type { RedisStreamsLogger } from './logger.js';

/** How many different reasons of one node are events; after that, they are counted only. */
const MAX_REPORTED = 200;

/** What a subscriber of a node is called with. An exception that it throws is uncaught, as one of an event listener. */
export interface ClusterNodeListener {
  /** Something has happened. */
  onEvent?(event: ClusterEvent): void;
  /** The list of nodes, or the state of one, has changed. */
  onNodes?(nodes: NodeStatus[]): void;
  /** The node's own status may have changed. */
  onStatus?(): void;
}

/** Hands a node's events to its log and to those who have subscribed. */
export class EventPublisher {
  private readonly listeners = new Set<ClusterNodeListener>();
  /** What was emitted or logged, of what is to be so once. */
  private readonly reported = new Set<string>();

  constructor(
    private readonly logger: RedisStreamsLogger,
    private readonly nodes: () => NodeStatus[],
  ) {}

  /** Calls the listener's methods until the function that is returned is called. */
  subscribe(listener: ClusterNodeListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  emit(event: ClusterEvent): void {
    logEvent(event, this.logger);
    this.notify((listener) => listener.onEvent?.(event));
    this.notifyStatus();
  }

  /** Emits the event the first time that it comes with this reason. */
  emitOnce(event: ClusterEvent, reason: string): void {
    const what = `${event.type} ${'operation' in event ? event.operation : ''} ${reason}`;
    if (!this.reported.has(what) && this.reported.size < MAX_REPORTED) {
      this.reported.add(what);
      this.emit(event);
    }
  }

  /** Logs a warning the first time: a connection, for one, has it each time it is made. */
  warnOnce(text: string): void {
    if (!this.reported.has(text)) {
      this.reported.add(text);
      this.logger.warn(text);
    }
  }

  notifyNodes(): void {
    if (this.listeners.size > 0) {
      const nodes = this.nodes();
      this.notify((listener) => listener.onNodes?.(nodes));
    }
  }

  notifyStatus(): void {
    this.notify((listener) => listener.onStatus?.());
  }

  private notify(call: (listener: ClusterNodeListener) => void): void {
    for (const listener of [...this.listeners]) {
      try {
        call(listener);
      } catch (error) {
        // It goes where that of an event listener would, without harm to what was happening here.
        setImmediate(() => {
          throw error;
        });
      }
    }
  }
}
