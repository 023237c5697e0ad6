import { SessionRecipient } from '../session/session-recipient.js';
import type { SessionClaim, SessionState } from '../session/session-claim.js';
import type { ReplayItem } from '../stream/replay-log.js';
import type { StreamLog } from '../stream/stream-log.js';
import { cutAt, cutBackTo, NOTHING, type Cut } from '../wire/cut.js';
import type { Ahead, LastGiven, Session } from '../wire/session.js';
import { compareStreamIds, earlier, STREAM_START, type StreamId } from '../wire/stream-id.js';
import { aheadOf, withMore } from './clients-ahead.js';

/** How many of the rooms that a client has left are remembered. */
const MAX_LEFT = 100;

/** What a recovered client comes with. */
export interface Recovered {
  readonly session: Session;
  /** What the client has. */
  readonly cut: Cut;
  /** What it is given when it has connected, oldest first. */
  readonly missed: readonly ReplayItem[];
}

/** The log, as far as it says what a client has been given. */
export type ClientLog = Pick<
  StreamLog,
  'position' | 'positionMark' | 'cut' | 'lastGivenTo' | 'hasRead' | 'formerNumbers'
>;

/**
 * A client that is connected to one namespace of this server, as its session describes it to the node where it comes back: what
 * it was given, and when it was in which room.
 */
export class ConnectedClient {
  /** Set as soon as it is connected. */
  claim: SessionClaim | undefined;
  /** See {@link Session.ahead}. */
  ahead: readonly Ahead[];
  /** How far this node was when it came here: it had been given all up to there. */
  arrived: Cut;
  /** How far its node was when it connected for the first time. */
  private since: Cut;
  /** See {@link Session.forgotten}. */
  private forgotten: Cut | undefined;
  /** The last entries that it had been given when it came here. */
  private sent: LastGiven;
  /** Whether it had missed some of them. */
  private readonly hasMissed: boolean;
  /** Up to where in the log it had been given everything when it came here, by its offset. */
  private readonly cameWith: StreamId;
  /** See {@link Session.owners}. */
  private readonly owners: string[] | undefined;
  /** See {@link Session.joined}. */
  private readonly joined: Map<string, Cut>;
  /** See {@link Session.left}. */
  private left: [room: string, from: Cut, upTo: Cut][];

  /** @param recovered - undefined if it is new */
  constructor(
    private readonly log: ClientLog,
    private readonly nsp: string,
    /** Socket id. */
    readonly sid: string,
    recovered?: Recovered,
  ) {
    const { session, cut, missed } = recovered ?? { session: undefined, cut: NOTHING, missed: [] };
    this.arrived = log.cut();
    this.since = session ? (session.since ?? NOTHING) : this.arrived;
    this.forgotten = session?.forgotten;
    this.sent = lastOf(missed) ?? { other: cut.position };
    this.hasMissed = missed.length > 0;
    this.cameWith = cut.position;
    this.owners = session?.owners;
    this.joined = new Map(session?.joined);
    this.left = [...(session?.left ?? [])];
    this.ahead = withMore(session ? aheadOf(session, cut) : [], log.formerNumbers);
  }

  join(rooms: readonly string[]): void {
    const from = this.log.cut();
    for (const room of rooms) {
      this.joined.set(room, from);
    }
  }

  leave(room: string): void {
    this.left.push([room, this.joined.get(room) ?? NOTHING, this.log.cut()]);
    this.joined.delete(room);
    if (this.left.length > MAX_LEFT) {
      this.forgotten = this.left.shift()![2];
    }
  }

  /**
   * Notes rooms that a middleware has joined or left.
   *
   * @param rooms - in which it is
   * @param before - those of its session
   * @returns whether there were any
   */
  noteRooms(rooms: ReadonlySet<string>, before: readonly string[]): boolean {
    const known = new Set(before);
    const joined = [...rooms].filter((room) => !known.has(room));
    const left = before.filter((room) => !rooms.has(room));
    joined.forEach((room) => this.joined.set(room, this.arrived));
    left.forEach((room) => this.leave(room));
    return joined.length > 0 || left.length > 0;
  }

  /**
   * Its session now.
   *
   * @param rooms - in which it is
   * @param data - `socket.data`
   */
  session(rooms: Iterable<string>, data: unknown): SessionState {
    const { log, sid, since, arrived, joined, left, ahead } = this;
    this.generalizeForgotten();
    const session: SessionState = { sid, rooms: [...rooms], data, since };
    if (this.owners) {
      session.owners = this.owners;
    }
    if (this.forgotten) {
      session.forgotten = this.forgotten;
    }
    if (joined.size > 0) {
      session.joined = [...joined];
    }
    if (left.length > 0) {
      session.left = left;
    }
    if (ahead.length > 0) {
      session.ahead = [...ahead];
    }
    if (log.position !== undefined) {
      const recipient = new SessionRecipient(this.nsp, session);
      session.sent = log.lastGivenTo(recipient, arrived) ?? this.sent;
      session.position = log.cut();
      const mark = log.positionMark;
      if (mark !== undefined) {
        session.mark = mark;
      }
    }
    return session;
  }

  /** Whether it may have been given anything since it came here. @param rooms - in which it is */
  hasBeenGiven(rooms: Iterable<string>): boolean {
    const { log, nsp, arrived, joined, left, hasMissed } = this;
    const recipient = new SessionRecipient(nsp, { rooms: [...rooms], joined: [...joined], left });
    return hasMissed || log.lastGivenTo(recipient, arrived) !== undefined;
  }

  /** Whether other nodes have given it anything that is in the log after a position. */
  wasGivenElsewhereAfter(position: StreamId): boolean {
    return compareStreamIds(this.cameWith, position) > 0;
  }

  /** The history of the log was replaced by one that is the same up to a position. */
  cutBackTo(position: StreamId): void {
    const cutBack = (cut: Cut): Cut => cutBackTo(position, cut);
    const isKept = (id: StreamId | undefined): boolean => id !== undefined && compareStreamIds(id, position) <= 0;
    this.since = cutBack(this.since);
    this.forgotten = this.forgotten && cutBack(this.forgotten);
    this.arrived = cutBack(this.arrived);
    const { other, own } = this.sent;
    this.sent = {
      other: earlier(other, position),
      ...(own && { own: { origin: own.origin, ...(isKept(own.id) && { id: own.id }) } }),
    };
    this.joined.forEach((from, room) => this.joined.set(room, cutBack(from)));
    this.left = this.left.map(([room, from, upTo]) => [room, cutBack(from), cutBack(upTo)]);
    const kept = this.ahead.map(({ node, seq, coveredAt }) => ({ node, seq, ...(isKept(coveredAt) && { coveredAt }) }));
    this.ahead = withMore(kept, this.log.formerNumbers);
  }

  /** Once what the mark names of this node has been read back, a position says it as well, and to every node. */
  private generalizeForgotten(): void {
    const { forgotten, log } = this;
    if (forgotten && forgotten.ahead.length > 0 && log.position !== undefined) {
      if (forgotten.ahead.every(({ node, seq }) => log.hasRead(node, seq))) {
        this.forgotten = cutAt(log.position);
      }
    }
  }
}

/** The last of what a client missed; undefined if it missed nothing. */
function lastOf(missed: readonly ReplayItem[]): LastGiven | undefined {
  const read = missed.findLast(({ entry }) => entry.id !== undefined)?.entry.id;
  const origin = missed.findLast(({ entry }) => entry.id === undefined)?.entry.origin;
  return missed.length === 0 ? undefined : { other: read ?? STREAM_START, ...(origin && { own: { origin } }) };
}
