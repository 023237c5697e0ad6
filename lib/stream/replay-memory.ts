import { targetsOf, type LogEntry, type LogMessage, type Origin } from '../wire/entry.js';
import type { StreamId } from '../wire/stream-id.js';
import type { GivenCut } from './given-cut.js';
import type { Lane } from './lane.js';
import type { OutboxLimits } from './outbox.js';
import { OwnEntries } from './own-entries.js';
import type { OwnLanes } from './own-lanes.js';
import type { ReplayLog } from './replay-log.js';

/**
 * What is remembered for clients that will be recovered: what was read, and of this node's entries that are delivered here at
 * once, those that are not read back. Nothing before {@link begin}, for without recovery nobody asks.
 */
export class ReplayMemory {
  /** Undefined before {@link begin}. */
  private own: OwnEntries | undefined;

  /** @param cut - the offsets that go with what is collected */
  constructor(
    private readonly log: ReplayLog,
    private readonly lanes: OwnLanes,
    private readonly cut: Pick<GivenCut, 'offset' | 'offsetAt'>,
    private readonly outbox: OutboxLimits,
  ) {}

  /** @param position - where reading began, if that is known already */
  begin(position: StreamId | undefined): void {
    if (!this.own) {
      const { node, taken } = this.lanes.atOnce;
      const { maxEntries, maxBytes } = this.outbox;
      // What fits into the outbox, and as much again that was appended and is not read back. While an entry waits in the outbox,
      // its text is in memory only once.
      this.own = new OwnEntries(node, taken, { maxEntries: 2 * maxEntries, maxBytes: 2 * maxBytes });
      this.log.remember(this.own, position);
    }
  }

  /** @param data - of the message, encoded */
  onTaken(message: LogMessage, data: string, origin: Origin): void {
    if (this.own?.includes(origin)) {
      const { uid, nsp, type } = message;
      this.log.pushOwn({ uid, nsp, type, data, rooms: targetsOf(message), origin }, this.cut.offset);
    }
  }

  /** @param lane - of the entry, if it is this node's */
  onRead(entry: LogEntry, lane: Lane | undefined): void {
    if (this.own) {
      if (lane === this.lanes.atOnce) {
        this.own.readUpTo(lane.read);
      }
      this.log.push(entry, this.cut.offsetAt);
    }
  }

  /** An entry will never be appended. */
  onDropped(lane: Lane, seq: number): void {
    if (lane === this.lanes.atOnce) {
      this.own?.drop({ node: lane.node, seq });
    }
  }

  /** Own entries may be lost: they are not waited for. */
  onProgress(): void {
    this.own?.readUpTo(this.lanes.atOnce.read);
  }
}
