import type { Command } from '../redis/driver.js';
import { toEntries, toInfo, type RawEntry } from '../redis/stream-reply.js';
import { sizeOfData, type LogEntry } from '../wire/entry.js';
import { parseEntry } from '../wire/parse-entry.js';
import { compareStreamIds, predecessor, STREAM_START, type StreamId } from '../wire/stream-id.js';
import { History } from './history.js';

/** Characters of an entry that is not read again just to see that it is there, as long as the stream seems unchanged. */
const LARGE_ENTRY_CHARACTERS = 16 * 1024;
/** How many entries are read at once to find the last one that two histories share. */
const ANCESTOR_PAGE_ENTRIES = 256;

/** Why what is read is not what was read before: the stream is gone, has lost its end, or was made anew. */
export type ReplacedReason = 'deleted' | 'rewound' | 'recreated';

/**
 * Whether a stream is still the one that was read:
 * - continues: it has the entry at the position, or nothing was read yet.
 * - unproven: that entry was trimmed, with all before it. Reading goes on; if entries after it were trimmed too, the
 *   sequence numbers of what follows show that.
 * - replaced: it is another history. Reading goes on after `position`, the last entry that both have, or that the reader
 *   can be sure not to have missed.
 */
export type ContinuityAnswer =
  | { readonly outcome: 'continues' | 'unproven' }
  | { readonly outcome: 'replaced'; readonly reason: ReplacedReason; readonly position: StreamId };

/** How Redis is asked. Both reject if it does not answer. */
export interface ContinuityQueries {
  call(command: Command): Promise<unknown>;
  /** For commands whose replies are entries. */
  read(command: Command): Promise<unknown>;
}

/**
 * Answers whether a stream still is the history that was read, and if it is not, where to go on. It changes nothing in
 * what is read.
 *
 * An id says nothing certain about the history that it belongs to: a stream can be deleted, or be replaced after a failover
 * by one without its end. So the very entry at the position is looked for.
 */
export class Continuity {
  /** Whether the last entry that was read is so large that reading it again is avoided. */
  private isLastLarge = false;
  /** How long the stream was when the last entry was seen in it, if nothing was read and no connection made since. */
  private lengthWhenSeen: number | undefined;

  constructor(
    private readonly stream: string,
    private readonly redis: ContinuityQueries,
    /** The latest entries that were read. */
    private readonly history = new History(),
  ) {}

  /** The same question, put to Redis on another connection, which may lead to another server. */
  through(redis: ContinuityQueries): Pick<Continuity, 'check'> {
    return new Continuity(this.stream, redis, this.history);
  }

  /** The id of the last entry that was read, or of the position at which reading began; undefined before both. */
  get newest(): StreamId | undefined {
    return this.history.newest;
  }

  /** An entry was read, after all others. */
  add(entry: LogEntry): void {
    this.history.add(entry.id, entry);
  }

  /** A read has brought entries; this is the last of them. */
  onRead(last: LogEntry): void {
    this.isLastLarge = sizeOfData(last) > LARGE_ENTRY_CHARACTERS;
    this.lengthWhenSeen = undefined;
  }

  /** What is read may be another history of the same length: the connection was made anew, or numbers are missing. */
  forgetLength(): void {
    this.lengthWhenSeen = undefined;
  }

  /** Reading goes on after this entry: later ones are of a history that was replaced. */
  restart(position: StreamId): void {
    this.history.restart(position);
  }

  /** What distinguishes the entry with this id from another, if it was read lately; see {@link History.markAt}. */
  markAt(id: StreamId): string | undefined {
    return this.history.markAt(id);
  }

  /**
   * Asks Redis.
   *
   * @param position - the id of the last entry that was read, or at which reading began
   */
  async check(position: StreamId): Promise<ContinuityAnswer> {
    if (position === STREAM_START || (await this.isInStream(position))) {
      return { outcome: 'continues' };
    }
    const [first] = toEntries(await this.redis.read(['XRANGE', this.stream, '-', '+', 'COUNT', '1']));
    if (!first) {
      const isDeleted = Number(await this.redis.call(['EXISTS', this.stream])) === 0;
      // A stream that was emptied gives larger ids to what is appended next; one that was deleted need not.
      return isDeleted ? replaced('deleted', STREAM_START) : { outcome: 'unproven' };
    }
    if (compareStreamIds(first.id, position) > 0) {
      return (await this.isUntrimmed()) ? replaced('recreated', position) : { outcome: 'unproven' };
    }
    return replaced('rewound', await this.commonAncestor());
  }

  private async isInStream(id: StreamId): Promise<boolean> {
    if (!this.isLastLarge) {
      return this.shows(id);
    }
    const { lengthWhenSeen } = this;
    const length = Number(await this.redis.call(['XLEN', this.stream]));
    if (length === lengthWhenSeen) {
      return true; // it would have to be another one of the very same length
    }
    const isThere = await this.shows(id);
    this.lengthWhenSeen = isThere ? length : undefined;
    return isThere;
  }

  private async shows(id: StreamId): Promise<boolean> {
    const [raw] = toEntries(await this.redis.read(['XRANGE', this.stream, id, id, 'COUNT', '1']));
    return raw !== undefined && this.wasRead(raw);
  }

  /** Whether the stream still has all the entries that it ever had (reported by Redis 7.0 and later). */
  private async isUntrimmed(): Promise<boolean> {
    const info = toInfo(await this.redis.call(['XINFO', 'STREAM', this.stream]));
    return info.has('entries-added') && Number(info.get('entries-added')) === Number(info.get('length'));
  }

  /** The last entry that both the stream and what was read of it have. */
  private async commonAncestor(): Promise<StreamId> {
    const oldest = this.history.oldest!;
    for (let upTo = '+'; ;) {
      const page = ['XREVRANGE', this.stream, upTo, '-', 'COUNT', String(ANCESTOR_PAGE_ENTRIES)];
      const raw = toEntries(await this.redis.read(page));
      for (const entry of raw) {
        if (this.wasRead(entry) || compareStreamIds(entry.id, oldest) < 0) {
          return entry.id;
        }
      }
      if (raw.length < ANCESTOR_PAGE_ENTRIES) {
        return STREAM_START;
      }
      upTo = predecessor(raw.at(-1)!.id); // an exclusive bound is not known to Redis before 6.2
    }
  }

  /** Whether this very entry was read. */
  private wasRead({ id, fields }: RawEntry): boolean {
    return this.history.has(id, parseEntry(id, fields));
  }
}

function replaced(reason: ReplacedReason, position: StreamId): ContinuityAnswer {
  return { outcome: 'replaced', reason, position };
}
