import { decodeMsgpack, encodeMsgpack } from './msgpack.js';
import { isNodeId } from './server-uid.js';
import { isStreamId, type StreamId } from './stream-id.js';

/** What a node says of itself in each control message. */
export interface NodeInfo {
  id: string;
  host: string;
  pid: number;
  /** Milliseconds since the epoch, by the node's own clock: to be shown, not to be compared. */
  startedAt: number;
  /** Sockets connected to it, in all namespaces. */
  sockets: number;
  /** Entries that it has fetched and not yet delivered. */
  backlog: number;
  /** How many Socket.IO servers of the node have, or had, the same namespace, at most: their uids are counted through. */
  servers: number;
}

/**
 * What a node has appended to a stream last: the sequence number of its last entry (0 if there is none), the same of its
 * lane of what overtakes, and the id of the later of both.
 */
export type LastAppended = readonly [seq: number, id: StreamId, direct: number];

/**
 * Whether a node hears what others ask of it: its connection for subscriptions can be lost while it sends, and reads the
 * streams. Absent in heartbeats of nodes to which a request must not be sent twice.
 */
export interface Hearing {
  /** How often it has lost its subscriptions: what was sent meanwhile may not have reached it. */
  losses: number;
  /** The namespaces whose requests it does not hear now; `true`: it may be all. */
  unheard: string[] | true;
  /** Whether it has the namespace "/", and so subscriptions that Redis counts as long as it hears. */
  root: boolean;
}

/**
 * Says that a node is alive, whether it reads all streams and hears all requests, whether what Redis may have lost of its
 * sessions is written again, and what it has appended.
 */
export interface Heartbeat {
  /** `ping` asks all others for a heartbeat. */
  kind: 'heartbeat' | 'ping';
  node: NodeInfo;
  reading: boolean;
  settled: boolean;
  /** By the name of the stream. */
  streams: Record<string, LastAppended>;
  hearing?: Hearing;
  /** Whether the sender only wants to know who is there, and is no node itself. */
  observer: boolean;
}

/** The node is about to close. */
export interface Goodbye {
  kind: 'goodbye';
  node: NodeInfo;
}

/** A client has come to this node: the others release its session, and the node `at` answers. */
export interface SessionRequest {
  kind: 'session-request';
  node: NodeInfo;
  /** Private session id. */
  pid: string;
  /** The node where the client seems to be connected. */
  at: string;
  /** Of the session from now on: a node that has it with this or a later epoch keeps it. */
  epoch: number;
}

/** The answer: the encoded session as it was, or null if it was not there. */
export interface SessionResponse {
  kind: 'session-response';
  node: NodeInfo;
  pid: string;
  /** The node that asked. */
  to: string;
  session: string | null;
}

/** What nodes send each other about themselves, on one channel, encoded as MessagePack. The reference has none of these. */
export type ControlMessage = Heartbeat | Goodbye | SessionRequest | SessionResponse;

/** As many servers of a node with one namespace are asked for by name; more are counted only. */
const MAX_SERVERS = 64;
/** So many namespaces are named that are not heard; if there are more, it may be all. */
export const MAX_UNHEARD = 1_000;

export function encodeControlMessage(message: ControlMessage): Buffer {
  return encodeMsgpack(message);
}

/**
 * Reads a control message, which anybody may have published.
 *
 * @param streams - the names of the streams that are of interest
 * @throws Error if it is none
 */
export function decodeControlMessage(payload: Uint8Array, streams: readonly string[]): ControlMessage {
  const message = decodeMsgpack(payload) as Record<string, unknown> | null;
  const node = toNodeInfo(message?.node);
  const { kind } = message!;
  switch (kind) {
    case 'heartbeat':
    case 'ping':
      return {
        ...{ kind, node, reading: message!.reading !== false, settled: message!.settled !== false },
        streams: toStreams(message!.streams, streams),
        ...toHearing(message!.hearing),
        observer: message!.observer === true,
      };
    case 'goodbye':
      return { kind, node };
    case 'session-request': {
      const { pid, at, epoch } = message!;
      if (typeof pid !== 'string' || typeof at !== 'string' || typeof epoch !== 'number') {
        throw new Error('a session-request without "pid", "at" and "epoch"');
      }
      return { kind, node, pid, at, epoch };
    }
    case 'session-response': {
      const { pid, to, session } = message!;
      if (typeof pid !== 'string' || typeof to !== 'string') {
        throw new Error('a session-response without "pid" and "to"');
      }
      return { kind, node, pid, to, session: typeof session === 'string' ? session : null };
    }
    default:
      throw new Error(`a control message of the unknown kind ${JSON.stringify(kind)?.slice(0, 64)}`);
  }
}

function toNodeInfo(value: unknown): NodeInfo {
  const node = (typeof value === 'object' && value !== null ? value : {}) as Partial<Record<keyof NodeInfo, unknown>>;
  if (!isNodeId(node.id)) {
    throw new Error('a control message without the id of its node');
  }
  return {
    id: node.id,
    host: typeof node.host === 'string' ? node.host.slice(0, 256) : 'unknown',
    pid: toCount(node.pid),
    startedAt: toCount(node.startedAt),
    sockets: toCount(node.sockets),
    backlog: toCount(node.backlog),
    servers: Math.min(MAX_SERVERS, Math.max(1, toCount(node.servers))),
  };
}

function toHearing(value: unknown): { hearing?: Hearing } {
  const { losses, unheard, root } = (value ?? {}) as Partial<Record<keyof Hearing, unknown>>;
  const isList = Array.isArray(unheard) && unheard.length <= MAX_UNHEARD;
  if (unheard !== true && !(isList && unheard.every((nsp) => typeof nsp === 'string'))) {
    return {};
  }
  return { hearing: { losses: toCount(losses), unheard, root: root === true } };
}

function toStreams(value: unknown, streams: readonly string[]): Record<string, LastAppended> {
  const last = Object.create(null) as Record<string, LastAppended>;
  if (typeof value !== 'object' || value === null) {
    return last;
  }
  for (const stream of streams) {
    const given = Object.hasOwn(value, stream) ? (value as Record<string, unknown>)[stream] : undefined;
    const [seq, id, direct] = Array.isArray(given) ? (given as unknown[]) : [];
    if (Number.isSafeInteger(seq) && (seq as number) >= 0 && isStreamId(id)) {
      last[stream] = [seq as number, id, toCount(direct)];
    }
  }
  return last;
}

function toCount(value: unknown): number {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : 0;
}
