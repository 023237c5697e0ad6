/** Options of the adapter. Names and defaults are those of `@socket.io/redis-streams-adapter` where it has them. */
export interface RedisStreamsAdapterOptions {
  /**
   * The name of the Redis stream, or of the streams if there are several: `streamName-0`, `streamName-1`, …
   * @default "socket.io"
   */
  streamName?: string;
  /**
   * How many streams the namespaces are spread over. The same on all nodes.
   * @default 1
   */
  streamCount?: number;
  /**
   * The prefix of the PUB/SUB channels for requests, answers, volatile broadcasts and heartbeats.
   * @default "socket.io"
   */
  channelPrefix?: string;
  /**
   * Whether to use sharded PUB/SUB (Redis 7.0 and later). The same on all nodes.
   * @default false
   */
  useShardedPubSub?: boolean;
  /**
   * About how many entries a stream keeps (`XADD … MAXLEN ~`).
   * @default 10_000
   */
  maxLen?: number;
  /**
   * How many entries a read of the stream asks for; a reader that is behind asks for more.
   * @default 100
   */
  readCount?: number;
  /**
   * Milliseconds for which a read waits for new entries.
   * @default 5_000
   */
  blockTimeInMs?: number;
  /**
   * The prefix of the keys that hold sessions, for connection state recovery.
   * @default "sio:session:"
   */
  sessionKeyPrefix?: string;
  /**
   * Milliseconds between two heartbeats of a node.
   * @default 5_000
   */
  heartbeatInterval?: number;
  /**
   * Milliseconds of silence after which a node counts as down. More than `heartbeatInterval`.
   * @default 10_000
   */
  heartbeatTimeout?: number;
  /**
   * Whether no event ever holds binary data; the search for it is skipped then.
   * @default false
   */
  onlyPlaintext?: boolean;

  /**
   * When a node delivers its own broadcasts to its own clients: `log`, when it reads them back, so that all clients of
   * all nodes see one order; `local-first`, at once, so that it works even while Redis is away. Connection state
   * recovery needs `log`. Without recovery, `socket.emit()` is no broadcast: it goes to its client at once, and may come
   * before broadcasts that were sent earlier and are on their way through the log.
   * @default "log" with connection state recovery, "local-first" without
   */
  ordering?: 'log' | 'local-first';
  /**
   * How many broadcasts wait at most for Redis, for each stream. When there are more, the oldest are dropped, counted
   * and told.
   * @default 100_000
   */
  outboxMaxEntries?: number;
  /**
   * How many bytes of broadcasts wait at most for Redis, for each stream.
   * @default 134_217_728 (128 MiB)
   */
  outboxMaxBytes?: number;
  /**
   * How many entries of each stream a node keeps in memory for connection state recovery.
   * @default 20_000
   */
  replayMaxEntries?: number;
  /**
   * How many bytes of entries of each stream a node keeps in memory for connection state recovery.
   * @default 67_108_864 (64 MiB)
   */
  replayMaxBytes?: number;
  /**
   * Whether sessions are written while their clients are connected, so that they survive the crash of a node.
   * @default true
   */
  sessionCheckpoints?: boolean;
  /**
   * Whether a client is told the current offset when it connects, in an event named `redis-streams:offset`, so that it
   * can be recovered even if it never receives anything else. Its `onAny` listeners see that event.
   * @default false
   */
  announceOffset?: boolean;
  /**
   * Milliseconds after which a command that Redis has not answered is given up, and its connection with it.
   * @default 5_000
   */
  commandTimeout?: number;
  /**
   * Milliseconds that a node waits for Redis when it starts.
   * @default 10_000
   */
  startTimeout?: number;
  /**
   * What happens then: `fail`, the start is rejected; `degrade`, the node starts without Redis, its health is down,
   * and its broadcasts wait until Redis can be reached.
   * @default "fail"
   */
  onStartTimeout?: 'fail' | 'degrade';
  /**
   * Milliseconds that a node waits, when it closes, for broadcasts that have not been appended yet.
   * @default 5_000
   */
  closeTimeout?: number;
}

export type ResolvedOptions = Required<Omit<RedisStreamsAdapterOptions, 'ordering'>> &
  Pick<RedisStreamsAdapterOptions, 'ordering'>;

export const DEFAULT_OPTIONS: ResolvedOptions = {
  streamName: 'socket.io',
  streamCount: 1,
  channelPrefix: 'socket.io',
  useShardedPubSub: false,
  maxLen: 10_000,
  readCount: 100,
  blockTimeInMs: 5_000,
  sessionKeyPrefix: 'sio:session:',
  heartbeatInterval: 5_000,
  heartbeatTimeout: 10_000,
  onlyPlaintext: false,
  ordering: undefined,
  outboxMaxEntries: 100_000,
  outboxMaxBytes: 128 * 1024 * 1024,
  replayMaxEntries: 20_000,
  replayMaxBytes: 64 * 1024 * 1024,
  sessionCheckpoints: true,
  announceOffset: false,
  commandTimeout: 5_000,
  startTimeout: 10_000,
  onStartTimeout: 'fail',
  closeTimeout: 5_000,
};

/** An option has a value that is not allowed. */
export class InvalidOptionError extends Error {
  override readonly name = 'InvalidOptionError';
  readonly code = 'REDIS_STREAMS_INVALID_OPTION';

  constructor(option: string, value: unknown, allowed: string) {
    super(`${option}: ${show(value)} is not allowed. Give ${allowed}.`);
  }
}

type Rule = (value: unknown) => string | undefined;

const text: Rule = (value) => (typeof value === 'string' && value !== '' ? undefined : 'a string that is not empty');
const flag: Rule = (value) => (typeof value === 'boolean' ? undefined : 'true or false');
const oneOf =
  (...values: string[]): Rule =>
  (value) =>
    values.includes(value as string) ? undefined : values.map((one) => JSON.stringify(one)).join(' or ');
const whole =
  (least: number, most: number): Rule =>
  (value) =>
    Number.isInteger(value) && (value as number) >= least && (value as number) <= most
      ? undefined
      : `a whole number from ${least} to ${most}`;

const MAX_TIMER = 2 ** 31 - 1;
const RULES: Record<keyof ResolvedOptions, Rule> = {
  streamName: text,
  streamCount: whole(1, 1_024),
  channelPrefix: text,
  useShardedPubSub: flag,
  maxLen: whole(1, Number.MAX_SAFE_INTEGER),
  readCount: whole(1, 100_000),
  blockTimeInMs: whole(1, 600_000),
  sessionKeyPrefix: text,
  heartbeatInterval: whole(10, MAX_TIMER),
  heartbeatTimeout: whole(20, MAX_TIMER),
  onlyPlaintext: flag,
  ordering: oneOf('log', 'local-first'),
  outboxMaxEntries: whole(1, Number.MAX_SAFE_INTEGER),
  outboxMaxBytes: whole(1, Number.MAX_SAFE_INTEGER),
  replayMaxEntries: whole(0, Number.MAX_SAFE_INTEGER),
  replayMaxBytes: whole(0, Number.MAX_SAFE_INTEGER),
  sessionCheckpoints: flag,
  announceOffset: flag,
  commandTimeout: whole(10, MAX_TIMER),
  startTimeout: whole(0, MAX_TIMER),
  onStartTimeout: oneOf('fail', 'degrade'),
  closeTimeout: whole(0, MAX_TIMER),
};

/**
 * The options with their defaults.
 *
 * @throws InvalidOptionError naming the option, its value and what is allowed
 */
export function resolveOptions(options: RedisStreamsAdapterOptions = {}): ResolvedOptions {
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(RULES, name)) {
      throw new InvalidOptionError(name, value, `one of the options ${Object.keys(RULES).join(', ')}`);
    }
    const allowed = value === undefined ? undefined : RULES[name as keyof ResolvedOptions](value);
    if (allowed !== undefined) {
      throw new InvalidOptionError(name, value, allowed);
    }
  }
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const resolved = { ...DEFAULT_OPTIONS, ...given };
  if (resolved.heartbeatTimeout <= resolved.heartbeatInterval) {
    throw new InvalidOptionError(
      'heartbeatTimeout',
      resolved.heartbeatTimeout,
      `more than heartbeatInterval, which is ${resolved.heartbeatInterval}`,
    );
  }
  return resolved;
}

/** The names of all streams. */
export function streamNames({ streamName, streamCount }: ResolvedOptions): string[] {
  return streamCount === 1 ? [streamName] : Array.from({ length: streamCount }, (_, i) => `${streamName}-${i}`);
}

/**
 * The index of the stream that carries a namespace, as in the reference; but where its index would be negative, so
 * that nobody reads that stream, ours is the positive one.
 */
export function streamIndexOf(nsp: string, streamCount: number): number {
  let hash = 0;
  for (let i = 0; i < nsp.length; i++) {
    hash = (hash * 31 + nsp.charCodeAt(i)) | 0;
  }
  return Math.abs(hash % streamCount);
}

function show(value: unknown): string {
  if (typeof value === 'string') {
    return JSON.stringify(value);
  }
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}
