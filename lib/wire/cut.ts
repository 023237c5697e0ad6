import { compareStreamIds, isStreamId, STREAM_START, type StreamId } from './stream-id.js';
import { describeOrigin, type Origin } from './entry.js';

/**
 * A place in the log, as one client or one node has come to it: everything with an id up to `position` and, of some
 * publishers, everything up to a sequence number, which may be ahead of that. A node serves its own clients before Redis
 * has the entry, so what a client was given cannot be said by an id alone.
 *
 * An entry is *in* a cut if its id is not after the position, or its sequence number not after what the cut says of its
 * publisher.
 */
export interface Cut {
  readonly position: StreamId;
  /** The publishers of which more is in the cut than the position says. Mostly none, or the client's own node. */
  readonly ahead: readonly Origin[];
  /** The entry at the position, if it is said: two histories may have different ones with one id. */
  readonly mark?: Origin;
}

/** How many publishers a cut that comes from a client may name. */
export const MAX_AHEAD_PUBLISHERS = 16;
/** An offset with which nobody is recovered. */
export const NO_OFFSET = '-';
const ORIGIN = /^([\w~-]{1,65}):(0|[1-9]\d{0,15})$/;
/** Before the origin of the entry at the position. */
const MARK = '=';

export const NOTHING: Cut = { position: STREAM_START, ahead: [] };

export function cutAt(position: StreamId): Cut {
  return { position, ahead: [] };
}

/** The entry's id is undefined as long as Redis has not answered: it is in the outbox of this node. */
export function isInCut(entry: { id?: StreamId | undefined; origin?: Origin | undefined }, cut: Cut): boolean {
  if (entry.id !== undefined && compareStreamIds(entry.id, cut.position) <= 0) {
    return true;
  }
  const { origin } = entry;
  return origin !== undefined && cut.ahead.some(({ node, seq }) => node === origin.node && origin.seq <= seq);
}

/** Whether all that is in the second cut is in the first, as far as that can be known without reading the log. */
export function coversCut(cut: Cut, other: Cut): boolean {
  return (
    compareStreamIds(cut.position, other.position) >= 0 &&
    other.ahead.every(({ node, seq }) => cut.ahead.some((one) => one.node === node && one.seq >= seq))
  );
}

/** The same in a history that is the same up to a position, and goes on otherwise. */
export function cutBackTo(position: StreamId, cut: Cut): Cut {
  return compareStreamIds(cut.position, position) <= 0 ? cut : { position, ahead: cut.ahead };
}

/** What is in either of two cuts. */
export function joinCuts(a: Cut, b: Cut): Cut {
  const ahead = new Map(a.ahead.map(({ node, seq }) => [node, seq]));
  for (const { node, seq } of b.ahead) {
    ahead.set(node, Math.max(seq, ahead.get(node) ?? 0));
  }
  const { position, mark } = compareStreamIds(a.position, b.position) >= 0 ? a : b;
  return { position, ahead: [...ahead].map(([node, seq]) => ({ node, seq })), ...(mark && { mark }) };
}

/**
 * The form that a client keeps as its offset: `id`, or `id,publisher:seq,…`. A sequence number of 0 adds nothing but the
 * publisher's name. The last may be `=publisher:seq`: the entry with the id.
 */
export function encodeCut({ position, ahead, mark }: Cut): string {
  let text = position;
  for (const origin of ahead) {
    text += `,${describeOrigin(origin)}`;
  }
  return mark ? `${text},${MARK}${describeOrigin(mark)}` : text;
}

/** What a client is given as its offset. A cut may, for a moment, name more publishers than an offset may. */
export function encodeOffset(cut: Cut): string {
  return cut.ahead.length > MAX_AHEAD_PUBLISHERS ? NO_OFFSET : encodeCut(cut);
}

/** The cut that a text says, which may come from a client; undefined if it says none. */
export function decodeCut(text: unknown): Cut | undefined {
  if (typeof text !== 'string' || text.length > 2_048) {
    return undefined;
  }
  const [position, ...parts] = text.split(',');
  const marked = parts.at(-1)?.startsWith(MARK) ? parts.pop()!.slice(MARK.length) : undefined;
  if (!isStreamId(position) || parts.length > MAX_AHEAD_PUBLISHERS) {
    return undefined;
  }
  const mark = marked === undefined ? undefined : decodeOrigin(marked);
  const ahead = parts.map(decodeOrigin);
  if (ahead.includes(undefined) || (marked !== undefined && !mark)) {
    return undefined;
  }
  return { position, ahead: ahead as Origin[], ...(mark && { mark }) };
}

function decodeOrigin(text: string): Origin | undefined {
  const match = ORIGIN.exec(text);
  const seq = Number(match?.[2]);
  return match && Number.isSafeInteger(seq) ? { node: match[1]!, seq } : undefined;
}
