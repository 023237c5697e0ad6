import type { MessageRefused } from '../stream/events.js';
import type { NotCarried } from '../wire/carried.js';
import type { EventPublisher } from './event-publisher.js';
import { noCounts, noRefusals, type ClusterNodeStatus, type RecoveryRefusal } from './events.js';

/** Counts what an operator should know of, and emits the events of it. */
export class NodeCounters {
  /** Totals since the start. */
  private readonly totals = noCounts();
  /** How many clients were not recovered, by the reason. */
  private readonly refusals: Record<RecoveryRefusal, number> = noRefusals();

  constructor(private readonly events: Pick<EventPublisher, 'emit' | 'emitOnce'>) {}

  /** What has no event. */
  count(what: Exclude<keyof ClusterNodeStatus['counters'], 'rejectedMessages' | 'refusedRecoveries'>): void {
    this.totals[what]++;
  }

  /** A message was passed over. The first one for each reason is an event. */
  reject(channel: string, reason: string): void {
    this.totals.rejectedMessages++;
    this.events.emitOnce({ type: 'message-rejected', channel, reason }, reason);
  }

  /** A client that came back is not recovered. */
  refuseRecovery(namespace: string, reason: RecoveryRefusal): void {
    this.totals.refusedRecoveries++;
    this.refusals[reason]++;
    this.events.emit({ type: 'recovery-refused', namespace, reason });
  }

  /** A socket has something that other nodes cannot be given. Not counted; the first of each kind is an event. */
  leaveOut(namespace: string, { path, reason }: NotCarried): void {
    this.events.emitOnce({ type: 'data-left-out', namespace, path, reason }, `${path} ${reason}`);
  }

  /** A message that went by PUB/SUB was refused for its size. Not counted; the first of each kind is an event. */
  refuseMessage(refused: Omit<MessageRefused, 'type'>): void {
    this.events.emitOnce({ type: 'message-refused', ...refused }, `${refused.message} ${refused.namespace}`);
  }

  status(): Pick<ClusterNodeStatus, 'counters' | 'refusedRecoveries'> {
    return { counters: { ...this.totals }, refusedRecoveries: { ...this.refusals } };
  }
}
