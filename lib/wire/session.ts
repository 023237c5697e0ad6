import { carry, type NotCarried } from './carried.js';
import { decodeMsgpack, encodeMsgpack } from './msgpack.js';
import { decodeCut, encodeCut, type Cut } from './cut.js';
import { isRoom, type Origin } from './entry.js';
import { isStreamId, type StreamId } from './stream-id.js';

/**
 * What is kept of a client to recover it. The first four are those of Socket.IO and of the reference adapter; a
 * session that the reference wrote has no others.
 */
export interface Session {
  /** Socket id. */
  sid: string;
  /** Private session id: whoever knows it can take the session. */
  pid: string;
  rooms: string[];
  data: unknown;
  /** The namespace. */
  nsp?: string;
  /** How far its node was when the client connected: what came before is not for it. */
  since?: Cut;
  /** Not all rooms that it left before this are known: a client that missed something from before is not recovered. */
  forgotten?: Cut;
  /** How often the session has been recovered: of two records of one session, the one with more is the later. */
  epoch?: number;
  /** The id of the node that had the client, and wrote this. */
  owner?: string;
  /** The nodes that had the client before, the latest of them last. */
  owners?: string[];
  /** Rooms that were joined while connected, and how far its node was then. */
  joined?: [room: string, from: Cut][];
  /** Rooms that were left while connected: how far its node was when it came (if it came later) and when it went. */
  left?: [room: string, from: Cut, upTo: Cut][];
  /** What was given to the client last. If it has that, nothing that is in `position` is missing. */
  sent?: LastGiven;
  position?: Cut;
  /**
   * What distinguishes the entry at `position` from one of another history of the stream that happens to have the same id. All other
   * places in the log that the session names are of the same history, and not after it.
   */
  mark?: string;
  /** What it was given of publishers before the nodes that it came to later had read that. */
  ahead?: Ahead[];
}

/** The last entries that were, or may have been, for a client. */
export interface LastGiven {
  /** The id of the last one of other nodes than the client's. */
  other: StreamId;
  /** The last one of its own node, and its id if that had read it back. */
  own?: { origin: Origin; id?: StreamId | undefined } | undefined;
}

/** What a client has of a publisher, whatever its offset says. */
export interface Ahead extends Origin {
  /** Once its node has read so far: the position then. An offset that is not before that says the same. */
  coveredAt?: StreamId | undefined;
}

/** How many of the nodes that had a client before are known. */
const MAX_OWNERS = 8;

/** The session as it is when another node takes it. */
export function takenOver(session: Session): Session {
  const { owner, owners = [] } = session;
  if (owner === undefined) {
    return session;
  }
  return { ...session, owners: [...owners.filter((node) => node !== owner), owner].slice(-MAX_OWNERS) };
}

const SESSION_ID = /^[\w-]{1,64}$/;

/** Whether a value, which comes from a client, has the form of a session id. */
export function isSessionId(value: unknown): value is string {
  return typeof value === 'string' && SESSION_ID.test(value);
}

/**
 * Base64 of MessagePack.
 *
 * @param onLeftOut - called with each part of `data`, such as `data.user.timer`, that cannot be carried to another node, which is left out
 */
export function encodeSession(session: Session, onLeftOut: (what: NotCarried) => void = () => undefined): string {
  const { since, forgotten, joined, left, sent, position, ahead, data, rooms, ...rest } = session;
  const kept = carry({ data }, { onLeftOut }) as { data?: unknown };
  return encodeMsgpack({
    ...rest,
    data: kept.data,
    rooms: rooms.filter(isRoom),
    ...(since && { since: encodeCut(since) }),
    ...(forgotten && { forgotten: encodeCut(forgotten) }),
    ...(joined && { joined: joined.filter(isOfRoom).map(([room, from]) => [room, encodeCut(from)]) }),
    ...(left && { left: left.filter(isOfRoom).map(([room, from, upTo]) => [room, encodeCut(from), encodeCut(upTo)]) }),
    ...(sent && { sent: [sent.other, ...(sent.own ? [sent.own.origin.node, sent.own.origin.seq, sent.own.id] : [])] }),
    ...(position && { position: encodeCut(position) }),
    ...(ahead && { ahead: ahead.map(({ node, seq, coveredAt }) => [node, seq, coveredAt]) }),
  }).toString('base64');
}

/** A client may be in what is no name of a room, too: nobody but its own node knows of that. */
function isOfRoom([room]: [unknown, ...unknown[]]): boolean {
  return isRoom(room);
}

/** The session of this id; undefined if the value is none. */
export function decodeSession(value: unknown, pid: string): Session | undefined {
  if (typeof value !== 'string') {
    return undefined;
  }
  let decoded;
  try {
    decoded = decodeMsgpack(Buffer.from(value, 'base64')) as Partial<Record<keyof Session, unknown>> | null;
  } catch {
    return undefined;
  }
  if (typeof decoded !== 'object' || decoded?.pid !== pid || typeof decoded.sid !== 'string') {
    return undefined;
  }
  const { sid, rooms, data, nsp, since, forgotten, epoch, owner, owners, joined, left, sent, position, mark, ahead } =
    decoded;
  if (!Array.isArray(rooms)) {
    return undefined;
  }
  return {
    sid,
    pid,
    rooms: rooms.filter(isRoom),
    data: data ?? {},
    ...(typeof nsp === 'string' && { nsp }),
    ...(isEpoch(epoch) && { epoch }),
    ...(typeof owner === 'string' && { owner }),
    ...(Array.isArray(owners) && { owners: owners.filter((node) => typeof node === 'string') }),
    ...optional('since', decodeCut(since)),
    ...optional('forgotten', decodeCut(forgotten)),
    ...optional('joined', toVisits(joined, 2) as [string, Cut][] | undefined),
    ...optional('left', toVisits(left, 3) as [string, Cut, Cut][] | undefined),
    ...optional('sent', toLastGiven(sent)),
    ...optional('position', decodeCut(position)),
    ...(typeof mark === 'string' && { mark }),
    ...optional('ahead', toAhead(ahead)),
  };
}

function optional<K extends string, V>(key: K, value: V | undefined): { [key in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [key in K]: V });
}

/**
 * A node's claim to an epoch of a session, which Redis keeps in a hash of the session's claims, by epoch.
 *
 * While the node has not written the session elsewhere, the claim contains it as it was when it was claimed. So it is not
 * lost if the node is killed in between, or never gets the answer to its claim.
 */
export interface SessionClaimRecord {
  /** The node's id; empty: the session is over. */
  node: string;
  nsp: string;
  session?: Session;
}

export function encodeClaim(node: string, nsp: string, encodedSession?: string): string {
  return JSON.stringify({ node, nsp, session: encodedSession });
}

/** The claims of a session, by epoch; what is not understood is left out. @param fields - of the hash, by their names */
export function decodeClaims(fields: ReadonlyMap<string, string>, pid: string): Map<number, SessionClaimRecord> {
  const claims = new Map<number, SessionClaimRecord>();
  for (const [field, value] of fields) {
    const epoch = Number(field);
    const claim = isEpoch(epoch) ? decodeClaim(value, pid) : undefined;
    if (claim) {
      claims.set(epoch, claim);
    }
  }
  return claims;
}

function decodeClaim(value: string, pid: string): SessionClaimRecord | undefined {
  let claim;
  try {
    claim = JSON.parse(value) as Partial<Record<keyof SessionClaimRecord, unknown>> | null;
  } catch {
    return undefined;
  }
  if (typeof claim?.node !== 'string' || typeof claim.nsp !== 'string') {
    return undefined;
  }
  const session = decodeSession(claim.session, pid);
  return { node: claim.node, nsp: claim.nsp, ...(session && { session }) };
}

function isEpoch(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** @param length - of each visit: a room, and cuts */
function toVisits(value: unknown, length: number): [room: string, ...Cut[]][] | undefined {
  if (!Array.isArray(value)) {
    return undefined;
  }
  const visits: [string, ...Cut[]][] = [];
  for (const visit of value as unknown[]) {
    const [room, ...texts] = Array.isArray(visit) ? (visit as unknown[]) : [];
    const cuts = texts.map(decodeCut);
    if (cuts.length !== length - 1 || !cuts.every((cut) => cut !== undefined)) {
      return undefined;
    }
    visits.push([room as string, ...cuts]);
  }
  return visits;
}

function toLastGiven(value: unknown): LastGiven | undefined {
  const [other, node, seq, id] = Array.isArray(value) ? (value as unknown[]) : [];
  if (!isStreamId(other)) {
    return undefined;
  }
  const origin = toOrigin(node, seq);
  return { other, ...(origin && { own: { origin, ...(isStreamId(id) && { id }) } }) };
}

function toAhead(value: unknown): Ahead[] | undefined {
  if (!Array.isArray(value)) {
    return undefined;
  }
  return value.flatMap((one: unknown) => {
    const [node, seq, coveredAt] = Array.isArray(one) ? (one as unknown[]) : [];
    const origin = toOrigin(node, seq);
    return origin ? [{ ...origin, ...(isStreamId(coveredAt) && { coveredAt }) }] : [];
  });
}

function toOrigin(node: unknown, seq: unknown): Origin | undefined {
  return typeof node === 'string' && isEpoch(seq) ? { node, seq } : undefined;
}
