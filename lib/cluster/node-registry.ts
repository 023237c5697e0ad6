import type { Hearing, NodeInfo } from '../wire/control.js';
import { nodeOf } from '../wire/server-uid.js';
import type { EventPublisher } from './event-publisher.js';
import type { NodeState, NodeStatus } from './events.js';
import type { HearingClock } from './hearing-clock.js';

export interface NodeRegistryOptions {
  /** Milliseconds. */
  heartbeatInterval: number;
  /** Milliseconds. */
  heartbeatTimeout: number;
  clock: Pick<HearingClock, 'time'>;
  /** Milliseconds, monotonic. @default performance.now */
  now?: () => number;
  /** Given each change of state of another node, and any change of the list: with each heartbeat, for what it says. */
  events: Pick<EventPublisher, 'emit' | 'notifyNodes'>;
  /** Called when a node has come, gone, or come back, or hears others no more or again: who answers requests has changed. */
  onMembership(): void;
}

type PeerState = Exclude<NodeState, 'unmonitored'>;

interface Peer {
  info: NodeInfo;
  /** What it hears, as it has said last; undefined if it does not say so. */
  hearing: Hearing | undefined;
  /** Since when Redis counts no subscription of it, although it has said nothing since; undefined if that is not so. */
  silentSince: number | undefined;
  state: PeerState;
  /** By the hearing clock. */
  heardAt: number;
  /** Milliseconds since the epoch, by this node's clock. */
  lastSeen: number;
}

/** A server that sends messages and whose node has not sent a heartbeat. */
interface ServerWithoutHeartbeat {
  namespace: string;
  /** By the hearing clock. */
  heardSince: number;
  /** By the hearing clock. */
  heardAt: number;
  /** Milliseconds since the epoch, by this node's clock. */
  lastSeen: number;
  /** Whether there has been no heartbeat for so long that its node has none. */
  unmonitored: boolean;
}

/** Milliseconds after which a node whose subscriptions are gone has said that it does not hear, unless it was killed. */
const MAX_UNSAID_MS = 250;
const MAX_PEERS = 1_000;
const MAX_WITHOUT_HEARTBEAT = 100;
/** A node that is gone, or not heard any more, is listed for this many times `heartbeatTimeout`. */
const LISTED_TIMEOUTS = 30;

const EVENT_OF = { up: 'node-back', suspect: 'node-suspected', down: 'node-down', left: 'node-left' } as const;

/**
 * The other nodes, by their heartbeats.
 *
 * States of a peer, and what leads from one to another:
 * - `up`: it was heard in time. After a silence halfway between `heartbeatInterval` and `heartbeatTimeout` it is
 * - `suspect`: a heartbeat is overdue. A heartbeat makes it `up`; a silence of `heartbeatTimeout` makes it
 * - `down`: it is not asked any more. A heartbeat makes it `up`.
 * - `left`: it said goodbye, in whatever state. It never comes back: a process that starts again has another id.
 *
 * A server that sends although its node has sent no heartbeat for `heartbeatTimeout` is `unmonitored`: it is listed, and that
 * is all.
 *
 * Silence is measured by a clock that stands still while this node cannot hear.
 */
export class NodeRegistry {
  /** By node id. At most MAX_PEERS. */
  private readonly peers = new Map<string, Peer>();
  /** By uid. At most MAX_WITHOUT_HEARTBEAT. */
  private readonly withoutHeartbeat = new Map<string, ServerWithoutHeartbeat>();

  /** Since when this node does not hear; undefined if it does. */
  private deafSince: number | undefined;
  /** When it heard again, and for how long it had not. */
  private back = { at: -Infinity, after: 0 };
  /** Milliseconds, monotonic. */
  private readonly now: () => number;

  constructor(private readonly options: NodeRegistryOptions) {
    this.now = options.now ?? (() => performance.now());
  }

  /** All other nodes that are known, those that are gone and those without heartbeats among them. */
  list(): NodeStatus[] {
    const unmonitored = [...this.withoutHeartbeat].filter(([, server]) => server.unmonitored);
    return [...[...this.peers.values()].map(toStatus), ...unmonitored.map(toUnmonitored)];
  }

  /** The nodes that have ever sent a heartbeat, as far as they are still listed. */
  known(): NodeInfo[] {
    return [...this.peers.values()].map(({ info }) => info);
  }

  /** Of these, the nodes that are not known to be gone. */
  present(): NodeInfo[] {
    return [...this.peers.values()].filter(isPresent).map(({ info }) => info);
  }

  /** How many nodes are not known to be gone. */
  get presentCount(): number {
    let count = 0;
    for (const peer of this.peers.values()) {
      count += Number(isPresent(peer));
    }
    return count;
  }

  isGone(id: string): boolean {
    const peer = this.peers.get(id);
    return peer !== undefined && !isPresent(peer);
  }

  /** How many servers without a heartbeat were heard in a namespace lately. */
  unmonitoredIn(nsp: string): number {
    return [...this.withoutHeartbeat.values()].filter(({ unmonitored, namespace }) => unmonitored && namespace === nsp)
      .length;
  }

  /** What a node hears of others, as it has said last; undefined if it does not say so, or is known to be gone. */
  hearingOf(id: string): Hearing | undefined {
    const peer = this.peers.get(id);
    return peer && isPresent(peer) ? peer.hearing : undefined;
  }

  /**
   * To be called when Redis counts no subscription of a node that should have some. Returns whether it may be there and
   * only not hear. Then it says so at once and, if this node did not hear that, again before as much time has passed as this
   * node did not hear. One that has been killed says nothing.
   */
  mayBeDeaf(id: string): boolean {
    const peer = this.peers.get(id);
    if (!peer || this.deafSince !== undefined) {
      return peer !== undefined;
    }
    const now = this.now();
    peer.silentSince ??= now;
    return now < Math.max(peer.silentSince, this.back.at + this.back.after) + MAX_UNSAID_MS;
  }

  /** This node does not hear others. */
  onDeaf(): void {
    this.deafSince ??= this.now();
  }

  /** It hears again. */
  onHearing(): void {
    if (this.deafSince !== undefined) {
      const at = this.now();
      this.back = { at, after: at - this.deafSince };
      this.deafSince = undefined;
      this.peers.forEach((peer) => (peer.silentSince = undefined));
    }
  }

  /** A node sent a heartbeat. */
  onHeartbeat(info: NodeInfo, hearing?: Hearing): void {
    const heard = { info, hearing, silentSince: undefined, heardAt: this.options.clock.time, lastSeen: Date.now() };
    const peer = this.peers.get(info.id);
    if (!peer) {
      this.add({ ...heard, state: 'up' });
    } else if (peer.state !== 'left') {
      const had = { servers: peer.info.servers, hearing: peer.hearing };
      Object.assign(peer, heard);
      this.setState(peer, 'up');
      if (info.servers !== had.servers || !isSameHearing(hearing, had.hearing)) {
        this.options.onMembership();
      }
    }
    this.options.events.notifyNodes();
  }

  /** A node said goodbye. */
  onGoodbye(id: string): void {
    const peer = this.peers.get(id);
    if (peer) {
      peer.heardAt = this.options.clock.time;
      this.setState(peer, 'left');
      this.options.events.notifyNodes();
    }
  }

  /** A server has sent a message or an entry; its node may be one that has no heartbeat. */
  onTraffic(uid: string, namespace: string): void {
    if (this.peers.has(nodeOf(uid))) {
      return;
    }
    const heardAt = this.options.clock.time;
    const heard = { heardAt, lastSeen: Date.now() };
    const server = this.withoutHeartbeat.get(uid);
    if (server) {
      Object.assign(server, heard);
    } else if (this.withoutHeartbeat.size < MAX_WITHOUT_HEARTBEAT && uid.length <= 64) {
      this.withoutHeartbeat.set(uid, { namespace, ...heard, heardSince: heardAt, unmonitored: false });
    }
  }

  /** Looks for silent nodes. To be called several times in a heartbeat interval. */
  check(): void {
    const now = this.options.clock.time;
    const { heartbeatInterval, heartbeatTimeout } = this.options;
    let changed = false;
    for (const [id, peer] of this.peers) {
      const silence = now - peer.heardAt;
      if (!isPresent(peer)) {
        if (silence > LISTED_TIMEOUTS * heartbeatTimeout) {
          changed = this.peers.delete(id);
        }
      } else if (silence > heartbeatTimeout) {
        changed = this.setState(peer, 'down') || changed;
      } else if (silence > (heartbeatInterval + heartbeatTimeout) / 2) {
        changed = this.setState(peer, 'suspect') || changed;
      }
    }
    for (const [uid, server] of this.withoutHeartbeat) {
      if (now - server.heardAt > LISTED_TIMEOUTS * heartbeatTimeout) {
        this.withoutHeartbeat.delete(uid);
        changed ||= server.unmonitored;
      } else if (!server.unmonitored && now - server.heardSince > heartbeatTimeout) {
        changed = server.unmonitored = true;
      }
    }
    if (changed) {
      this.options.events.notifyNodes();
    }
  }

  private add(peer: Peer): void {
    const { id } = peer.info;
    this.peers.set(id, peer);
    if (this.peers.size > MAX_PEERS) {
      this.evict();
    }
    for (const uid of this.withoutHeartbeat.keys()) {
      if (nodeOf(uid) === id) {
        this.withoutHeartbeat.delete(uid);
      }
    }
    this.options.events.emit({ type: 'node-joined', node: toStatus(peer) });
    this.options.onMembership();
  }

  private setState(peer: Peer, state: PeerState): boolean {
    const before = peer.state;
    if (before === state) {
      return false;
    }
    if (state === 'down' && before === 'up') {
      this.setState(peer, 'suspect');
    }
    peer.state = state;
    this.options.events.emit({ type: EVENT_OF[state], node: toStatus(peer) });
    if (isPresent(peer) !== isPresent({ state: before })) {
      this.options.onMembership();
    }
    return true;
  }

  /** Makes room for one more: of a node that is gone, if there is one. */
  private evict(): void {
    const gone = [...this.peers].find(([, peer]) => !isPresent(peer)) ?? [...this.peers][0]!;
    this.peers.delete(gone[0]);
  }
}

function isPresent({ state }: Pick<Peer, 'state'>): boolean {
  return state === 'up' || state === 'suspect';
}

function isSameHearing(a: Hearing | undefined, b: Hearing | undefined): boolean {
  return a?.losses === b?.losses && a?.root === b?.root && String(a?.unheard) === String(b?.unheard);
}

function toStatus({ info, state, lastSeen }: Peer): NodeStatus {
  const { id, host, pid, startedAt, sockets, backlog } = info;
  return { id, host, pid, startedAt, state, lastSeen, sockets, backlog, self: false };
}

function toUnmonitored([id, { namespace, lastSeen }]: [string, ServerWithoutHeartbeat]): NodeStatus {
  const unknown = { host: 'unknown', pid: 0, startedAt: 0, sockets: 0, backlog: 0 };
  return { id, ...unknown, state: 'unmonitored', namespace, lastSeen, self: false };
}
