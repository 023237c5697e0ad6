import { decide, standingOf, type Claims, type OwnedRecord } from '../../lib/session/ownership.js';

/**
 * A model of how a session moves between nodes, small enough that all its states can be visited. What is decided is decided
 * by the functions that the nodes use; what they send to Redis and to each other are the steps of the model, each of which
 * may come at any time after the one before it: so a late command, a slow node and a half-open connection are all in it.
 */

export const NODES = ['a', 'b', 'c'] as const;
export type NodeId = (typeof NODES)[number];

/** A session as it was after so many things that its client had done, the last of them in this epoch. */
interface Content {
  version: number;
  epoch: number;
}

interface Held {
  epoch: number;
  content: Content;
  mode: 'held' | 'saving' | 'checked' | 'yielded';
  isConfirmed: boolean;
}

interface RecordOf extends OwnedRecord {
  content: Content;
  node: NodeId | undefined;
}

/** What a node has decided to claim, from what it has read. */
interface Wanted {
  epoch: number;
  /** What it found; undefined: nobody has written the session, and `node` is asked for it. */
  kind: OwnedRecord['kind'] | undefined;
  content: Content | undefined;
  node: NodeId | undefined;
}

/** Where a node is in taking the session; see SessionTakeover. */
type Take =
  | { step: 'look' }
  | { step: 'claim'; wanted: Wanted }
  /** Redis has executed the claim; its answer is on its way, and may be lost. */
  | { step: 'answer'; wanted: Wanted; isWon: boolean }
  | { step: 'ask'; node: NodeId }
  | { step: 'delete' }
  | { step: 'write' };

interface NodeState {
  held: Held | undefined;
  take: Take | undefined;
  isCrashed: boolean;
}

interface Redis {
  /** The newest claim; earlier ones decide nothing any more. It may hold the session. */
  claim: { epoch: number; owner: NodeId; content: Content | undefined } | undefined;
  live: Partial<Record<NodeId, { epoch: number; content: Content }>>;
  stored: { epoch: number; owner: string; content: Content } | undefined;
}

export interface State {
  redis: Redis;
  nodes: Record<NodeId, NodeState>;
  /** How many times the client connects yet. */
  connections: number;
  /** How many answers of Redis may be lost yet. */
  lossesLeft: number;
  /** How many faults may happen yet, and how many have. */
  faultsLeft: number;
  faults: number;
  /** The newest epoch in which the session was handed out by who owned it then. */
  handedOut: number;
  /** What was in it then. */
  handedOutVersion: number;
  /** The last node that handed it out. */
  lastOwner: NodeId;
}

/**
 * @param connections - how often the client comes, to any node
 * @param losses - how many answers of Redis may be lost
 * @param faults - how many nodes may crash, or fall silent when they are asked
 */
export function initialState(connections: number, losses: number, faults: number): State {
  const idle = (): NodeState => ({ held: undefined, take: undefined, isCrashed: false });
  const content = { version: 0, epoch: -1 };
  return {
    redis: { claim: undefined, live: { a: { epoch: 0, content } }, stored: undefined },
    nodes: {
      a: { ...idle(), held: { epoch: 0, content, mode: 'held', isConfirmed: true } },
      b: idle(),
      c: idle(),
    },
    ...{
      connections,
      lossesLeft: losses,
      faultsLeft: faults,
      faults: 0,
      handedOut: 0,
      handedOutVersion: 0,
      lastOwner: 'a',
    },
  };
}

const claimsOf = ({ redis: { claim } }: State): Claims => new Map(claim ? [[claim.epoch, claim.owner]] : []);

function enterClaim({ redis }: State, epoch: number, owner: NodeId, content: Content | undefined): void {
  if (epoch > (redis.claim?.epoch ?? 0)) {
    redis.claim = { epoch, owner, content };
  } // else it is there, or makes no difference
}

function settle({ redis: { claim } }: State, epoch: number): void {
  if (claim?.epoch === epoch) {
    claim.content = undefined;
  }
}

/** What a node finds that looks for the session: everything but its own hash, which it knows better. */
function recordsFor({ redis, nodes }: State, self: NodeId): RecordOf[] {
  const records: RecordOf[] = [];
  const { claim } = redis;
  if (claim?.content) {
    records.push({ kind: 'claim', epoch: claim.epoch, owner: claim.owner, content: claim.content, node: claim.owner });
  }
  for (const node of NODES) {
    const live = redis.live[node];
    if (live && node !== self) {
      records.push({ kind: 'live', epoch: live.epoch, owner: node, content: live.content, node });
    }
  }
  if (redis.stored) {
    const { epoch, owner, content } = redis.stored;
    records.push({ kind: 'stored', epoch, owner, content, node: undefined });
  }
  const { held } = nodes[self];
  if (held && isUsable(held)) {
    records.push({ kind: 'memory', epoch: confirmedEpoch(held), owner: self, content: held.content, node: undefined });
  }
  return records;
}

const confirmedEpoch = ({ epoch, isConfirmed }: Held): number => (isConfirmed ? epoch : epoch - 1);

const isUsable = ({ mode }: Held): boolean => mode === 'held' || mode === 'saving' || mode === 'checked';

/** All states that may follow, each with what happened. */
export function successors(state: State): [what: string, next: State][] {
  const found: [string, State][] = [];
  const add = (what: string, change: (next: State) => void): void => {
    const next = structuredClone(state);
    change(next);
    found.push([what, next]);
  };
  for (const id of NODES) {
    const node = state.nodes[id];
    if (node.isCrashed) {
      continue;
    }
    const { held, take } = node;
    if (state.connections > 0 && !take) {
      add(`the client connects to ${id}`, (next) => {
        next.connections--;
        next.nodes[id].take = { step: 'look' };
      });
    }
    if (take) {
      addTakeSteps(state, id, take, add);
    }
    if (held) {
      addHeldSteps(state, id, held, add);
    }
    if (state.faultsLeft > 0) {
      add(`${id} crashes`, (next) => {
        next.faultsLeft--;
        next.faults++;
        next.nodes[id] = { held: undefined, take: undefined, isCrashed: true };
      });
    }
  }
  return found;
}

type Add = (what: string, change: (next: State) => void) => void;

function addHeldSteps(state: State, id: NodeId, held: Held, add: Add): void {
  const standing = standingOf(claimsOf(state), held.epoch, id);
  const isTaking = state.nodes[id].take !== undefined && ['ask', 'delete', 'write'].includes(state.nodes[id].take.step);
  if (held.mode === 'held' && !isTaking) {
    if (held.content.epoch !== held.epoch) {
      add(`the client does something on ${id}`, ({ nodes }) => {
        nodes[id].held!.content = { version: held.content.version + 1, epoch: held.epoch };
      });
    }
    add(`${id} notices that its client is gone`, ({ nodes }) => (nodes[id].held!.mode = 'saving'));
    if (held.isConfirmed) {
      add(`a checkpoint of ${id}`, (next) => {
        next.redis.live[id] = { epoch: held.epoch, content: held.content };
        settle(next, held.epoch);
      });
    }
    if (standing === 'superseded') {
      add(`${id} verifies`, ({ nodes }) => (nodes[id].held!.mode = 'yielded'));
    } else if (!held.isConfirmed) {
      add(`${id} confirms`, (next) => {
        enterClaim(next, held.epoch, id, undefined);
        next.nodes[id].held!.isConfirmed = true;
      });
    }
  } else if (held.mode === 'saving') {
    add(`${id} asks whether it may save`, (next) => {
      const { nodes } = next;
      if (standing === 'superseded') {
        nodes[id].held!.mode = 'yielded';
      } else {
        enterClaim(next, held.epoch, id, undefined);
        nodes[id].held!.isConfirmed = true;
        nodes[id].held!.mode = 'checked';
      }
    });
  } else if (held.mode === 'checked') {
    // Others have claimed it, and may have moved on, between its question and its write: it is very slow.
    const isLate = standing === 'superseded';
    if (isLate && state.faultsLeft === 0) {
      return;
    }
    add(`${id} saves`, (next) => {
      const { redis, nodes } = next;
      next.faultsLeft -= isLate ? 1 : 0;
      next.faults += isLate ? 1 : 0;
      redis.stored = { epoch: held.epoch, owner: id, content: held.content };
      delete redis.live[id];
      settle(next, held.epoch);
      nodes[id].held = undefined;
    });
  } else if (held.mode === 'yielded') {
    // It keeps that for longer than another needs from its claim to its question.
    const isWanted = NODES.some((other) => ['claim', 'answer', 'ask'].includes(state.nodes[other].take?.step ?? ''));
    if (!isWanted || state.faultsLeft > 0) {
      add(`${id} forgets what it has yielded`, (next) => {
        next.faultsLeft -= isWanted ? 1 : 0;
        next.faults += isWanted ? 1 : 0;
        next.nodes[id].held = undefined;
      });
    }
  }
}

function addTakeSteps(state: State, id: NodeId, take: Take, add: Add): void {
  const { held } = state.nodes[id];
  switch (take.step) {
    case 'look':
      add(`${id} looks`, (next) => {
        const node = next.nodes[id];
        if (
          node.held &&
          isUsable(node.held) &&
          standingOf(claimsOf(next), confirmedEpoch(node.held), id) === 'superseded'
        ) {
          node.held.mode = 'yielded';
        }
        const decision = decide(recordsFor(next, id), claimsOf(next));
        if (decision.kind === 'none') {
          node.take = undefined;
        } else if (decision.kind === 'ask') {
          const { epoch, node: asked } = decision;
          node.take = { step: 'claim', wanted: { epoch, kind: undefined, content: undefined, node: asked as NodeId } };
        } else {
          const { kind, content, node: where } = decision.record;
          node.take = { step: 'claim', wanted: { epoch: decision.epoch, kind, content, node: where } };
        }
      });
      if (held && isUsable(held) && state.lastOwner === id) {
        add(`${id} takes it without Redis`, ({ nodes }) => {
          const epoch = held.isConfirmed ? held.epoch + 1 : held.epoch;
          nodes[id].held = { epoch, content: held.content, mode: 'held', isConfirmed: false };
          nodes[id].take = undefined;
        });
      }
      break;
    case 'claim':
      add(`${id} claims ${take.wanted.epoch}`, (next) => {
        enterClaim(next, take.wanted.epoch, id, take.wanted.content);
        const isWon = standingOf(claimsOf(next), take.wanted.epoch, id) === 'current';
        next.nodes[id].take = { step: 'answer', wanted: take.wanted, isWon };
      });
      break;
    case 'answer': {
      const { wanted } = take;
      if (state.lossesLeft > 0) {
        add(`the answer to ${id}'s claim is lost`, (next) => {
          next.lossesLeft--;
          next.nodes[id].take = { step: 'claim', wanted };
        });
      }
      if (!take.isWon) {
        add(`${id} has lost the claim`, ({ nodes }) => (nodes[id].take = { step: 'look' }));
        break;
      }
      add(`${id} has won the claim`, ({ nodes }) => {
        const isHere = wanted.kind === 'memory' && held !== undefined && isUsable(held);
        const content = isHere ? held.content : (wanted.content ?? { version: -1, epoch: -1 });
        nodes[id].held = { epoch: wanted.epoch, content, mode: 'held', isConfirmed: true };
        const isAsked = wanted.node !== undefined && wanted.node !== id;
        const isNewer = content.version > (wanted.content?.version ?? -1);
        nodes[id].take = isAsked ? { step: 'ask', node: wanted.node! } : { step: isNewer ? 'write' : 'delete' };
      });
      break;
    }
    case 'ask':
      addAnswers(state, id, take.node, add);
      break;
    case 'delete':
      add(`${id} deletes what was before`, (next) => {
        deleteStored(next, id);
        handOut(next, id);
      });
      break;
    case 'write':
      add(`${id} writes what it has`, (next) => {
        deleteStored(next, id);
        next.redis.live[id] = { epoch: held!.epoch, content: held!.content };
        handOut(next, id);
      });
      break;
  }
}

/** A node was asked for the session as it is now. */
function addAnswers(state: State, id: NodeId, asked: NodeId, add: Add): void {
  const other = state.nodes[asked];
  const mine = state.nodes[id].held!;
  if (other.isCrashed || state.faultsLeft > 0) {
    add(`${asked} is silent`, (next) => {
      next.faultsLeft -= other.isCrashed ? 0 : 1;
      next.faults += other.isCrashed ? 0 : 1;
      lookAgain(next, id);
    });
  }
  if (other.isCrashed || other.take?.step === 'answer' || (other.take && isCompleting(other.take))) {
    return; // it answers when it knows
  }
  const { held } = other;
  if (held && confirmedEpoch(held) === mine.epoch - 1) {
    add(`${asked} answers ${id}`, ({ redis, nodes }) => {
      nodes[asked].held = undefined;
      delete redis.live[asked];
      nodes[id].held!.content = held.content;
      nodes[id].take = { step: 'write' };
    });
  } else {
    add(`${asked} does not have it, answers ${id}`, (next) => {
      if (held && held.epoch < mine.epoch && isUsable(held)) {
        next.nodes[asked].held = undefined;
      }
      lookAgain(next, id);
    });
  }
}

/** The node that was asked has said nothing: what it has written meanwhile counts. */
function lookAgain(state: State, id: NodeId): void {
  const mine = state.nodes[id].held!;
  const records = recordsFor(state, id).filter(({ kind, epoch }) => kind !== 'memory' && epoch! < mine.epoch);
  const decision = decide(records, new Map());
  const isNewer = decision.kind === 'claim' && decision.epoch === mine.epoch;
  if (isNewer) {
    mine.content = decision.record.content;
  }
  state.nodes[id].take = { step: isNewer ? 'write' : 'delete' };
}

const isCompleting = ({ step }: Take): boolean => step === 'ask' || step === 'delete' || step === 'write';

/** If that comes after others have claimed, handed out and saved the session, the node is very slow. */
function deleteStored(state: State, id: NodeId): void {
  const { stored } = state.redis;
  const isLate = stored !== undefined && stored.epoch >= state.nodes[id].held!.epoch;
  if (!isLate || state.faultsLeft > 0) {
    state.faultsLeft -= isLate ? 1 : 0;
    state.faults += isLate ? 1 : 0;
    state.redis.stored = undefined;
  }
}

function handOut(state: State, id: NodeId): void {
  const node = state.nodes[id];
  const { held } = node;
  node.take = undefined;
  if (!held) {
    return; // it was released meanwhile
  }
  if (held.content.version < 0) {
    node.held = undefined; // no session was found
    return;
  }
  for (const other of NODES) {
    if (other !== id && state.redis.live[other] && state.redis.live[other].epoch < held.epoch) {
      delete state.redis.live[other];
    }
  }
  if (standingOf(claimsOf(state), held.epoch, id) === 'current') {
    if (held.content.version < state.handedOutVersion) {
      throw new Error(`${id} hands out version ${held.content.version} after ${state.handedOutVersion}`);
    }
    state.handedOutVersion = held.content.version;
    state.handedOut = held.epoch;
  }
  state.lastOwner = id;
}

/** What is wrong with a state, if anything is. */
export function violation(state: State): string | undefined {
  const claims = claimsOf(state);
  const writers = NODES.filter((id) => {
    const { held } = state.nodes[id];
    return held && isUsable(held) && held.isConfirmed && standingOf(claims, held.epoch, id) !== 'superseded';
  });
  if (writers.length > 1) {
    return `${writers.join(' and ')} both own the session`;
  }
  const shared = decide(
    recordsFor(state, 'a').filter(({ kind }) => kind !== 'memory'),
    claims,
  );
  const own = state.redis.live.a && { kind: 'live' as const, epoch: state.redis.live.a.epoch, owner: 'a' };
  const all = [...recordsFor(state, 'a').filter(({ kind }) => kind !== 'memory'), ...(own ? [own] : [])];
  const found = decide<OwnedRecord>(all, claims);
  if (found.kind === 'claim' && found.epoch - 1 < state.handedOut) {
    return `a record of epoch ${found.epoch - 1} is found after epoch ${state.handedOut} was handed out`;
  }
  const isQuiet = NODES.every((id) => !state.nodes[id].take && state.nodes[id].held?.mode !== 'checked');
  if (state.faults === 0 && isQuiet && found.kind !== 'claim' && shared.kind !== 'claim') {
    const isWithOwner = found.kind === 'ask' && state.nodes[found.node as NodeId].held !== undefined;
    if (!isWithOwner) {
      return 'the session is lost';
    }
  }
  return undefined;
}
