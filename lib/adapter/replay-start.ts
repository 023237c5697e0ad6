import type { RecoveryRefusal } from '../cluster/events.js';
import type { StreamLog } from '../stream/stream-log.js';
import { coversCut, isInCut, joinCuts, NOTHING, type Cut } from '../wire/cut.js';
import { describeOrigin, nodeOfLane } from '../wire/entry.js';
import type { LastGiven, Session } from '../wire/session.js';
import { compareStreamIds } from '../wire/stream-id.js';

/** Milliseconds for which a recovery waits for this node to come to where its client was. */
const CATCH_UP_TIMEOUT_MS = 10_000;

/**
 * From where a client is recovered: resolves to the cut after which its replay begins, or to why it cannot be recovered
 * exactly.
 *
 * @param cut - what the client has, by its offset
 * @param isConfirmed - whether Redis has confirmed that the session is this node's, and so whether the log is asked if what
 *   the session and the offset name is of the history that it has now
 */
export async function findReplayStart(
  log: Pick<StreamLog, 'whenReading' | 'isInLog' | 'whenRead' | 'whenSharedUpTo' | 'whenFormerIn' | 'isReading'>,
  session: Session,
  cut: Cut,
  isConfirmed: boolean,
): Promise<Cut | RecoveryRefusal> {
  const { since = NOTHING, sent, position, mark: markOfSession, forgotten } = session;
  if (isConfirmed) {
    // Redis may have another history already than the one that was read here.
    if (!(await log.whenReading(CATCH_UP_TIMEOUT_MS))) {
      return 'redis-away';
    }
    // All that the session says is of the history to which its position belongs.
    const ofSession = position ? await log.isInLog(position.position, markOfSession) : 'yes';
    const isUsable = ofSession === 'yes' || ofSession === 'trimmed';
    const isKnown = cut.position === position?.position && !cut.mark;
    const mark = cut.mark && describeOrigin(cut.mark);
    const isThere = isUsable && !isKnown ? await log.isInLog(cut.position, mark) : ofSession;
    if (isThere === 'no' || isThere === 'unknown') {
      return isThere === 'no' ? 'offset' : 'redis-away';
    }
    if (!knowsNodesOf(cut, session)) {
      return 'unknown';
    }
  }
  const isUpToDate = sent !== undefined && position !== undefined && hasReceived(cut, sent);
  const start = joinCuts(joinCuts(cut, since), isUpToDate ? position : NOTHING);
  if (forgotten && !coversCut(start, forgotten)) {
    return 'trimmed';
  }
  if (!(await log.whenRead(start, CATCH_UP_TIMEOUT_MS))) {
    return log.isReading ? 'offset' : 'redis-away';
  }
  // Redis was asked above, where commands go. What is replayed, and what comes after, is what is read.
  if (isConfirmed && !(await log.whenSharedUpTo(start.position, CATCH_UP_TIMEOUT_MS))) {
    return 'redis-away';
  }
  if (!(await log.whenFormerIn(start, CATCH_UP_TIMEOUT_MS))) {
    return 'lost';
  }
  return start;
}

/**
 * Whether a session names all nodes that the offset says the client was at. If not, Redis has lost the session as it was
 * there, in a failover, and this is an earlier one.
 */
function knowsNodesOf({ ahead }: Cut, { owner, owners = [], position, ahead: before = [] }: Session): boolean {
  const named = [...before, ...(position?.ahead ?? [])].map(({ node }) => nodeOfLane(node));
  const known = new Set([owner, ...owners, ...named]);
  return owner === undefined || ahead.every(({ node }) => known.has(nodeOfLane(node)));
}

/** Whether a client that has what is in a cut has received what it was given last, and so all before it. */
function hasReceived(cut: Cut, { other, own }: LastGiven): boolean {
  const isOwnReceived = own === undefined || isInCut({ id: own.id, origin: own.origin }, cut);
  return isOwnReceived && compareStreamIds(cut.position, other) >= 0;
}
