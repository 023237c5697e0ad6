import type { StreamLog } from '../stream/stream-log.js';
import { decodeCut, encodeOffset, joinCuts, type Cut } from '../wire/cut.js';
import type { LogEntry, Origin } from '../wire/entry.js';
import type { Ahead, Session } from '../wire/session.js';
import { compareStreamIds, STREAM_START } from '../wire/stream-id.js';

/** How many publishers are remembered of which a client has more than its node. */
const MAX_AHEAD = 16;
/** How many different offsets of such clients are made of one: each is a packet of its own. */
const MAX_OWN_OFFSETS = 16;

/** A connected client, as far as it matters here. */
export interface ClientAhead {
  /** Socket id. */
  readonly sid: string;
  /** See {@link Session.ahead}. */
  readonly ahead: readonly Ahead[];
}

/**
 * The connected clients that have received more of a publisher elsewhere than this node has read: when this node reads those
 * entries, it withholds them from these clients.
 */
export class ClientsAhead {
  /** By publisher. A client is here until this node has read as much of the publisher, or the client is gone. */
  private readonly byPublisher = new Map<string, Set<ClientAhead>>();

  constructor(private readonly log: Pick<StreamLog, 'position' | 'hasRead'>) {}

  get isEmpty(): boolean {
    return this.byPublisher.size === 0;
  }

  /** A client is connected. Of what this node has read already, notes the position that covers it. */
  add(client: ClientAhead): void {
    for (const ahead of client.ahead) {
      if (ahead.coveredAt === undefined && !this.log.hasRead(ahead.node, ahead.seq)) {
        this.byPublisher.set(ahead.node, (this.byPublisher.get(ahead.node) ?? new Set()).add(client));
      } else {
        ahead.coveredAt ??= this.log.position;
      }
    }
  }

  /** A client is gone. */
  remove(client: ClientAhead): void {
    for (const { node } of client.ahead) {
      this.removeOf(node, client);
    }
  }

  /**
   * The ids of the sockets that have been given an entry of the log already, elsewhere, and must not be given it again. To
   * be asked for each entry that is delivered because it was read.
   */
  withheldFrom({ id, origin }: LogEntry): ReadonlySet<string> | undefined {
    const clients = origin && !this.isEmpty ? this.byPublisher.get(origin.node) : undefined;
    if (!origin || !clients) {
      return undefined;
    }
    const withheld = new Set<string>();
    for (const client of clients) {
      const ahead = client.ahead.find(({ node }) => node === origin.node)!;
      if (origin.seq <= ahead.seq) {
        withheld.add(client.sid);
      }
      if (origin.seq >= ahead.seq) {
        ahead.coveredAt = id;
        this.removeOf(origin.node, client);
      }
    }
    return withheld;
  }

  /**
   * The offsets of the clients that have more than an offset says, by socket id; undefined if there are none. Of no more than
   * {@link MAX_OWN_OFFSETS} different ones: for other clients, what they have is said by their session only.
   *
   * @param offset - of a packet
   * @param isMeant - whether a client may be given the packet
   */
  ownOffsets(offset: string, isMeant: (sid: string) => boolean): ReadonlyMap<string, string> | undefined {
    const own = new Map<string, string>();
    const different = new Set<string>();
    for (const clients of this.byPublisher.values()) {
      for (const client of clients) {
        const one = isMeant(client.sid) && !own.has(client.sid) ? this.ownOffset(client, offset) : offset;
        if (one !== offset && (different.has(one) || different.size < MAX_OWN_OFFSETS)) {
          different.add(one);
          own.set(client.sid, one);
        }
      }
    }
    return own.size > 0 ? own : undefined;
  }

  /** An offset that also says what a client has that this node has not read. */
  ownOffset({ ahead }: Pick<ClientAhead, 'ahead'>, offset: string): string {
    const cut = decodeCut(offset);
    const more = ahead.filter(({ coveredAt }) => coveredAt === undefined);
    return cut && more.length > 0 ? encodeOffset(joinCuts(cut, { position: STREAM_START, ahead: more })) : offset;
  }

  private removeOf(publisher: string, client: ClientAhead): void {
    const clients = this.byPublisher.get(publisher);
    clients?.delete(client);
    if (clients?.size === 0) {
      this.byPublisher.delete(publisher);
    }
  }
}

/**
 * What a client that comes to this node has of publishers, besides what the offsets that it is given here will say.
 *
 * @param cut - what the client has
 */
export function aheadOf(session: Pick<Session, 'ahead'>, cut: Cut): Ahead[] {
  const known = (session.ahead ?? []).filter(
    ({ coveredAt }) => coveredAt === undefined || compareStreamIds(coveredAt, cut.position) > 0,
  );
  return withMore(
    known.map((ahead) => ({ ...ahead })),
    cut.ahead,
  );
}

/**
 * What a client has of each publisher, with what it has besides where that is more.
 *
 * @param more - what its offset says, or what it was given of a history that was replaced (see
 *   {@link StreamLog.formerNumbers})
 */
export function withMore(known: readonly Ahead[], more: readonly Origin[]): Ahead[] {
  const all = new Map(known.map((ahead) => [ahead.node, ahead]));
  for (const { node, seq } of more) {
    if (seq > (all.get(node)?.seq ?? 0)) {
      all.set(node, { node, seq });
    }
  }
  return [...all.values()].slice(-MAX_AHEAD);
}
