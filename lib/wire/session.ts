import { carry, type NotCarried } from './carried.js';
import { decodeMsgpack, encodeMsgpack } from './msgpack.js';
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
  /** The position in the log when the client connected: what came before is not for it. */
  since?: StreamId;
  /** Not all rooms that it left before this position are known: who lacks something from before is not recovered. */
  forgotten?: StreamId;
  /** How often the session has been recovered: of two records of one session, the one with more is the later. */
  epoch?: number;
  /** Rooms that were joined while connected, and the position in the log then. */
  joined?: [room: string, from: StreamId][];
  /** Rooms that were left while connected: the positions at which the client came (if it came later) and went. */
  left?: [room: string, from: StreamId, upTo: StreamId][];
  /** No entry after this one, and up to `position`, was for the client: if it has this one, it has all up to there. */
  sent?: StreamId;
  position?: StreamId;
}

const SESSION_ID = /^[\w-]{1,64}$/;

/** Whether a value, which comes from a client, has the form of a session id. */
export function isSessionId(value: unknown): value is string {
  return typeof value === 'string' && SESSION_ID.test(value);
}

/**
 * Base64 of MessagePack.
 *
 * @param onLeftOut - called with each part of `data` that cannot be carried to another node, which is left out
 */
export function encodeSession(session: Session, onLeftOut: (what: NotCarried) => void = () => undefined): string {
  return encodeMsgpack({ ...session, data: carry(session.data, { onLeftOut }) }).toString('base64');
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
  const { sid, rooms, data, nsp, since, forgotten, epoch, joined, left, sent, position } = decoded;
  if (!Array.isArray(rooms)) {
    return undefined;
  }
  return {
    sid,
    pid,
    rooms: rooms.filter((room): room is string => typeof room === 'string' || typeof room === 'number'),
    data: typeof data === 'object' && data !== null ? data : {},
    ...(typeof nsp === 'string' && { nsp }),
    ...(isStreamId(since) && { since }),
    ...(isStreamId(forgotten) && { forgotten }),
    ...(typeof epoch === 'number' && { epoch }),
    ...(isVisits(joined, 2) && { joined: joined as [string, StreamId][] }),
    ...(isVisits(left, 3) && { left: left as [string, StreamId, StreamId][] }),
    ...(isStreamId(sent) && { sent }),
    ...(isStreamId(position) && { position }),
  };
}

function isVisits(value: unknown, length: number): boolean {
  return (
    Array.isArray(value) &&
    value.every(
      (visit) => Array.isArray(visit) && visit.length === length && (visit as unknown[]).slice(1).every(isStreamId),
    )
  );
}
