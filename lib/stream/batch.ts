import type { Command } from '../redis/driver.js';
import { RedisClientError } from '../redis/errors.js';
import { isMultiRefused } from '../redis/multi-refused.js';
import { sizeVerdict } from '../redis/size-refusal.js';
import { encodeOrigin } from '../wire/entry.js';
import type { Outbox, OutboxEntry } from './outbox.js';

const BATCH_ENTRIES = 512;
const BATCH_BYTES = 1024 * 1024;
/** However often batches are refused for their size, they are not made smaller than this. */
const MIN_BATCH_BYTES = 16 * 1024;
/** A large entry that is sent alone is dropped when the connection was lost so many times meanwhile, and never was answered. */
const MAX_LOSSES = 4;

const NONE: readonly OutboxEntry[] = [];
const NO_TRIM: readonly string[] = [];

/** What a failure says of the entries that were sent, if one of them may be what is refused, because of itself. */
export interface SearchStep {
  /** The entry that is refused, if it was found. It is not in the batch any more. */
  readonly refused: OutboxEntry | undefined;
  /** Whether Redis has said so, so that the next try need not wait. */
  readonly isSaid: boolean;
}

/**
 * The entries that a publisher has under way, or must send again, in order.
 *
 * All of them are sent at once, unless they were refused for their size: then what comes before the largest is sent, then the
 * largest alone, then the rest, so that what is too large is found and all others are appended.
 */
export class Batch {
  /** Oldest first. */
  private entries: readonly OutboxEntry[] = NONE;
  /** About how many bytes they take. */
  private byteCount = 0;
  /** How many entries are sent at once. Less than all if they were refused: one may be what is refused. */
  private sendCount = 0;
  /** Whether it was sent before. */
  private isResent = false;
  /** How often in a row the connection was lost while the entry at the head was sent alone. */
  private losses = 0;
  /** An entry of so many bytes was refused last; the next one so large is given up after the first loss. */
  private refusedBytes = Infinity;
  /** Whether another command was answered right before it was sent. */
  private isConnectionProved = false;
  /** How large batches are: smaller if a server refuses larger ones, and single entries if it allows no transactions. */
  private readonly limit = { entries: BATCH_ENTRIES, bytes: BATCH_BYTES };

  get length(): number {
    return this.entries.length;
  }

  get bytes(): number {
    return this.byteCount;
  }

  get oldest(): OutboxEntry | undefined {
    return this.entries[0];
  }

  /** Whether another command must be answered before the entries are sent, to show that the connection is good. */
  get needsProof(): boolean {
    return this.losses > 0;
  }

  /** Takes the next entries out of the outbox. @param window - how many may be appended at most; undefined: any number */
  fill(outbox: Outbox, window: number | undefined): void {
    const entries: OutboxEntry[] = [];
    let bytes = 0;
    let room = Math.min(this.limit.entries, window ?? Infinity);
    for (let entry = outbox.peek(); entry && room-- > 0; entry = outbox.peek()) {
      if (entries.length > 0 && bytes + entry.bytes > this.limit.bytes) {
        break;
      }
      outbox.shift();
      entries.push(entry);
      bytes += entry.bytes;
    }
    this.entries = entries;
    this.byteCount = bytes;
    this.sendCount = entries.length;
    this.losses = 0;
    this.isResent = false;
  }

  /** Removes and returns all. */
  clear(): readonly OutboxEntry[] {
    const { entries } = this;
    this.entries = NONE;
    this.byteCount = 0;
    this.sendCount = 0;
    return entries;
  }

  /** What is to be sent, as commands; the last one trims the stream for all of them. */
  commands(stream: string, maxLen: number): Command[] {
    const commands: Command[] = [];
    for (let i = 0; i < this.sendCount; i++) {
      const { lane, seq, fields } = this.entries[i]!;
      const trim = i === this.sendCount - 1 ? ['MAXLEN', '~', String(maxLen)] : NO_TRIM;
      const origin = encodeOrigin(lane.node, seq, this.numberBefore(i), this.isResent);
      commands.push(['XADD', stream, ...trim, '*', ...fields, ...origin]);
    }
    return commands;
  }

  /** The number of the entry of the same lane that is sent before the one at a place, or was appended. */
  private numberBefore(place: number): number {
    const { lane } = this.entries[place]!;
    for (let i = place - 1; i >= 0; i--) {
      const before = this.entries[i]!;
      if (before.lane === lane) {
        return before.seq;
      }
    }
    return lane.appended;
  }

  /** The number of the last entry of a lane before one that is not appended: what is here will be, what is not was. */
  lastBefore({ lane, seq }: OutboxEntry): number {
    return this.entries.findLast((other) => other.lane === lane && other.seq < seq)?.seq ?? lane.appended;
  }

  /** Another command was answered: see {@link needsProof}. */
  onConnectionProved(): void {
    this.isConnectionProved = true;
  }

  /** What was sent is in the stream. Returns how many entries that were. */
  onAppended(): number {
    const count = this.sendCount;
    for (let i = 0; i < count; i++) {
      const { lane, seq, bytes } = this.entries[i]!;
      lane.appended = seq;
      lane.pending--;
      if (bytes >= this.refusedBytes) {
        this.refusedBytes = Infinity;
      }
    }
    this.shorten(count);
    return count;
  }

  /** What was sent may not be in the stream, and it is not known why; it is sent again. */
  onUnanswered(): void {
    this.isResent = true;
  }

  /**
   * What was sent may not be in the stream; it is sent again.
   *
   * @returns the next step of the search for an entry that is refused because of itself; undefined if there is no sign of one
   */
  onFailed(error: Error): SearchStep | undefined {
    this.isResent = true;
    if (isMultiRefused(error) && this.sendCount > 1) {
      this.limit.entries = this.sendCount = 1;
      return undefined; // what may have been appended all the same is appended again, and known by its number
    }
    if (error instanceof RedisClientError) {
      this.isConnectionProved = false;
      return undefined; // it was not sent: the server of the stream is still away, while others of its cluster are there
    }
    const sent = this.entries.slice(0, this.sendCount);
    const largest = sent.reduce((most, { bytes }, i) => (bytes > sent[most]!.bytes ? i : most), 0);
    const verdict = sizeVerdict(error, sent[largest]?.bytes ?? 0);
    if (sent.length === 0 || verdict === 'no') {
      this.losses = 0;
      return undefined;
    }
    const isSaid = verdict === 'refused';
    const refused = sent.length > 1 ? this.divide(largest, isSaid) : this.judge(sent[0]!, isSaid);
    this.isConnectionProved = false;
    return { refused, isSaid };
  }

  /** First what comes before the largest, then that alone, then the rest. */
  private divide(largest: number, isSaid: boolean): undefined {
    this.sendCount = Math.max(1, largest);
    if (isSaid) {
      this.limit.bytes = Math.max(MIN_BATCH_BYTES, this.limit.bytes / 2);
    }
  }

  /** Returns an entry that was sent alone if it is what is refused, and removes it. */
  private judge(entry: OutboxEntry, isSaid: boolean): OutboxEntry | undefined {
    const maxLosses = entry.bytes >= this.refusedBytes ? 1 : MAX_LOSSES;
    if (isSaid || (this.isConnectionProved && ++this.losses >= maxLosses)) {
      this.limit.bytes = BATCH_BYTES; // it was not the batch
      this.refusedBytes = entry.bytes;
      this.shorten(1);
      return entry;
    }
    this.losses = Math.max(1, this.losses);
    return undefined;
  }

  /** The first entries are done with; the rest is sent next. */
  private shorten(count: number): void {
    if (count === this.entries.length) {
      this.clear();
    } else {
      const done = this.entries.slice(0, count);
      this.entries = this.entries.slice(count);
      this.byteCount -= done.reduce((sum, { bytes }) => sum + bytes, 0);
    }
    this.sendCount = this.limit.entries === 1 ? Math.min(1, this.entries.length) : this.entries.length;
    this.losses = 0;
  }
}
