import { nodeOf } from '../wire/entry.js';
import type { ClusterEvent, NodeState, NodeStatus } from './events.js';

/** What a node tells of itself. */
export interface Announcement {
  id: string;
  host: string;
  pid: number;
  startedAt: number;
  sockets: number;
  backlog: number;
  /** How many Socket.IO servers of the node have, or had, the same namespace, at most: their uids are counted through. */
  servers: number;
}

export interface NodeRegistryOptions {
  /** Milliseconds. */
  heartbeatInterval: number;
  heartbeatTimeout: number;
  /** Milliseconds; monotonic. */
  now?: () => number;
  /** Told of each change of state of another node. */
  emit(event: ClusterEvent): void;
  /** Told of each change of the list, of whatever kind. */
  onChange(): void;
}

type PeerState = Exclude<NodeState, 'unmonitored'>;

interface Peer {
  announcement: Announcement;
  state: PeerState;
  /** By the monotonic clock. */
  heardAt: number;
  lastSeen: number;
}

/** One that sends and has not announced itself. */
interface Stranger {
  namespace: string;
  /** By the monotonic clock. */
  heardSince: number;
  heardAt: number;
  lastSeen: number;
  /** Whether it has been silent about itself for so long that it has no heartbeat. */
  unmonitored: boolean;
}

const MAX_PEERS = 1_000;
const MAX_STRANGERS = 100;
/** A node that is gone, or not heard any more, is listed for this many times `heartbeatTimeout`. */
const LISTED_AFTER = 30;

/**
 * The other nodes, by their heartbeats.
 *
 * States: `up`; `suspect` when an announcement is overdue: after a silence halfway between `heartbeatInterval` and
 * `heartbeatTimeout`; `down` after `heartbeatTimeout` of silence; `left` after a goodbye. A node that is heard again is
 * `up`. One that sends, and has announced nothing for `heartbeatTimeout` since it was first heard, is `unmonitored`: it
 * is listed, and that is all.
 */
export class NodeRegistry {
  private readonly peers = new Map<string, Peer>();
  /** By uid. */
  private readonly strangers = new Map<string, Stranger>();
  private readonly now: () => number;
  private checkedAt: number;

  constructor(private readonly options: NodeRegistryOptions) {
    this.now = options.now ?? (() => performance.now());
    this.checkedAt = this.now();
  }

  /** All other nodes that are known, those that are gone and those without heartbeats among them. */
  list(): NodeStatus[] {
    const unmonitored = [...this.strangers].filter(([, stranger]) => stranger.unmonitored);
    return [...[...this.peers.values()].map(toStatus), ...unmonitored.map(toUnmonitored)];
  }

  /** The ids of all nodes that have ever announced themselves, as far as they are still listed. */
  announced(): string[] {
    return [...this.peers.keys()];
  }

  /** Of these, the nodes that are not known to be gone. */
  present(): Announcement[] {
    return [...this.peers.values()].filter(isPresent).map(({ announcement }) => announcement);
  }

  isGone(id: string): boolean {
    const peer = this.peers.get(id);
    return peer !== undefined && !isPresent(peer);
  }

  /** A node announced itself. */
  heard(announcement: Announcement): void {
    const peer = this.peers.get(announcement.id);
    const heard = { announcement, state: 'up' as const, heardAt: this.now(), lastSeen: Date.now() };
    if (!peer) {
      this.peers.set(announcement.id, heard);
      this.shed();
      for (const uid of this.strangers.keys()) {
        if (nodeOf(uid) === announcement.id) {
          this.strangers.delete(uid);
        }
      }
      this.options.emit({ type: 'node-joined', node: toStatus(heard) });
    } else if (peer.state !== 'left') {
      Object.assign(peer, heard, { state: peer.state });
      this.setState(peer, 'up');
    }
    this.options.onChange();
  }

  /** A node said goodbye. */
  left(id: string): void {
    const peer = this.peers.get(id);
    if (peer) {
      peer.heardAt = this.now();
      this.setState(peer, 'left');
      this.options.onChange();
    }
  }

  /** A server has sent something, and may be of a node that has no heartbeat. */
  heardFrom(uid: string, namespace: string): void {
    if (this.peers.has(nodeOf(uid))) {
      return;
    }
    const heard = { heardAt: this.now(), lastSeen: Date.now() };
    const stranger = this.strangers.get(uid);
    if (stranger) {
      Object.assign(stranger, heard);
    } else if (this.strangers.size < MAX_STRANGERS && uid.length <= 64) {
      this.strangers.set(uid, { namespace, ...heard, heardSince: heard.heardAt, unmonitored: false });
    }
  }

  /**
   * Looks for silent nodes. To be called several times in a heartbeat interval. While this node itself cannot hear
   * (`deaf`), silence says nothing more than that nobody is heard.
   */
  check(deaf: boolean): void {
    const now = this.now();
    const { heartbeatInterval, heartbeatTimeout } = this.options;
    // A process that was stopped, or that did not come to this for long, has heard nothing in that time.
    const asleep = now - this.checkedAt > heartbeatInterval / 2 ? now - this.checkedAt : 0;
    const notHeard = deaf ? now - this.checkedAt : asleep;
    this.checkedAt = now;
    let changed = false;
    for (const [id, peer] of this.peers) {
      if (!isPresent(peer)) {
        if (now - peer.heardAt > LISTED_AFTER * heartbeatTimeout) {
          this.peers.delete(id);
          changed = true;
        }
        continue;
      }
      peer.heardAt += notHeard;
      const silence = now - peer.heardAt;
      if (silence > heartbeatTimeout) {
        changed = this.setState(peer, 'down') || changed;
      } else if (silence > (heartbeatInterval + heartbeatTimeout) / 2) {
        changed = this.setState(peer, 'suspect') || changed;
      }
    }
    for (const [uid, stranger] of this.strangers) {
      stranger.heardSince += notHeard;
      stranger.heardAt += notHeard;
      if (now - stranger.heardAt > LISTED_AFTER * heartbeatTimeout) {
        this.strangers.delete(uid);
        changed ||= stranger.unmonitored;
      } else if (!stranger.unmonitored && now - stranger.heardSince > heartbeatTimeout) {
        changed = stranger.unmonitored = true;
      }
    }
    if (changed) {
      this.options.onChange();
    }
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
    const type = {
      up: 'node-back',
      suspect: 'node-suspected',
      down: 'node-down',
      left: 'node-left',
    } as const;
    this.options.emit({ type: type[state], node: toStatus(peer) });
    return true;
  }

  private shed(): void {
    if (this.peers.size > MAX_PEERS) {
      const gone = [...this.peers].find(([, peer]) => !isPresent(peer)) ?? [...this.peers][0]!;
      this.peers.delete(gone[0]);
    }
  }
}

function isPresent({ state }: Peer): boolean {
  return state === 'up' || state === 'suspect';
}

function toStatus({ announcement, state, lastSeen }: Peer): NodeStatus {
  const { id, host, pid, startedAt, sockets, backlog } = announcement;
  return { id, host, pid, startedAt, state, lastSeen, sockets, backlog, self: false };
}

function toUnmonitored([id, { namespace, lastSeen }]: [string, Stranger]): NodeStatus {
  const unknown = { host: 'unknown', pid: 0, startedAt: 0, sockets: 0, backlog: 0 };
  return { id, ...unknown, state: 'unmonitored', namespace, lastSeen, self: false };
}
