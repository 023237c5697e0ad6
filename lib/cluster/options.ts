import type { RedisStreamsTelemetry } from './telemetry.js';

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
   * Whether channels and session keys have exactly the names that the nodes of `@socket.io/redis-streams-adapter` use. They
   * have them anyway with database 0, no key prefix of the client and the default `streamName`. Else these are part of the
   * names, so that two applications on one Redis never see each other; and nodes of the two packages that are to form one
   * cluster need this option.
   * @default false
   */
  referenceNames?: boolean;
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
   * Milliseconds for which a node delays broadcasts and reads at most, so that several share one command, and leave together;
   * 0: never. It does so only while those of all nodes come faster than about a thousand a second, or broadcasts of its own
   * faster than 500.
   * @default 2
   */
  maxHoldMs?: number;
  /**
   * The prefix of the keys that contain sessions, for connection state recovery.
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
   * Whether no event ever contains binary data; the search for it is skipped then.
   * @default false
   */
  onlyPlaintext?: boolean;

  /**
   * When a node delivers its own broadcasts to its own clients. `local-first`: at once, in the order of the code, also while
   * Redis is away, as a single server does. `log`: what is for rooms or for all when it is read back, so that all clients of
   * all nodes see one order; what is for one socket at once there, too.
   * @default "local-first"
   */
  ordering?: 'log' | 'local-first';
  /**
   * How many broadcasts wait at most for Redis, for each stream. When there are more, the oldest are dropped, counted
   * and reported as `outbox-dropped`.
   * @default 100_000
   */
  outboxMaxEntries?: number;
  /**
   * How many bytes of broadcasts wait at most for Redis, for each stream.
   * @default 134_217_728 (128 MiB)
   */
  outboxMaxBytes?: number;
  /**
   * How many bytes a broadcast, or an event for servers, may take, encoded; a larger one fails at the call with a
   * MessageTooLargeError. Set it to what Redis and a proxy before it accept: what they refuse later is dropped and reported
   * as `message-refused`.
   * @default 0 (no limit)
   */
  maxMessageBytes?: number;
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
   * Whether a client is sent the current offset when it connects, in an event named `redis-streams:offset`, so that it
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
   * Whether a server is used without a look at what it says of itself and whether it can do all that is needed. For
   * servers and proxies that are refused although you know that they can.
   * @default false
   */
  skipServerCheck?: boolean;
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
  /**
   * Metrics and traces: `openTelemetry()` of `nestjs-redis-streams-adapter/opentelemetry`.
   * @default none
   */
  telemetry?: RedisStreamsTelemetry;
}

export type ResolvedOptions = Required<Omit<RedisStreamsAdapterOptions, 'ordering' | 'telemetry'>> &
  Pick<RedisStreamsAdapterOptions, 'ordering' | 'telemetry'>;

/** An option has a value that is not allowed. */
export class InvalidOptionError extends Error {
  override readonly name = 'InvalidOptionError';
  readonly code = 'REDIS_STREAMS_INVALID_OPTION';

  constructor(option: string, value: unknown, allowed: string) {
    super(`${option}: ${show(value)} is not allowed. Give ${allowed}.`);
  }
}

/** What is allowed instead of a value; undefined if the value is. */
type Rule = (value: unknown) => string | undefined;

interface Option<T> {
  readonly default: T;
  readonly rule: Rule;
}

/** The longest time of a timer of Node.js, in milliseconds. */
const MAX_TIMER_MS = 2 ** 31 - 1;
const MEBIBYTE = 1024 * 1024;

const OPTIONS: { readonly [Name in keyof ResolvedOptions]-?: Option<ResolvedOptions[Name]> } = {
  streamName: { default: 'socket.io', rule: isText },
  streamCount: { default: 1, rule: isWhole(1, 1_024) },
  channelPrefix: { default: 'socket.io', rule: isText },
  referenceNames: { default: false, rule: isFlag },
  useShardedPubSub: { default: false, rule: isFlag },
  maxLen: { default: 10_000, rule: isWhole(1) },
  readCount: { default: 100, rule: isWhole(1, 100_000) },
  blockTimeInMs: { default: 5_000, rule: isWhole(1, 600_000) },
  maxHoldMs: { default: 2, rule: isWhole(0, 1_000) },
  sessionKeyPrefix: { default: 'sio:session:', rule: isText },
  heartbeatInterval: { default: 5_000, rule: isWhole(10, MAX_TIMER_MS) },
  heartbeatTimeout: { default: 10_000, rule: isWhole(20, MAX_TIMER_MS) },
  onlyPlaintext: { default: false, rule: isFlag },
  ordering: { default: undefined, rule: isOneOf('log', 'local-first') },
  outboxMaxEntries: { default: 100_000, rule: isWhole(1) },
  outboxMaxBytes: { default: 128 * MEBIBYTE, rule: isWhole(1) },
  maxMessageBytes: { default: 0, rule: isWhole(0) },
  replayMaxEntries: { default: 20_000, rule: isWhole(0) },
  replayMaxBytes: { default: 64 * MEBIBYTE, rule: isWhole(0) },
  sessionCheckpoints: { default: true, rule: isFlag },
  announceOffset: { default: false, rule: isFlag },
  commandTimeout: { default: 5_000, rule: isWhole(10, MAX_TIMER_MS) },
  skipServerCheck: { default: false, rule: isFlag },
  startTimeout: { default: 10_000, rule: isWhole(0, MAX_TIMER_MS) },
  onStartTimeout: { default: 'fail', rule: isOneOf('fail', 'degrade') },
  closeTimeout: { default: 5_000, rule: isWhole(0, MAX_TIMER_MS) },
  telemetry: { default: undefined, rule: isTelemetry },
};

const NAMES = Object.keys(OPTIONS) as (keyof ResolvedOptions)[];

export const DEFAULT_OPTIONS = Object.freeze(
  Object.fromEntries(NAMES.map((name) => [name, OPTIONS[name].default])),
) as unknown as Readonly<ResolvedOptions>;

/**
 * The options with their defaults.
 *
 * @throws InvalidOptionError naming the option, its value and what is allowed
 */
export function resolveOptions(given?: RedisStreamsAdapterOptions | null): ResolvedOptions {
  const options = given ?? {};
  if (typeof options !== 'object' || Array.isArray(options)) {
    throw new InvalidOptionError('options', options, 'an object such as { streamName: "chat" }');
  }
  for (const [name, value] of Object.entries(options)) {
    if (!isName(name)) {
      throw new InvalidOptionError(name, value, `one of the options ${NAMES.join(', ')}`);
    }
    if (value !== undefined) {
      check(name, value, OPTIONS[name].rule);
    }
  }
  const known = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const resolved: ResolvedOptions = { ...DEFAULT_OPTIONS, ...known };
  const { heartbeatInterval, heartbeatTimeout } = resolved;
  if (heartbeatTimeout <= heartbeatInterval) {
    throw new InvalidOptionError(
      'heartbeatTimeout',
      heartbeatTimeout,
      `more than heartbeatInterval, which is ${heartbeatInterval}`,
    );
  }
  return resolved;
}

/** Socket.IO's own, in milliseconds, for one who gives `undefined`. */
const DEFAULT_DISCONNECTION_DURATION_MS = 120_000;
/** The longest time for which Redis can keep a session: its expiry must not lie beyond the last date of JavaScript. */
const LONGEST_DURATION = 8.64e15 / 2;

/**
 * Socket.IO's option `connectionStateRecovery.maxDisconnectionDuration`, which Socket.IO does not check: how many
 * milliseconds a client can be away. `Infinity` is as long as Redis can say.
 *
 * @throws InvalidOptionError if it is no number, or not more than 0
 */
export function resolveDisconnectionDuration(value: unknown = DEFAULT_DISCONNECTION_DURATION_MS): number {
  if (typeof value !== 'number' || !(value > 0)) {
    throw new InvalidOptionError(
      'connectionStateRecovery.maxDisconnectionDuration',
      value,
      'a number of milliseconds above 0 (Infinity: without a limit), or leave connectionStateRecovery out',
    );
  }
  return Math.ceil(Math.min(value, LONGEST_DURATION));
}

function isName(name: string): name is keyof ResolvedOptions {
  return Object.hasOwn(OPTIONS, name);
}

/** Half of a surrogate pair would be another character in Redis, and what comes back from there another name. */
function isText(value: unknown): string | undefined {
  if (typeof value !== 'string' || value === '') {
    return 'a string that is not empty';
  }
  return /\p{Surrogate}/u.test(value) ? 'a string without half of a surrogate pair' : undefined;
}

/** @throws InvalidOptionError unless it is a text that Redis keeps as it is */
export function checkText(option: string, value: unknown): void {
  check(option, value, isText);
}

function isTelemetry(value: unknown): string | undefined {
  return typeof (value as RedisStreamsTelemetry | null)?.observe === 'function'
    ? undefined
    : 'what openTelemetry() of nestjs-redis-streams-adapter/opentelemetry returns';
}

function isFlag(value: unknown): string | undefined {
  return typeof value === 'boolean' ? undefined : 'true or false';
}

/** @throws InvalidOptionError unless it is true or false */
export function checkFlag(option: string, value: unknown): boolean {
  check(option, value, isFlag);
  return value as boolean;
}

/** @throws InvalidOptionError if a rule does not allow the value */
function check(option: string, value: unknown, rule: Rule): void {
  const allowed = rule(value);
  if (allowed !== undefined) {
    throw new InvalidOptionError(option, value, allowed);
  }
}

function isOneOf(...values: string[]): Rule {
  return (value) =>
    values.includes(value as string) ? undefined : values.map((one) => JSON.stringify(one)).join(' or ');
}

function isWhole(least: number, most = Number.MAX_SAFE_INTEGER): Rule {
  return (value) =>
    Number.isInteger(value) && (value as number) >= least && (value as number) <= most
      ? undefined
      : `a whole number from ${least} to ${most}`;
}

/** A value as an error message shows it. */
function show(value: unknown): string {
  if (typeof value === 'string') {
    return JSON.stringify(value);
  }
  if (typeof value === 'function') {
    return 'a function';
  }
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}
