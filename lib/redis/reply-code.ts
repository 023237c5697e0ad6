import { isNativeError } from 'node:util/types';
import { PayloadTooLargeError } from './errors.js';

/**
 * The code with which Redis began an error reply, such as `WRONGTYPE`, `MOVED` or plain `ERR`; undefined of an error that
 * is no reply of Redis, such as that of a lost connection.
 *
 * All client libraries keep the text of a reply as the error's message. What they and Node say themselves does not begin
 * with a word in capitals; what Node's sockets say (`connect ECONNREFUSED …`) begins with the system call.
 *
 * @see https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors
 */
export function replyCode(error: unknown): string | undefined {
  return isNativeError(error) ? /^[A-Z][A-Z0-9_]+(?= |$)/.exec(error.message)?.[0] : undefined;
}

/** Codes of a server that is not, or not any more, the one to ask: another connection may lead to the right one. */
const WRONG_SERVER: ReadonlySet<string> = new Set(['READONLY', 'UNBLOCKED', 'LOADING', 'MASTERDOWN']);
/** Codes of a cluster that is being changed, or has lost a node. */
const CLUSTER_CHANGING: ReadonlySet<string> = new Set(['CLUSTERDOWN', 'TRYAGAIN', 'MOVED', 'ASK']);

/** Codes of a server that is busy with a script. */
const BUSY = 'BUSY';

/** Whether a server cannot do what another, or this one later, could: it is a replica, or loads its data. */
export function isWrongServer(error: unknown): boolean {
  const code = replyCode(error);
  return code !== undefined && WRONG_SERVER.has(code);
}

/** Whether a cluster is being changed, or has lost a node. */
export function isClusterChanging(error: unknown): boolean {
  const code = replyCode(error);
  return code !== undefined && CLUSTER_CHANGING.has(code);
}

/**
 * Whether the same command may succeed a moment later: no reply has come because the connection was lost, cannot be used
 * or is silent, or the server says that it is not the one to ask now. Any other reply is the server's last word, and what is
 * too large stays so.
 */
export function isTransient(error: unknown): boolean {
  if (error instanceof PayloadTooLargeError) {
    return false;
  }
  const code = replyCode(error);
  return code === undefined || code === BUSY || isWrongServer(error) || isClusterChanging(error);
}

/** Whether a server has said with this that it does not understand what it was sent, or that it is too large: it closes the connection then. */
export function isProtocolError(error: Error): boolean {
  return error.message.startsWith('ERR Protocol error');
}
