import { RedisClientError } from './errors.js';
import type { RedisSocket } from './redis-socket.js';
import { isWrongServer, replyCode } from './reply-code.js';

/** What a connection needs of its server. */
export interface ServerNeeds {
  /** Whether PUB/SUB is sharded, which came with Redis 7.0. */
  sharded: boolean;
  /** Whether it is written to, so that a replica will not do. */
  writable: boolean;
  /** Whether it runs transactions. */
  transactions: boolean;
  /** Whether the server is taken as it is, whatever `INFO` says of it. */
  trusted: boolean;
}

/** The oldest version with which the tests run. */
const OLDEST_TESTED = [6, 2] as const;

/** A server at its limit of connections says so in reply to the first command, whichever that is; it has no code of its own. */
const TOO_MANY_CLIENTS = /max number of clients/i;

/** Replies that say what is wrong with the connection itself, by their codes, and what is to be done. */
const REMEDIES = new Map([
  ['NOAUTH', 'the server wants a password: give the client its username and password'],
  ['WRONGPASS', 'the server does not accept the username and password of the client'],
  ['DENIED', 'the server is in protected mode: it takes connections of its own machine only until it has a password'],
  ['NOPROTO', 'the server does not speak the RESP version that the client asks for: set it to 2'],
]);

/**
 * Makes sure that a server can do what is needed, as far as that can be found out without leaving a trace. What it does
 * not say is taken for granted: `INFO` may be renamed, forbidden, or unknown to a proxy. So are odd versions: a
 * compatible server reports what it likes, and the first command that is really needed shows whether it can be used.
 *
 * @returns what its owner should know, as sentences
 * @throws RedisClientError if it cannot be used, with what to do about it
 */
export async function checkServer(socket: RedisSocket, needs: ServerNeeds): Promise<string[]> {
  try {
    const [info] = await Promise.all([
      askInfo(socket),
      needs.transactions && !needs.trusted && tryTransaction(socket),
      needs.sharded && !needs.trusted && trySharded(socket),
    ]);
    return needs.trusted ? [] : checkInfo(info, needs);
  } catch (error) {
    throw explain(error as Error);
  }
}

/** @throws RedisClientError if the server still loads its data, or is a replica where a master is needed */
export function checkInfo(info: string, { writable }: Pick<ServerNeeds, 'writable'>): string[] {
  const field = (name: string): string | undefined => new RegExp(`^${name}:(.*?)\r?$`, 'm').exec(info)?.[1];
  if (field('loading') === '1') {
    throw new RedisClientError('Redis is still loading its data');
  }
  if (writable && field('role') === 'slave') {
    throw new RedisClientError('the server is a replica, and cannot be written to');
  }
  const warnings: string[] = [];
  const version = field('redis_version');
  const [major = 0, minor = 0] = (version ?? '').split('.').map(Number);
  if (version !== undefined && (major < OLDEST_TESTED[0] || (major === OLDEST_TESTED[0] && minor < OLDEST_TESTED[1]))) {
    warnings.push(
      `the server says that it is Redis ${version}; the oldest with which this package is tested is ` +
        `${OLDEST_TESTED.join('.')}. It is used all the same.`,
    );
  }
  const policy = field('maxmemory_policy');
  if (policy !== undefined && policy !== 'noeviction' && field('maxmemory') !== '0') {
    const lost = policy.startsWith('allkeys') ? 'the stream, and sessions,' : 'sessions of disconnected clients';
    warnings.push(
      `the eviction policy of Redis is "${policy}": when its memory is full, ${lost} may be deleted, and messages be ` +
        'lost or clients not recovered. Set maxmemory-policy to "noeviction".',
    );
  }
  return warnings;
}

/** The text of `INFO`; empty if the server does not give it. */
async function askInfo(socket: RedisSocket): Promise<string> {
  try {
    return String(await socket.call(['INFO']));
  } catch (error) {
    if (isRefusal(error as Error)) {
      return '';
    }
    throw error;
  }
}

/**
 * Were MULTI refused when it is needed, what follows would have been executed one by one by then; and as that is a
 * failure it would be sent again, and again.
 */
async function tryTransaction(socket: RedisSocket): Promise<void> {
  const [multi, exec] = socket.send([['MULTI'], ['EXEC']]);
  const outcomes = await Promise.allSettled([multi, exec]);
  const refused = outcomes.find((outcome) => outcome.status === 'rejected');
  if (refused) {
    const error = refused.reason as Error;
    throw isRefusal(error)
      ? new RedisClientError(
          `transactions are needed, and MULTI and EXEC are refused (${error.message}). Allow them to the user of the ` +
            'client; docs/security.md lists all rights that a node needs.',
          { cause: error },
        )
      : error;
  }
}

async function trySharded(socket: RedisSocket): Promise<void> {
  try {
    await socket.call(['PUBSUB', 'SHARDNUMSUB']);
  } catch (error) {
    if (replyCode(error) === 'ERR' && isRefusal(error as Error)) {
      throw new RedisClientError(
        `useShardedPubSub needs Redis 7.0 or later, or Valkey, and the server does not know it (${(error as Error).message})`,
        { cause: error },
      );
    }
    if (!isRefusal(error as Error)) {
      throw error;
    }
  }
}

/** Whether a command was refused because of itself: it is unknown, or the user may not call it. */
function isRefusal(error: Error): boolean {
  const code = replyCode(error);
  return code !== undefined && !REMEDIES.has(code) && !isWrongServer(error) && !TOO_MANY_CLIENTS.test(error.message);
}

/**
 * Why a connection has failed, with what to do about it where that is known.
 *
 * @param refusal - what the server said before, if anything
 */
export function explain(cause: Error, refusal?: Error): Error {
  const error = refusal && remedyOf(refusal) !== undefined ? refusal : cause;
  const remedy = error instanceof RedisClientError ? undefined : remedyOf(error);
  return remedy === undefined ? error : new RedisClientError(`${remedy} (${error.message})`, { cause: error });
}

function remedyOf(error: Error): string | undefined {
  return TOO_MANY_CLIENTS.test(error.message)
    ? 'the server has as many connections as it allows (maxclients): raise the limit, or run fewer nodes'
    : REMEDIES.get(replyCode(error) ?? '');
}
