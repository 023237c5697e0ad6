import type { LogTarget } from '../stream/log-delivery.js';
import type { LogEntry } from '../wire/entry.js';
import { EMITTER_UID, nodeOf } from '../wire/server-uid.js';
import type { LocalNamespaces } from './local-namespaces.js';
import type { NodeRegistry } from './node-registry.js';
import type { RequestOrder } from './request-order.js';
import type { Subscriptions } from './subscriptions.js';

export interface EntryRouterParts {
  readonly nodeId: string;
  readonly namespaces: Pick<LocalNamespaces, 'has' | 'named'>;
  readonly registry: Pick<NodeRegistry, 'onTraffic'>;
  readonly order: Pick<RequestOrder, 'whenHandled'>;
  readonly subscriptions: Pick<Subscriptions, 'isComplete'>;
}

/** Finds the servers of this process for which an entry of a log is: those that have its namespace. */
export class EntryRouter implements LogTarget {
  constructor(private readonly parts: EntryRouterParts) {}

  deliver(entry: LogEntry, own: boolean): boolean {
    if (!entry.origin) {
      this.onTraffic(entry.uid, entry.nsp);
    }
    let isDelivered = false;
    const members = this.parts.namespaces.named(entry.nsp);
    if (members) {
      for (const member of members) {
        isDelivered = member.deliver(entry, own) || isDelivered;
      }
    }
    return isDelivered;
  }

  /** Requests are waited for that are handled here: another node's, of a namespace that is here and is subscribed. */
  whenRequestHandled(entry: LogEntry): Promise<void> | undefined {
    const { nodeId, namespaces, order, subscriptions } = this.parts;
    const isHandledHere = subscriptions.isComplete && nodeOf(entry.uid) !== nodeId && namespaces.has(entry.nsp);
    return isHandledHere ? order.whenHandled(entry) : undefined;
  }

  /** A server of another node has sent something; of nodes that have a heartbeat, this says nothing new. */
  onTraffic(uid: string, nsp: string): void {
    if (uid !== EMITTER_UID && nodeOf(uid) !== this.parts.nodeId) {
      this.parts.registry.onTraffic(uid, nsp);
    }
  }
}
