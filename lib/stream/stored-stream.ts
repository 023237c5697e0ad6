import type { RedisConnection } from '../redis/driver.js';
import { toEntries } from '../redis/stream-reply.js';
import type { LogEntry } from '../wire/entry.js';
import { parseEntries } from '../wire/parse-entry.js';
import type { StreamId } from '../wire/stream-id.js';
import type { OlderBatch, OlderEntries } from './replay-log.js';

export interface StoredStreamOptions {
  stream: string;
  /** Milliseconds after which a command counts as unanswered. */
  commandTimeout: number;
  /** Runs commands, again when a connection that failed them is back. */
  retry<T>(run: () => Promise<T>): Promise<T>;
}

/** A stream as Redis has it: asked for what this node does not remember. */
export class StoredStream implements OlderEntries {
  constructor(
    private readonly connection: RedisConnection,
    private readonly options: StoredStreamOptions,
  ) {}

  /** @throws if Redis cannot be asked, even again when it is back */
  async upTo(id: StreamId, count: number): Promise<OlderBatch> {
    const entries = await this.read('XREVRANGE', id, '-', count);
    return { entries, oldest: entries.at(-1)?.id, atStart: entries.length < count };
  }

  /** The entry with this id. @throws as {@link upTo} */
  async at(id: StreamId): Promise<LogEntry | undefined> {
    const [entry] = await this.read('XRANGE', id, id, 1);
    return entry;
  }

  /** The oldest entry. @throws as {@link upTo} */
  async first(): Promise<LogEntry | undefined> {
    const [entry] = await this.read('XRANGE', '-', '+', 1);
    return entry;
  }

  /** Whether there is an entry with this id, or a later one. It is asked once. @throws if there is no answer */
  async reaches(id: StreamId): Promise<boolean> {
    const { stream, commandTimeout } = this.options;
    const command = ['XREVRANGE', stream, '+', id, 'COUNT', '1'];
    return toEntries(await this.connection.read(command, commandTimeout)).length > 0;
  }

  private read(range: 'XRANGE' | 'XREVRANGE', from: string, to: string, count: number): Promise<LogEntry[]> {
    const { stream, commandTimeout } = this.options;
    const command = [range, stream, from, to, 'COUNT', String(count)];
    return this.options.retry(async () => parseEntries(toEntries(await this.connection.read(command, commandTimeout))));
  }
}
