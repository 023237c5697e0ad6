/**
 * Who owns the session of a client, decided without Redis at hand: pure functions of what was read from it.
 *
 * Each recovery of a session is an *epoch*, counted from 0, the first connection. Who recovers a session claims the next
 * epoch, which Redis gives to one node only. So of all records of a session that may lie about, written late by a node
 * that was cut off, exactly those of the newest epoch count.
 */

/** Which node has claimed which epoch of a session. {@link NOBODY}: the client said goodbye, the session is over. */
export type Claims = ReadonlyMap<number, string>;

export const NOBODY = '';

/** A record of a session, as far as it decides. */
export interface OwnedRecord {
  /** Undefined if a node of the reference wrote it, which knows of no epochs. */
  readonly epoch: number | undefined;
  /** The node that wrote it; undefined if it says nothing of that. */
  readonly owner: string | undefined;
  /**
   * Of records of one epoch the last counts: `claim`, the session as it was when it was claimed; `live`, as it was at
   * some time since; `memory`, as this very node has it; `stored`, as its client left it.
   */
  readonly kind: 'claim' | 'live' | 'memory' | 'stored';
}

export type Decision<R extends OwnedRecord> =
  /** This record is the session; who wants it claims this epoch. */
  | { kind: 'claim'; epoch: number; record: R }
  /** No record counts. If there is a session at all, this node holds it unwritten; who wants it claims this epoch. */
  | { kind: 'ask'; epoch: number; node: string }
  | { kind: 'none' };

const RANKS: Record<OwnedRecord['kind'], number> = { claim: 0, live: 1, memory: 2, stored: 3 };

/** What a node does that looks for a session. */
export function decide<R extends OwnedRecord>(records: readonly R[], claims: Claims): Decision<R> {
  const top = newestEpoch(claims);
  let best: { record: R; epoch: number } | undefined;
  for (const record of records) {
    const epoch = record.epoch ?? top;
    const isBetter =
      !best || epoch > best.epoch || (epoch === best.epoch && RANKS[record.kind] > RANKS[best.record.kind]);
    if (isBetter && epoch >= top && isValid(record, claims.get(epoch))) {
      best = { record, epoch };
    }
  }
  if (best) {
    return { kind: 'claim', epoch: best.epoch + 1, record: best.record };
  }
  const node = claims.get(top);
  return node === undefined || node === NOBODY ? { kind: 'none' } : { kind: 'ask', epoch: top + 1, node };
}

/**
 * What was the session before this epoch, which a node has claimed: a node that was asked for it does not say. Undefined if
 * no record is of the epoch right before.
 */
export function decideBefore<R extends OwnedRecord>(
  epoch: number,
  records: readonly R[],
  claims: Claims,
): R | undefined {
  const isBefore = (at: number | undefined): boolean => at === undefined || at < epoch;
  const decision = decide(
    records.filter((record) => isBefore(record.epoch)),
    new Map([...claims].filter(([at]) => isBefore(at))),
  );
  return decision.kind === 'claim' && decision.epoch === epoch ? decision.record : undefined;
}

/**
 * How what a node holds, of this epoch, stands: `current`; `unclaimed`, for it was never claimed (epoch 0) or Redis has
 * lost the claim; `superseded`, for another node has claimed that epoch or a later one.
 */
export function standingOf(claims: Claims, epoch: number, node: string): 'current' | 'unclaimed' | 'superseded' {
  const owner = claims.get(epoch);
  if (newestEpoch(claims) > epoch || (owner !== undefined && owner !== node)) {
    return 'superseded';
  }
  return owner === undefined ? 'unclaimed' : 'current';
}

/** Whether a node that holds a session claims its epoch again: Redis has lost the claim. The first epoch is never claimed. */
export function isClaimLost(claims: Claims, epoch: number, node: string): boolean {
  return epoch > 0 && standingOf(claims, epoch, node) === 'unclaimed';
}

/** What a node holds of a session. */
export interface Holding {
  readonly epoch: number;
  /** Whether Redis has given the epoch to the node; false while it cannot be asked. */
  readonly isConfirmed: boolean;
}

/** The newest epoch that Redis has given to a node, as far as the node knows. */
export function confirmedEpoch({ epoch, isConfirmed }: Holding): number {
  return isConfirmed ? epoch : epoch - 1;
}

/**
 * The epoch of what a node holds, for who has claimed another. Whether the node's own claim, which it has not heard the answer
 * of, came before that, the other one knows.
 */
export function epochFor(claimed: number, { epoch, isConfirmed }: Holding): number {
  return isConfirmed ? epoch : Math.min(epoch, claimed - 1);
}

function newestEpoch(claims: Claims): number {
  let newest = 0;
  for (const epoch of claims.keys()) {
    newest = Math.max(newest, epoch);
  }
  return newest;
}

/** A record that names no epoch or no owner was written by who took the session before it: nobody else could. */
function isValid({ epoch, owner }: OwnedRecord, claimedBy: string | undefined): boolean {
  return epoch === undefined || owner === undefined || claimedBy === undefined || claimedBy === owner;
}
