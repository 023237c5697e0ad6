import {
  confirmedEpoch,
  decide,
  decideBefore,
  epochFor,
  isClaimLost,
  standingOf,
  type Claims,
  type OwnedRecord,
} from '../../lib/session/ownership.js';

/**
 * A model of how a session moves between nodes, small enough that all its states can be visited. What is decided is decided
 * by the functions that the nodes use; what they send to Redis and to each other are the steps of the model, each of which
 * may come at any time after the one before it: so a late command, a slow node and a half-open connection are all in it.
 *
 * A failover of Redis loses what was written last. Each node finds that out at its own time, when it is back.
 */

export const NODES = ['a', 'b', 'c'] as const;
export type NodeId = (typeof NODES)[number];

/** A session as it was after so many things that its client had done, the last of them in this epoch. */
interface Content {
  readonly version: number;
  readonly epoch: number;
}

interface Held {
  readonly epoch: number;
  readonly content: Content;
  readonly mode: 'held' | 'saving' | 'checked' | 'yielded';
  readonly isConfirmed: boolean;
}

/** What a node remembers of a client that has left. */
interface Left {
  readonly epoch: number;
  readonly content: Content;
  readonly isConfirmed: true;
}

interface RecordOf extends OwnedRecord {
  readonly content: Content;
  readonly node: NodeId | undefined;
}

/** What a node has decided to claim, from what it has read. */
interface Wanted {
  readonly epoch: number;
  /** What it found; undefined: nobody has written the session, and `node` is asked for it. */
  readonly kind: OwnedRecord['kind'] | undefined;
  readonly content: Content | undefined;
  readonly node: NodeId | undefined;
}

/** Where a node is in taking the session; see SessionTakeover. */
type Take =
  /** `wanted`: it has claimed that, its connection was lost, and it does not know whether it has got it. */
  | { readonly step: 'look'; readonly wanted?: Wanted }
  | { readonly step: 'claim'; readonly wanted: Wanted }
  /** Redis has executed the claim; its answer is on its way, and may be lost. */
  | { readonly step: 'answer'; readonly wanted: Wanted; readonly isWon: boolean }
  | { readonly step: 'ask'; readonly node: NodeId }
  | { readonly step: 'delete' }
  | { readonly step: 'write' };

/**
 * What a node that has lost Redis has yet to do before it says that it has settled, one after the other; see
 * SessionVerification.
 */
const DUE = ['verify', 'write', 'verify left', 'store left', 'remove leftovers'] as const;
type Due = (typeof DUE)[number];

interface NodeState {
  held: Held | undefined;
  left: Left | undefined;
  take: Take | undefined;
  /** Undefined if it has settled since the last failover; `return` as long as it cannot use Redis. */
  due: Due | 'return' | undefined;
  /** Whether it does not wait any longer for others to settle. */
  hasGivenUp: boolean;
  isCrashed: boolean;
}

interface Redis {
  /** The newest claim; earlier ones decide nothing any more. It may hold the session. */
  claim: { readonly epoch: number; readonly owner: NodeId; readonly content: Content | undefined } | undefined;
  /** What nodes have written of connected clients. */
  a: Written | undefined;
  b: Written | undefined;
  c: Written | undefined;
  stored: (Written & { readonly owner: NodeId }) | undefined;
}

interface Written {
  readonly epoch: number;
  readonly content: Content;
}

/** What a replica of Redis has of each key, as far as that is not what Redis has. */
type Replica = { readonly [Key in keyof Redis]?: readonly [Redis[Key]] };

/** What is written of a session, each of which a master of its own may have. */
const KEYS = ['claim', 'a', 'b', 'c', 'stored'] as const;

export interface Bounds {
  /** How often the client comes, to any node. */
  connections: number;
  /** How many answers of Redis may be lost. */
  losses?: number;
  /** How many nodes may crash, fall silent when they are asked, or not be back in time after a failover. */
  faults?: number;
  /** How many failovers there may be. */
  failovers?: number;
  /** Whether each key may lose its last writes by itself: in a cluster. */
  isCluster?: boolean;
}

export interface State {
  redis: Redis;
  /** Undefined if it has all. */
  replica: Replica | undefined;
  nodes: Record<NodeId, NodeState>;
  /** How many times the client connects yet. */
  connections: number;
  /** How many answers of Redis may be lost yet. */
  lossesLeft: number;
  /** How many faults may happen yet. */
  faultsLeft: number;
  /** How many have happened of which a session may die: silence is none, for a node that is slow comes back. */
  faults: number;
  failoversLeft: number;
  /** The newest epoch in which the session was handed out by who owned it then. */
  handedOut: number;
  /** What was in it then. */
  handedOutVersion: number;
  /** What its owner has written since, unless something has failed. */
  writtenVersion: number;
  /** The last node that handed it out. */
  lastOwner: NodeId;
}

/** What nodes do to be right after a failover. Tests leave out one each: that must be found. */
export interface Rules {
  /** Nobody looks for a session before the others have settled. */
  waitsForOthers: boolean;
  /** Nor before the node itself has. */
  waitsForItself: boolean;
  /** After a failover a node verifies what it holds, and claims it again. */
  verifies: boolean;
  /** What a node holds is written before it says that it has settled. */
  writesHeld: boolean;
  /** What a client left when Redis was away is written before, too. */
  savesFirst: boolean;
  /** What clients have left lately is written again. */
  writesLeft: boolean;
  /** So is what was yielded to a node whose claim is lost. */
  writesYielded: boolean;
  /** What was found before the connection was lost is not claimed after it. */
  looksAgain: boolean;
  /** What a node lets go of for another that did not ask for it is kept for who does. */
  keepsReleased: boolean;
  /** Who stores or deletes what its client left, and is late, puts back what was stored in a later epoch. */
  putsBack: boolean;
  /** A node that claims what it has itself goes on from that, also if it has saved or yielded it meanwhile. */
  keepsItsOwn: boolean;
}

export const RULES: Rules = {
  waitsForOthers: true,
  waitsForItself: true,
  verifies: true,
  writesHeld: true,
  savesFirst: true,
  writesLeft: true,
  writesYielded: true,
  looksAgain: true,
  keepsReleased: true,
  putsBack: true,
  keepsItsOwn: true,
};

/** The states of a model, and how they follow one another. */
export class Model {
  private readonly rules: Rules;
  private readonly isCluster: boolean;
  private readonly hasFailovers: boolean;

  constructor(
    private readonly bounds: Bounds,
    rules: Partial<Rules> = {},
  ) {
    this.rules = { ...RULES, ...rules };
    this.isCluster = bounds.isCluster ?? false;
    this.hasFailovers = (bounds.failovers ?? 0) > 0;
  }

  initial(): State {
    const idle = (): NodeState => ({
      ...{ held: undefined, left: undefined, take: undefined, due: undefined, hasGivenUp: false, isCrashed: false },
    });
    const content = { version: 0, epoch: -1 };
    const { connections, losses = 0, faults = 0, failovers = 0 } = this.bounds;
    return {
      redis: { claim: undefined, a: { epoch: 0, content }, b: undefined, c: undefined, stored: undefined },
      replica: undefined,
      nodes: {
        a: { ...idle(), held: { epoch: 0, content, mode: 'held', isConfirmed: true } },
        b: idle(),
        c: idle(),
      },
      ...{ connections, lossesLeft: losses, faultsLeft: faults, faults: 0, failoversLeft: failovers },
      ...{ handedOut: 0, handedOutVersion: 0, writtenVersion: 0, lastOwner: 'a' },
    };
  }

  /** All states that may follow, each with what happened. */
  successors(state: State): [what: string, next: State][] {
    const found: [string, State][] = [];
    const add: Add = (what, change) => {
      const next = copy(state);
      change(next);
      found.push([what, next]);
      for (const replica of this.lags(state, next)) {
        found.push([`${what}, and a replica does not have that`, { ...copy(next), replica }]);
      }
    };
    for (const id of NODES) {
      if (!state.nodes[id].isCrashed) {
        this.addSteps(state, id, add);
      }
    }
    if (state.failoversLeft > 0 && state.replica) {
      add('a replica takes over', (next) => this.failOver(next));
    }
    return found;
  }

  /** What a replica has that does not have the last write. */
  private lags({ redis: before, replica, failoversLeft }: State, { redis }: State): Replica[] {
    if (failoversLeft === 0) {
      return [];
    }
    const written = KEYS.filter((key) => redis[key] !== before[key]);
    if (!this.isCluster) {
      const all = Object.fromEntries(KEYS.map((key) => [key, [before[key]]])) as Replica;
      return written.length > 0 && !replica ? [all] : [];
    }
    let lags: Replica[] = [replica ?? {}];
    for (const key of written.filter((key) => !replica?.[key])) {
      lags = lags.flatMap((lag) => [lag, { ...lag, [key]: [before[key]] }]);
    }
    return lags.slice(1);
  }

  private failOver(state: State): void {
    state.failoversLeft--;
    for (const key of KEYS) {
      const lag = state.replica?.[key];
      if (lag) {
        (state.redis as unknown as Record<string, unknown>)[key] = lag[0];
      }
    }
    state.replica = undefined;
    if (NODES.some((id) => state.nodes[id].take && isWanting(state.nodes[id].take))) {
      state.writtenVersion = state.handedOutVersion; // who has claimed the session has not asked for it yet
    }
    for (const id of NODES) {
      const node = state.nodes[id];
      if (node.isCrashed) {
        continue;
      }
      node.due = 'return';
      node.hasGivenUp = false;
      if (node.held?.mode === 'checked') {
        node.held = { ...node.held, mode: 'saving' };
      }
      this.loseConnection(node);
    }
    forgetTheLost(state, NODES);
  }

  /** What a node does that is claiming a session. */
  private loseConnection(node: NodeState): void {
    const { take } = node;
    if (this.rules.looksAgain) {
      if (take?.step === 'claim') {
        node.take = { step: 'look' };
      } else if (take?.step === 'answer') {
        node.take = { step: 'look', wanted: take.wanted };
      }
    } else if (take?.step === 'answer') {
      node.take = { step: 'claim', wanted: take.wanted };
    }
  }

  private addSteps(state: State, id: NodeId, add: Add): void {
    const { held, take, due } = state.nodes[id];
    if (take) {
      this.addTakeSteps(state, id, take, add);
    } else if (state.connections > 0) {
      // When it connects makes no difference before the node looks.
      this.addLooks(state, id, { step: 'look' }, (what, change) =>
        add(`the client connects to ${id}, ${what}`, (next) => {
          next.connections--;
          change(next);
        }),
      );
    }
    if (held) {
      this.addHeldSteps(state, id, held, add);
    }
    if (due) {
      this.addReturnSteps(state, id, due, add);
    }
    if (state.faultsLeft > 0) {
      add(`${id} crashes`, (next) => {
        fail(next);
        next.nodes[id] = {
          ...{ held: undefined, left: undefined, take: undefined, due: undefined, hasGivenUp: false, isCrashed: true },
        };
        if (due) {
          forgetTheLost(next, NODES);
        }
      });
    }
  }

  // ── a client that is here ───────────────────────────────────────────────────────────────────────────────────────

  private addHeldSteps(state: State, id: NodeId, held: Held, add: Add): void {
    const { take, due } = state.nodes[id];
    const isThere = due !== 'return';
    const standing = standingOf(claimsOf(state), held.epoch, id);
    if (held.mode === 'held' && !(take && isCompleting(take))) {
      if (held.content.epoch !== held.epoch) {
        add(`the client does something on ${id}`, ({ nodes }) => {
          nodes[id].held = { ...held, content: { version: held.content.version + 1, epoch: held.epoch } };
        });
      }
      add(`${id} notices that its client is gone`, ({ nodes }) => (nodes[id].held = { ...held, mode: 'saving' }));
      if (isThere && held.isConfirmed) {
        add(`a checkpoint of ${id}`, (next) => writeLive(next, id, held));
      }
      if (isThere && standing === 'superseded') {
        add(`${id} verifies`, ({ nodes }) => (nodes[id].held = { ...held, mode: 'yielded' }));
      } else if (isThere && !held.isConfirmed) {
        add(`${id} confirms`, (next) => {
          enterClaim(next, held.epoch, id, held.content);
          next.nodes[id].held = { ...held, isConfirmed: true };
        });
      }
    } else if (held.mode === 'saving' && isThere) {
      add(`${id} asks whether it may save`, (next) => {
        const { nodes } = next;
        if (standing === 'superseded') {
          nodes[id].held = { ...held, mode: 'yielded' };
        } else {
          if (isClaimLost(claimsOf(next), held.epoch, id)) {
            enterClaim(next, held.epoch, id, held.content);
          }
          nodes[id].held = { ...held, isConfirmed: true, mode: 'checked' };
        }
      });
    } else if (held.mode === 'checked' && isThere) {
      add(`${id} saves`, (next) => {
        const { redis, nodes } = next;
        this.store(next, id, held);
        redis[id] = undefined;
        dropCopy(next, held.epoch);
        noteWritten(next, id, held);
        nodes[id].held = undefined;
        nodes[id].left = this.keep(held, take);
      });
    } else if (held.mode === 'yielded') {
      // It keeps that for longer than another needs from its claim to its question.
      const isWanted = NODES.some((other) => {
        const { take: wanting, due: dueThere } = state.nodes[other];
        return wanting !== undefined && (dueThere !== undefined || isWanting(wanting));
      });
      if ((!isWanted && !due) || state.faultsLeft > 0) {
        add(`${id} forgets what it has yielded`, (next) => {
          if (isWanted || due) {
            fail(next);
          }
          next.nodes[id].held = undefined;
        });
      }
    }
  }

  /** What a node remembers of a client that has left: it matters if there is a failover. */
  private keep({ epoch, content }: Held, take: Take | undefined): Left | undefined {
    const isWritten = this.hasFailovers && this.rules.writesLeft;
    return isWritten || (take && !isCompleting(take)) ? { epoch, content, isConfirmed: true } : undefined;
  }

  /** The client may have come elsewhere, and left again, since the node has decided to do that. */
  private store({ redis }: State, id: NodeId, { epoch, content }: Written): void {
    if (!this.rules.putsBack || (redis.stored?.epoch ?? 0) <= epoch) {
      redis.stored = { epoch, owner: id, content };
    }
  }

  /** Likewise. */
  private deleteStored({ redis, nodes }: State, id: NodeId): void {
    const { held } = nodes[id];
    if (held && (!this.rules.putsBack || (redis.stored?.epoch ?? 0) < held.epoch)) {
      redis.stored = undefined;
    } // else it is of a later epoch; or the node was released, and what there is of before makes no difference
  }

  // ── after a failover ────────────────────────────────────────────────────────────────────────────────────────────

  private addReturnSteps(state: State, id: NodeId, due: Due | 'return', add: Add): void {
    const { held, take } = state.nodes[id];
    const goOn = (next: State): void => this.goOn(next, id, due);
    const isSaving = held?.mode === 'saving' || held?.mode === 'checked';
    const isTaking = take !== undefined && isCompleting(take);
    switch (due) {
      case 'return':
        add(`${id} is back`, goOn);
        break;
      case 'verify':
        if (!isSaving || !this.rules.savesFirst) {
          add(`${id} verifies what it holds`, (next) => {
            if (held?.mode === 'held') {
              this.claimAgain(next, id, held);
            }
            goOn(next);
          });
        }
        break;
      case 'write':
        if (!isSaving || !this.rules.savesFirst) {
          add(`${id} writes what it holds`, (next) => {
            if (held?.mode === 'held' && !isTaking) {
              writeLive(next, id, held);
            }
            goOn(next);
          });
        }
        break;
      case 'verify left':
        add(`${id} verifies what its client left`, (next) => {
          const former = this.formerOf(next, id);
          if (former && isClaimLost(claimsOf(next), former.epoch, id)) {
            enterClaim(next, former.epoch, id, former.content);
          }
          if (!former || standingOf(claimsOf(next), former.epoch, id) === 'superseded') {
            this.goOn(next, id, 'store left');
          } else if (state.faultsLeft > 0) {
            goOn(next); // and stores it later
          } else {
            this.store(next, id, former);
            this.goOn(next, id, 'store left');
          }
        });
        break;
      case 'store left':
        add(`${id} stores what its client left`, (next) => {
          const former = this.formerOf(next, id);
          if (former) {
            this.store(next, id, former);
          }
          goOn(next);
        });
        break;
      case 'remove leftovers':
        add(`${id} removes what it does not hold`, (next) => {
          if (!held) {
            next.redis[id] = undefined;
          }
          goOn(next);
        });
        break;
    }
  }

  /** To the next thing to do after one. */
  private goOn(state: State, id: NodeId, after: Due | 'return'): void {
    const node = state.nodes[id];
    const isNeeded: Record<Due, boolean> = {
      verify: this.rules.verifies && node.held !== undefined,
      write: this.rules.verifies && this.rules.writesHeld && node.held !== undefined,
      'verify left': this.rules.verifies && this.formerOf(state, id) !== undefined,
      'store left': after === 'verify left',
      'remove leftovers': state.redis[id] !== undefined && node.held === undefined,
    };
    node.due = DUE.slice(after === 'return' ? 0 : DUE.indexOf(after) + 1).find((due) => isNeeded[due]);
  }

  private claimAgain(state: State, id: NodeId, held: Held): void {
    const claims = claimsOf(state);
    if (standingOf(claims, held.epoch, id) === 'superseded') {
      state.nodes[id].held = { ...held, mode: 'yielded' };
      return;
    }
    if (isClaimLost(claims, held.epoch, id)) {
      enterClaim(state, held.epoch, id, held.content);
    }
    state.nodes[id].held = { ...held, isConfirmed: true };
  }

  /** What a node writes again though its client is not there any more. */
  private formerOf({ nodes }: State, id: NodeId): Left | Held | undefined {
    const { held, left } = nodes[id];
    if (held?.mode === 'yielded') {
      return this.rules.writesYielded ? held : left;
    }
    return held ? undefined : left;
  }

  // ── a client that comes ─────────────────────────────────────────────────────────────────────────────────────────

  private addTakeSteps(state: State, id: NodeId, take: Take, add: Add): void {
    const { held, due } = state.nodes[id];
    const isThere = due !== 'return';
    switch (take.step) {
      case 'look':
        this.addLooks(state, id, take, add);
        break;
      case 'claim':
        if (isThere) {
          add(`${id} claims ${take.wanted.epoch}`, (next) => {
            enterClaim(next, take.wanted.epoch, id, take.wanted.content);
            const isWon = standingOf(claimsOf(next), take.wanted.epoch, id) === 'current';
            next.nodes[id].take = { step: 'answer', wanted: take.wanted, isWon };
          });
        }
        break;
      case 'answer': {
        const { wanted } = take;
        if (state.lossesLeft > 0) {
          add(`the answer to ${id}'s claim is lost`, (next) => {
            next.lossesLeft--;
            next.writtenVersion = next.handedOutVersion;
            this.loseConnection(next.nodes[id]);
          });
        }
        // What it has had in the meantime itself, it has not got anew.
        const hadIt = this.rules.keepsItsOwn && hasHad(state.nodes[id], wanted.epoch);
        if (!take.isWon || hadIt) {
          add(`${id} has lost the claim`, ({ nodes }) => (nodes[id].take = { step: 'look' }));
        } else {
          add(`${id} has won the claim`, (next) => this.win(next, id, wanted));
        }
        break;
      }
      case 'ask':
        if (isThere) {
          this.addAnswers(state, id, take.node, add);
        }
        break;
      case 'delete':
        add(`${id} deletes what was before`, (next) => {
          if (isThere) {
            this.deleteStored(next, id);
          }
          handOut(next, id);
        });
        break;
      case 'write':
        add(`${id} writes what it has`, (next) => {
          if (isThere) {
            this.deleteStored(next, id);
            if (held && isUsable(held)) {
              next.redis[id] = { epoch: held.epoch, content: held.content };
            }
          }
          handOut(next, id);
        });
        break;
    }
  }

  private addLooks(state: State, id: NodeId, take: Take & { step: 'look' }, add: Add): void {
    const { held, due } = state.nodes[id];
    if (this.mayLook(state, id)) {
      add(`${id} looks`, (next) => this.look(next, id, take.wanted));
    } else if (due !== 'return') {
      this.addGivingUp(state, id, (what, change) =>
        add(what, (next) => {
          next.nodes[id].take = take;
          change(next);
        }),
      );
    }
    if (held && isUsable(held) && state.lastOwner === id && !take.wanted) {
      add(`${id} takes it without Redis`, ({ nodes }) => {
        const epoch = held.isConfirmed ? held.epoch + 1 : held.epoch;
        nodes[id].held = { epoch, content: held.content, mode: 'held', isConfirmed: false };
        nodes[id].take = undefined;
      });
    }
  }

  private mayLook({ nodes }: State, id: NodeId): boolean {
    const { due, hasGivenUp } = nodes[id];
    const isSettled = this.rules.waitsForItself ? due === undefined : due !== 'return';
    return isSettled && (hasGivenUp || !this.rules.waitsForOthers || this.othersHaveSettled(nodes, id));
  }

  private othersHaveSettled(nodes: State['nodes'], id: NodeId): boolean {
    return NODES.every((other) => other === id || nodes[other].isCrashed || nodes[other].due === undefined);
  }

  private addGivingUp(state: State, id: NodeId, add: Add): void {
    if (state.faultsLeft > 0 && !state.nodes[id].hasGivenUp && !this.othersHaveSettled(state.nodes, id)) {
      add(`${id} waits no longer`, (next) => {
        fail(next);
        next.nodes[id].hasGivenUp = true;
        forgetTheLost(
          next,
          NODES.filter((other) => other === id || next.nodes[other].due === undefined),
        );
      });
    }
  }

  private look(state: State, id: NodeId, claimed: Wanted | undefined): void {
    const node = state.nodes[id];
    const hadIt = claimed && this.rules.keepsItsOwn && hasHad(node, claimed.epoch);
    if (claimed && !hadIt && standingOf(claimsOf(state), claimed.epoch, id) === 'current') {
      this.win(state, id, claimed);
      return;
    }
    if (
      node.held &&
      isUsable(node.held) &&
      standingOf(claimsOf(state), confirmedEpoch(node.held), id) === 'superseded'
    ) {
      node.held = { ...node.held, mode: 'yielded' };
    }
    const decision = decide(recordsFor(state, id), claimsOf(state));
    if (decision.kind === 'none') {
      node.take = undefined;
      refuse(state, id);
    } else if (decision.kind === 'ask') {
      const { epoch, node: asked } = decision;
      node.take = { step: 'claim', wanted: { epoch, kind: undefined, content: undefined, node: asked as NodeId } };
    } else {
      const { kind, content, node: where } = decision.record;
      node.take = { step: 'claim', wanted: { epoch: decision.epoch, kind, content, node: where } };
    }
  }

  private win({ nodes }: State, id: NodeId, wanted: Wanted): void {
    // What it had itself it may have changed since, and have saved.
    const { held } = nodes[id];
    const isHere = held !== undefined && isUsable(held);
    const former = this.rules.keepsItsOwn ? latestOf(nodes[id], wanted.epoch) : undefined;
    const here = wanted.kind === 'memory' ? (isHere ? held : former) : undefined;
    const remembered = wanted.node === id ? answerOf(nodes[id], wanted.epoch) : undefined;
    const content = (here ?? remembered)?.content ?? wanted.content ?? { version: -1, epoch: -1 };
    if (held?.mode === 'yielded') {
      nodes[id].left = { epoch: held.epoch, content: held.content, isConfirmed: true }; // who asks for it may not have it yet
    }
    nodes[id].held = { epoch: wanted.epoch, content, mode: 'held', isConfirmed: true };
    const isAsked = wanted.node !== undefined && wanted.node !== id;
    const isNewer = content.version > (wanted.content?.version ?? -1);
    nodes[id].take = isAsked ? { step: 'ask', node: wanted.node } : { step: isNewer ? 'write' : 'delete' };
  }

  /** Another has claimed an epoch: what a node holds of before is ended, and kept unless it was given to that one. */
  private release({ redis, nodes }: State, id: NodeId, claimed: number, isGiven: boolean): void {
    const { held } = nodes[id];
    if (!held || (isUsable(held) ? confirmedEpoch(held) >= claimed : !isGiven)) {
      return;
    }
    if (isGiven || !this.rules.keepsReleased) {
      redis[id] = undefined;
    }
    nodes[id].held = this.rules.keepsReleased ? { ...held, mode: 'yielded' } : undefined;
  }

  /** A node was asked for the session as it is now. */
  private addAnswers(state: State, id: NodeId, asked: NodeId, add: Add): void {
    const other = state.nodes[asked];
    const { epoch } = state.nodes[id].held!;
    const isWaiting = other.due !== undefined && !state.nodes[id].hasGivenUp && this.rules.waitsForOthers;
    if (isWaiting) {
      this.addGivingUp(state, id, add);
    }
    const isExcused = other.isCrashed || (state.nodes[id].hasGivenUp && other.due !== undefined);
    if (isExcused || state.faultsLeft > 0) {
      add(`${asked} is silent`, (next) => {
        if (!isExcused) {
          next.faultsLeft--;
          next.writtenVersion = next.handedOutVersion;
        }
        lookAgain(next, id);
      });
    }
    if (!isWaiting && canAnswer(other, epoch)) {
      const answer = answerOf(other, epoch);
      if (answer?.epoch === epoch - 1) {
        add(`${asked} answers ${id}`, (next) => {
          this.release(next, asked, epoch, true);
          next.nodes[id].held = { ...next.nodes[id].held!, content: answer.content };
          next.nodes[id].take = { step: 'write' };
        });
        if (state.lossesLeft > 0) {
          add(`the answer of ${asked} is lost, and ${id} asks again`, (next) => {
            next.lossesLeft--;
            this.release(next, asked, epoch, true);
          });
        }
      } else {
        add(`${asked} does not have it, answers ${id}`, (next) => {
          this.release(next, asked, epoch, false);
          lookAgain(next, id);
        });
      }
    }
    // All hear what one is asked, and let go of what they have.
    for (const third of NODES) {
      const { held } = state.nodes[third];
      const isHeard = third !== id && third !== asked && canAnswer(state.nodes[third], epoch);
      if (isHeard && held && isUsable(held) && confirmedEpoch(held) < epoch) {
        add(`${third} hears that ${id} asks ${asked}`, (next) => this.release(next, third, epoch, false));
      }
    }
  }
}

type Add = (what: string, change: (next: State) => void) => void;

function copy(state: State): State {
  const { a, b, c } = state.nodes;
  return { ...state, redis: { ...state.redis }, nodes: { a: { ...a }, b: { ...b }, c: { ...c } } };
}

// ── Redis ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const claimsOf = ({ redis: { claim } }: State): Claims => new Map(claim ? [[claim.epoch, claim.owner]] : []);

function enterClaim({ redis }: State, epoch: number, owner: NodeId, content: Content | undefined): void {
  if (epoch > (redis.claim?.epoch ?? 0)) {
    redis.claim = { epoch, owner, content };
  } // else it is there, or makes no difference
}

/** The claim need not hold what is written elsewhere. */
function dropCopy({ redis }: State, epoch: number): void {
  if (redis.claim?.epoch === epoch && redis.claim.content) {
    redis.claim = { ...redis.claim, content: undefined };
  }
}

function writeLive(state: State, id: NodeId, held: Held): void {
  const { epoch, content } = held;
  state.redis[id] = { epoch, content };
  dropCopy(state, epoch);
  noteWritten(state, id, held);
}

function noteWritten(state: State, id: NodeId, { epoch, content }: Held): void {
  // As long as a node is on its way back, one that has claimed the session may not have entered that again.
  const isSettled = NODES.every((node) => state.nodes[node].due === undefined);
  if (isSettled && standingOf(claimsOf(state), epoch, id) !== 'superseded') {
    state.writtenVersion = Math.max(state.writtenVersion, content.version);
  }
}

/** What a node finds that looks for the session: everything but its own hash, which it knows better. */
function recordsFor(state: State, self: NodeId): RecordOf[] {
  const records = sharedRecords(state, self);
  const { held } = state.nodes[self];
  if (held && isUsable(held)) {
    records.push({ kind: 'memory', epoch: confirmedEpoch(held), owner: self, content: held.content, node: undefined });
  }
  return records;
}

/** What is in Redis, but for a node's own hash. */
function sharedRecords({ redis }: State, self?: NodeId): RecordOf[] {
  const records: RecordOf[] = [];
  const { claim, stored } = redis;
  if (claim?.content) {
    records.push({ kind: 'claim', epoch: claim.epoch, owner: claim.owner, content: claim.content, node: claim.owner });
  }
  for (const node of NODES) {
    const live = redis[node];
    if (live && node !== self) {
      records.push({ kind: 'live', epoch: live.epoch, owner: node, content: live.content, node });
    }
  }
  if (stored) {
    const { epoch, owner, content } = stored;
    records.push({ kind: 'stored', epoch, owner, content, node: undefined });
  }
  return records;
}

// ── nodes ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const isUsable = ({ mode }: Held): boolean => mode === 'held' || mode === 'saving' || mode === 'checked';

/** Whether what is taken may be asked for yet. */
const isWanting = (take: Take): boolean => take.step === 'ask' || ('wanted' in take && take.wanted !== undefined);

const isCompleting = ({ step }: Take): boolean => step === 'ask' || step === 'delete' || step === 'write';

/** Whether a node hears what who has claimed an epoch asks, and knows what it has itself. */
function canAnswer({ isCrashed, due, take, held }: NodeState, claimed: number): boolean {
  const isClaiming = take?.step === 'answer' || (take?.step === 'look' && take.wanted !== undefined);
  const isBusy = isClaiming || (take && isCompleting(take) && held && confirmedEpoch(held) < claimed);
  return !isCrashed && due !== 'return' && !isBusy;
}

/** What a node says that is asked for the session by who has claimed an epoch. */
function answerOf({ held, left }: NodeState, claimed: number): Written | undefined {
  if (held && isUsable(held) && confirmedEpoch(held) < claimed) {
    return { epoch: epochFor(claimed, held), content: held.content };
  }
  const former = [held?.mode === 'yielded' ? held : undefined, left].find(
    (one) => one && epochFor(claimed, one) === claimed - 1,
  );
  return former && { epoch: claimed - 1, content: former.content };
}

/** Whether a node holds this epoch of a session, or has saved it. */
function hasHad({ held, left }: NodeState, epoch: number): boolean {
  return (held && isUsable(held) && confirmedEpoch(held) >= epoch) || (left !== undefined && left.epoch >= epoch);
}

/** What a node had itself when it claimed an epoch, and has saved or yielded since. */
function latestOf({ held, left }: NodeState, claimed: number): Left | Held | undefined {
  const former = [left, held].filter((one) => one !== undefined && one.epoch >= claimed - 1);
  return former.sort((one, other) => other!.epoch - one!.epoch)[0];
}

/** The node that was asked has said nothing: what it has written meanwhile counts. */
function lookAgain(state: State, id: NodeId): void {
  const mine = state.nodes[id].held!;
  const record = decideBefore(mine.epoch, sharedRecords(state, id), claimsOf(state));
  if (record) {
    state.nodes[id].held = { ...mine, content: record.content };
  }
  state.nodes[id].take = { step: record ? 'write' : 'delete' };
}

function handOut(state: State, id: NodeId): void {
  const node = state.nodes[id];
  const { held } = node;
  node.take = undefined;
  if (!held || held.mode === 'yielded') {
    return; // it was released meanwhile
  }
  if (held.content.version < 0) {
    node.held = undefined; // no session was found
    refuse(state, id);
    return;
  }
  for (const other of NODES) {
    const live = state.redis[other];
    if (node.due !== 'return' && other !== id && live && live.epoch < held.epoch) {
      state.redis[other] = undefined;
    }
  }
  if (standingOf(claimsOf(state), held.epoch, id) !== 'superseded') {
    const { version } = held.content;
    if (version < state.handedOutVersion) {
      throw new Error(`${id} hands out version ${version} after ${state.handedOutVersion} was handed out`);
    }
    if (version < state.writtenVersion) {
      throw new Error(`${id} hands out version ${version} after ${state.writtenVersion} was written`);
    }
    state.handedOutVersion = state.writtenVersion = version;
    state.handedOut = held.epoch;
  }
  state.lastOwner = id;
}

// ── what must be true ─────────────────────────────────────────────────────────────────────────────────────────────

function refuse({ faults }: State, id: NodeId): void {
  if (faults === 0) {
    throw new Error(`${id} does not find the session`);
  }
}

/** Something fails that need not: then what is handed out may be older than what was written. */
function fail(state: State): void {
  state.faultsLeft--;
  state.faults++;
  state.writtenVersion = state.handedOutVersion;
}

/** Redis has lost writes: what is known is what it has still, and what these nodes have. */
function forgetTheLost(state: State, nodes: readonly NodeId[]): void {
  const found = decide(sharedRecords(state), claimsOf(state));
  let epoch = found.kind === 'claim' ? found.epoch - 1 : 0;
  let version = found.kind === 'claim' ? found.record.content.version : 0;
  for (const id of nodes) {
    const { held, left } = state.nodes[id];
    for (const one of [held, left]) {
      if (one && one.content.version >= 0) {
        epoch = Math.max(epoch, one.epoch);
        version = Math.max(version, one.content.version);
      }
    }
  }
  state.handedOut = Math.min(state.handedOut, epoch);
  state.handedOutVersion = Math.min(state.handedOutVersion, version);
  state.writtenVersion = Math.min(state.writtenVersion, version);
}

/** What is wrong with a state, if anything is. */
export function violation(state: State): string | undefined {
  const { nodes } = state;
  const claims = claimsOf(state);
  const writers = NODES.filter((id) => {
    const { held, due } = nodes[id];
    return held && !due && isUsable(held) && held.isConfirmed && standingOf(claims, held.epoch, id) !== 'superseded';
  });
  if (writers.length > 1) {
    return `${writers.join(' and ')} both own the session`;
  }
  if (NODES.some((id) => nodes[id].due !== undefined)) {
    return undefined; // what Redis has lost is being written again
  }
  const found = decide(sharedRecords(state), claims);
  if (found.kind === 'claim' && found.epoch - 1 < state.handedOut) {
    return `a record of epoch ${found.epoch - 1} is found after epoch ${state.handedOut} was handed out`;
  }
  const isQuiet = NODES.every((id) => !nodes[id].take && nodes[id].held?.mode !== 'checked');
  if (state.faults === 0 && isQuiet && found.kind !== 'claim') {
    const isWithOwner = found.kind === 'ask' && nodes[found.node as NodeId].held !== undefined;
    if (!isWithOwner) {
      return 'the session is lost';
    }
  }
  return undefined;
}

// ── states as texts ───────────────────────────────────────────────────────────────────────────────────────────────

/** A text for each state; the same for two states that differ in which of the nodes that begin alike is which. */
export function keyOf(state: State): string {
  const { b, c } = state.nodes;
  const order = rankOf(b) - rankOf(c);
  if (order !== 0) {
    return encode(state, order > 0 ? NODES : SWAPPED);
  }
  const [one, other] = [encode(state, NODES), encode(state, SWAPPED)];
  return one < other ? one : other;
}

/** The nodes, with those exchanged that begin alike. */
const SWAPPED: readonly NodeId[] = ['a', 'c', 'b'];

/** A number that says something of a node, whichever it is. */
function rankOf({ held, left, take, due, isCrashed }: NodeState): number {
  let rank = isCrashed ? 1 : 0;
  rank = rank * 16 + (held ? 1 + held.epoch * 5 + held.content.version : 0);
  rank = rank * 8 + (held ? held.mode.length : 0);
  rank = rank * 8 + (left ? 1 + left.epoch : 0);
  rank = rank * 16 + (take ? take.step.length : 0);
  return rank * 16 + (due ? due.length : 0);
}

function encode(state: State, order: readonly NodeId[]): string {
  const { redis, replica } = state;
  const name = (id: NodeId | undefined): string => (id === undefined ? '-' : String(order.indexOf(id)));
  const written = (value: Written | undefined): string => (value ? `${value.epoch}${contentKey(value.content)}` : '-');
  const values: { [Key in keyof Redis]: (value: Redis[Key]) => string } = {
    claim: (claim) => (claim ? `${claim.epoch}${name(claim.owner)}${contentKey(claim.content)}` : '-'),
    ...{ a: written, b: written, c: written },
    stored: (stored) => (stored ? `${name(stored.owner)}${written(stored)}` : '-'),
  };
  const lag = <Key extends keyof Redis>(key: Key): string => {
    const old = replica?.[key];
    return old ? values[key](old[0]) : '=';
  };
  let key = `${state.connections}${state.lossesLeft}${state.faultsLeft}${state.faults}${state.failoversLeft}`;
  key += `${state.handedOut}${state.handedOutVersion}${state.writtenVersion}${name(state.lastOwner)} ${values.claim(redis.claim)} ${values.stored(redis.stored)}`;
  for (const id of order) {
    key += ` ${written(redis[id])} ${nodeKey(state.nodes[id], name)}`;
  }
  if (replica) {
    key += ` ${lag('claim')} ${lag('stored')}`;
    for (const id of order) {
      key += ` ${lag(id)}`;
    }
  }
  return key;
}

const contentKey = (content: Content | undefined): string => (content ? `${content.version}/${content.epoch}` : '~');

function nodeKey(node: NodeState, name: (id: NodeId | undefined) => string): string {
  if (node.isCrashed) {
    return 'x';
  }
  const { held, left, take, due, hasGivenUp } = node;
  let key = held ? `${held.mode[0]}${held.epoch}${contentKey(held.content)}${held.isConfirmed ? '' : '?'}` : '';
  if (left) {
    key += `l${left.epoch}${contentKey(left.content)}`;
  }
  if (due) {
    key += `d${due === 'return' ? '' : DUE.indexOf(due)}${hasGivenUp ? '!' : ''}`;
  } else if (hasGivenUp) {
    key += '!';
  }
  if (take) {
    key += `t${take.step}`;
    const wanted = 'wanted' in take ? take.wanted : undefined;
    if (wanted) {
      key += `${wanted.epoch}${wanted.kind?.[0] ?? '-'}${contentKey(wanted.content)}${name(wanted.node)}`;
    }
    key += take.step === 'ask' ? name(take.node) : take.step === 'answer' && take.isWon ? '+' : '';
  }
  return key;
}
