import type { SessionStore } from '../session/session-store.js';
import type { StreamLog } from '../stream/stream-log.js';
import { decodeControlMessage, type Heartbeat, type NodeInfo } from '../wire/control.js';
import type { Heartbeats } from './heartbeats.js';
import type { NodeCounters } from './node-counters.js';
import type { NodeRegistry } from './node-registry.js';
import type { RequestBus } from './request-bus.js';
import type { ReturningPeers } from './returning-peers.js';
import type { SessionHandover } from './session-handover.js';
import type { Subscriptions } from './subscriptions.js';

/** A stream of this node, as far as nodes announce what they append to it. */
type AnnouncedLog = Pick<
  StreamLog,
  'name' | 'isReading' | 'lastAppended' | 'announce' | 'onNodeReading' | 'onNodeLeft'
>;

export interface ControlMessagesOptions {
  nodeId: string;
  /** Whether this node only wants to know who is there. */
  observer: boolean;
  logs: readonly AnnouncedLog[];
  subscriptions: Pick<Subscriptions, 'isComplete'>;
  heartbeats: Pick<Heartbeats, 'onOwn' | 'onPing'>;
  bus: Pick<RequestBus, 'hearing'>;
  registry: Pick<NodeRegistry, 'onHeartbeat' | 'onGoodbye'>;
  returning: Pick<ReturningPeers, 'onBack' | 'onLeft'>;
  sessions: Pick<SessionStore, 'isVerified'>;
  handover: Pick<SessionHandover, 'onRequest' | 'onResponse'>;
  counters: Pick<NodeCounters, 'count'>;
  /** What this node says of itself. */
  info(): NodeInfo;
}

/** What nodes say to each other on the control channel: what this node's heartbeat says, and who is given what others say. */
export class ControlMessages {
  constructor(private readonly options: ControlMessagesOptions) {}

  /** What a heartbeat says now. */
  heartbeat(): Omit<Heartbeat, 'kind'> {
    const { nodeId, logs, subscriptions, sessions, observer, bus } = this.options;
    const streams: Heartbeat['streams'] = {};
    for (const log of logs) {
      const { seq, id, direct } = log.lastAppended;
      streams[log.name] = [seq, id, direct];
      log.announce(nodeId, seq, id, direct); // what is lost unread is lost for this node too
    }
    // Whoever waits for this node to be back waits for both: it reads, and hears what it is asked.
    const reading = logs.every((log) => log.isReading) && subscriptions.isComplete;
    const { hearing } = bus;
    return { node: this.options.info(), reading, settled: sessions.isVerified, streams, hearing, observer };
  }

  /** A message, this node's own among them. @throws Error if it is none */
  receive(payload: Uint8Array): void {
    const { nodeId, logs, heartbeats, registry, returning, handover } = this.options;
    const message = decodeControlMessage(
      payload,
      logs.map(({ name }) => name),
    );
    if (message.node.id === nodeId) {
      heartbeats.onOwn();
      return;
    }
    switch (message.kind) {
      case 'heartbeat':
      case 'ping':
        this.onHeartbeat(message);
        break;
      case 'goodbye':
        registry.onGoodbye(message.node.id);
        returning.onLeft(message.node.id);
        logs.forEach((log) => log.onNodeLeft(message.node.id));
        break;
      case 'session-request':
        void handover.onRequest(message);
        break;
      case 'session-response':
        handover.onResponse(message);
        break;
    }
  }

  private onHeartbeat({ kind, node, reading, settled, streams, hearing, observer }: Heartbeat): void {
    const { logs, heartbeats, registry, returning, counters } = this.options;
    counters.count('receivedHeartbeats');
    if (!observer) {
      registry.onHeartbeat(node, hearing);
    }
    if (reading && settled) {
      returning.onBack(node.id);
    }
    for (const log of logs) {
      if (reading) {
        log.onNodeReading(node.id);
      }
      const last = streams[log.name];
      if (last) {
        log.announce(node.id, ...last);
      }
    }
    if (kind === 'ping') {
      heartbeats.onPing();
    }
  }
}
