import { RedisClientError, RedisTimeoutError } from './errors.js';
import { replyCode } from './reply-code.js';

/** From how many bytes on a command may be why the connection was lost while it was under way. */
const SUSPECT_BYTES = 256 * 1024;

/** Replies with which servers, and proxies before them, refuse a command because it is too large. */
const TOO_LARGE =
  /Protocol error: (invalid|too big) (bulk|mbulk|multibulk)|max(imum)? (allowed )?(request|payload|command|value) size|(request|payload|command|value|elements?|entry|string) (is |are )?(too (large|big)|exceeds)/i;

/** Whether a command was refused because it is too large, so that it will be refused again. */
export function isTooLarge(error: Error): boolean {
  return TOO_LARGE.test(error.message);
}

/**
 * Whether a command has failed because of its size. `refused`: the server, or a proxy before it, says so. `suspect`: it is
 * large, and the connection was lost while it was under way, with which some refuse; one that is sent again and again may be
 * sure of that. `no`: there is no sign of it.
 *
 * @param bytes - of the largest argument of the command
 */
export function sizeVerdict(error: Error, bytes: number): 'refused' | 'suspect' | 'no' {
  if (isTooLarge(error)) {
    return 'refused';
  }
  return bytes >= SUSPECT_BYTES && wasConnectionLost(error) ? 'suspect' : 'no';
}

/** Whether a command failed because its connection was lost: not if it was not sent, was not answered in time, or was answered. */
function wasConnectionLost(error: Error): boolean {
  return replyCode(error) === undefined && !(error instanceof RedisTimeoutError || error instanceof RedisClientError);
}
