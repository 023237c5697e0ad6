import { ReportedKinds } from '../stream/reported-kinds.js';
import { callApp } from './app-code.js';
import { logEvent } from './describe-event.js';
import type { ClusterEvent, NodeStatus } from './events.js';
import type { RedisStreamsLogger } from './logger.js';

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
  /** Events that are to be emitted once. */
  private readonly emitted = new ReportedKinds();
  /** Warnings that are to be logged once. */
  private readonly warned = new ReportedKinds();

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

  /** Emits the event the first time that it comes with this reason; after many reasons, new ones are not emitted. */
  emitOnce(event: ClusterEvent, reason: string): void {
    if (this.emitted.isFirst(`${event.type} ${'operation' in event ? event.operation : ''} ${reason}`)) {
      this.emit(event);
    }
  }

  /** Logs a warning the first time: a connection, for one, has it each time it is made. */
  warnOnce(text: string): void {
    if (this.warned.isFirst(text)) {
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
      callApp(() => call(listener));
    }
  }
}
