import { within } from '../time/within.js';
import type { LogEntry } from '../wire/entry.js';
import type { AdmittedTarget } from './entry-admission.js';
import type { GivenCut } from './given-cut.js';
import type { OwnLanes } from './own-lanes.js';
import type { ReplayMemory } from './replay-memory.js';

/** Milliseconds for which an entry waits for the request that must come before it. */
const MAX_REQUEST_WAIT_MS = 100;

/** What entries are delivered to that are in the log. */
export interface LogTarget {
  /**
   * Asked before an entry with {@link LogEntry.bus} is delivered: that request must have come first. It is waited for, but
   * for {@link MAX_REQUEST_WAIT_MS} milliseconds at most. Undefined if it has come, or will not.
   */
  whenRequestHandled(entry: LogEntry): Promise<void> | undefined;
  /** @param own - whether this node appended it. Returns whether somebody here was given it. */
  deliver(entry: LogEntry, own: boolean): boolean;
}

/**
 * What happens to an entry when it is read, in this order:
 * 1. Local work that was to be done before it is done ({@link DueWork}).
 * 2. It counts as read back, if it is this node's; so whoever asks during its delivery ({@link GivenCut}) has it in the cut.
 * 3. It is remembered, and collected for the clients that are being recovered: a client that joins during its delivery
 *    has it already.
 * 4. It is delivered.
 */
export class LogDelivery implements AdmittedTarget {
  /** Entries that somebody here was given when they were read. */
  delivered = 0;

  constructor(
    private readonly lanes: OwnLanes,
    private readonly cut: GivenCut,
    private readonly memory: ReplayMemory,
    private readonly target: LogTarget,
  ) {}

  before(entry: LogEntry): Promise<void> | undefined {
    const handled = entry.bus === undefined ? undefined : this.target.whenRequestHandled(entry);
    if (!handled) {
      return undefined;
    }
    return within(
      MAX_REQUEST_WAIT_MS,
      handled.catch(() => undefined),
    );
  }

  onRead(entry: LogEntry): boolean {
    this.cut.onChange();
    const lane = this.lanes.of(entry.origin?.node);
    lane?.onRead(entry.origin!.seq);
    this.memory.onRead(entry, lane);
    return lane !== undefined;
  }

  deliver(entry: LogEntry, own: boolean): void {
    this.delivered += Number(this.target.deliver(entry, own));
  }
}
