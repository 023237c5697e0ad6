/**
 * The id of a stream entry: `milliseconds-sequence`, two unsigned 64-bit numbers, which a double cannot hold.
 *
 * @see https://redis.io/docs/latest/develop/data-types/streams/#entry-ids
 */
export type StreamId = string;

/** Smaller than the id of any entry. */
export const STREAM_START: StreamId = '0-0';

const STREAM_ID = /^(0|[1-9]\d{0,19})-(0|[1-9]\d{0,19})$/;
const LARGEST = '18446744073709551615';

/** Whether a value, which may come from a client, is a stream id in its only form (no leading zeros). */
export function isStreamId(value: unknown): value is StreamId {
  const parts = typeof value === 'string' ? STREAM_ID.exec(value) : null;
  return !!parts && compareNumbers(parts[1]!, LARGEST) <= 0 && compareNumbers(parts[2]!, LARGEST) <= 0;
}

/** Negative when `a` comes before `b`, 0 when they are the same, positive when `a` comes after `b`. */
export function compareStreamIds(a: StreamId, b: StreamId): number {
  if (a === b) {
    return 0;
  }
  const i = a.indexOf('-');
  const j = b.indexOf('-');
  if (i === j && a.length === b.length) {
    return a < b ? -1 : 1; // numbers of as many digits each are ordered as texts are
  }
  return compareNumbers(a.slice(0, i), b.slice(0, j)) || compareNumbers(a.slice(i + 1), b.slice(j + 1));
}

export function later(a: StreamId, b: StreamId): StreamId {
  return compareStreamIds(a, b) >= 0 ? a : b;
}

export function earlier(a: StreamId, b: StreamId): StreamId {
  return compareStreamIds(a, b) <= 0 ? a : b;
}

/** The largest id that is smaller. */
export function predecessor(id: StreamId): StreamId {
  const [ms, seq] = id.split('-') as [string, string];
  if (seq !== '0') {
    return `${ms}-${BigInt(seq) - 1n}`;
  }
  return ms === '0' ? STREAM_START : `${BigInt(ms) - 1n}-${LARGEST}`;
}

/** Milliseconds since the entry was appended, by the clock of Redis, in its id, and this process's; at least 0. */
export function ageOf(id: StreamId): number {
  return Math.max(0, Date.now() - timeOf(id));
}

function compareNumbers(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);
}

/** The least id of `ms` milliseconds before another. */
export function idBefore(id: StreamId, ms: number): StreamId {
  return `${Math.max(0, timeOf(id) - ms)}-0`;
}

/** Milliseconds since the epoch, by the clock of Redis. */
function timeOf(id: StreamId): number {
  return Number(id.slice(0, id.indexOf('-')));
}
