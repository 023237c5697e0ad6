import { DIRECT_LANE, sizeOfText, toTargets, type LogEntry, type Origin } from './entry.js';
import { isNodeId, nodeOf } from './server-uid.js';
import { TextSpan, textIn } from './text.js';
import type { StreamId } from './stream-id.js';

/** The fields of an entry. The first four are those of the reference. There are no rooms if it is for all. */
const NAMES = ['uid', 'nsp', 'type', 'data', 'rooms', 'seq', 'prev', 'resent', 'bus', 'trace'] as const;

/** Steps through strings that lie in bytes, one after the other: the string that it stands on is between `from` and `to`. */
export interface StringCursor {
  readonly bytes: Buffer;
  readonly from: number;
  readonly to: number;
  next(): void;
}

/** The fields of an entry as they came, names and values by turns: in the bytes of a reply, or as values. */
export interface FieldsInBytes {
  /** How many names and values there are. */
  readonly count: number;
  /** How many bytes they take. */
  readonly size: number;
  cursor(): StringCursor;
  /** Copies them, as they are. */
  copyTo(target: Buffer, offset: number): void;
}

/** The type of what has none. */
const UNKNOWN_TYPE = -1;
const ALL: readonly string[] = [];

// One entry is parsed at a time, so its fields are found in these, and nothing is made for it but what it consists of.
const name = new TextSpan();
const spans = NAMES.map(() => new TextSpan());
const [uid, nsp, type, data, rooms, seq, prev, resent, bus, trace] = spans as [
  ...[TextSpan, TextSpan, TextSpan, TextSpan, TextSpan],
  ...[TextSpan, TextSpan, TextSpan, TextSpan, TextSpan],
];

/**
 * Reads the fields of an entry, which anybody who can write to the stream may have written. Of one that cannot be
 * understood, the origin is read if that can be: its number must not seem to be missing.
 */
export function parseEntry(id: StreamId, fields: readonly unknown[] | FieldsInBytes): LogEntry {
  for (const span of spans) {
    span.clear();
  }
  if (isInBytes(fields)) {
    find(fields);
    return assemble(id, fields.size, fields);
  }
  findAmong(fields);
  return assemble(id, sizeOfText(data.toString()), undefined);
}

/** {@link parseEntry}, of each. */
export function parseEntries(
  raw: readonly { readonly id: StreamId; readonly fields: readonly unknown[] | FieldsInBytes }[],
): LogEntry[] {
  return raw.map(({ id, fields }) => parseEntry(id, fields));
}

/** The bytes from which an entry was parsed, if it was parsed from bytes. */
export function fieldsInBytes(entry: LogEntry): FieldsInBytes | undefined {
  return entry instanceof ParsedEntry ? entry.fields : undefined;
}

/** The fields from which an entry that can be understood would be parsed as it is, names and values by turns. */
export function toFields(entry: LogEntry): string[] {
  const { origin, rooms: targets } = entry;
  const isSaid = targets === undefined ? origin !== undefined : targets.length > 0 || !origin;
  const values: Record<(typeof NAMES)[number], unknown> = {
    ...{ uid: entry.uid, nsp: entry.nsp, type: entry.type, data: entry.data },
    rooms: isSaid ? JSON.stringify(targets ?? null) : undefined,
    seq: origin && (origin.node.endsWith(DIRECT_LANE) ? `${DIRECT_LANE}${origin.seq}` : origin.seq),
    ...{ prev: entry.prev, resent: entry.isResent ? 1 : undefined, bus: entry.bus, trace: entry.trace },
  };
  return NAMES.filter((field) => values[field] !== undefined).flatMap((field) => [field, String(values[field])]);
}

function isInBytes(fields: readonly unknown[] | FieldsInBytes): fields is FieldsInBytes {
  return !Array.isArray(fields);
}

function find(fields: FieldsInBytes): void {
  const { count } = fields;
  const cursor = fields.cursor();
  let expected = 0;
  for (let i = 0; i + 1 < count; i += 2) {
    cursor.next();
    name.setBytes(cursor.bytes, cursor.from, cursor.to);
    cursor.next();
    const field = indexOfField(expected);
    expected = field + 1;
    spans[field]?.setBytes(cursor.bytes, cursor.from, cursor.to);
  }
}

function findAmong(fields: readonly unknown[]): void {
  let expected = 0;
  for (let i = 0; i + 1 < fields.length; i += 2) {
    name.set(fields[i]);
    const field = indexOfField(expected);
    expected = field + 1;
    spans[field]?.set(fields[i + 1]);
  }
}

/** @param expected - where it probably is: fields are mostly in this order */
function indexOfField(expected: number): number {
  for (let n = 0; n < NAMES.length; n++) {
    const i = (expected + n) % NAMES.length;
    if (name.is(NAMES[i]!)) {
      return i;
    }
  }
  return -1;
}

function assemble(id: StreamId, size: number, fields: FieldsInBytes | undefined): LogEntry {
  const publisher = publisherOf();
  const origin = seq.isSet ? originOf(publisher) : undefined;
  const number = type.isSet ? type.toWholeNumber() : NaN;
  let problem: string | undefined;
  if (!uid.isSet || !nsp.isSet || !type.isSet) {
    problem = 'an entry without the fields "uid", "nsp" and "type"';
  } else if (Number.isNaN(number)) {
    problem = 'the field "type" is no number';
  } else if (seq.isSet && !origin) {
    problem = 'the field "seq" is no number, or the uid with it is not of a node';
  }
  return new ParsedEntry(
    id,
    publisher.uid,
    namespaceOf(),
    problem === undefined ? number : UNKNOWN_TYPE,
    data.source,
    data.from,
    data.to,
    size,
    origin,
    rooms.isSet ? roomsOf() : seq.isSet ? ALL : undefined,
    countIn(prev),
    countIn(bus),
    problem,
    resent.isSet,
    trace.isSet ? trace.toString() : undefined,
    fields,
  );
}

/**
 * An entry of which most nodes need no more than for whom it is: its data stays bytes of the reply in which it came, which it
 * keeps, and is made a string of each time that somebody asks for it. Many are kept for a while, so each is one object with few
 * others.
 */
class ParsedEntry implements LogEntry {
  constructor(
    readonly id: StreamId,
    readonly uid: string,
    readonly nsp: string,
    readonly type: number,
    /** What the data is in, and where: a string is it. */
    private readonly source: Buffer | string,
    private readonly from: number,
    private readonly to: number,
    readonly size: number,
    readonly origin: Origin | undefined,
    readonly rooms: readonly string[] | undefined,
    readonly prev: number | undefined,
    readonly bus: number | undefined,
    readonly problem: string | undefined,
    readonly isResent: boolean,
    readonly trace: string | undefined,
    /** What it was parsed from, if that was bytes. */
    readonly fields: FieldsInBytes | undefined,
  ) {}

  get data(): string {
    return textIn(this.source, this.from, this.to);
  }
}

interface Publisher {
  uid: string;
  /** Undefined if the uid is not of a node. */
  node: string | undefined;
  /** Its second lane. */
  direct: string;
}

/** How many publishers are known, at most: entries of several come by turns. */
const MAX_KNOWN_PUBLISHERS = 16;
const MAX_KNOWN_UID_LENGTH = 256;
/** The one that was met last is the first to be looked at. */
const knownPublishers: Publisher[] = [];
let lastNamespace = '';

/** The same publishers recur, and strings are made of bytes at a cost: entries share these. */
function publisherOf(): Publisher {
  for (let i = 0; i < knownPublishers.length; i++) {
    const known = knownPublishers[i]!;
    if (uid.is(known.uid)) {
      if (i > 0) {
        knownPublishers[i] = knownPublishers[0]!;
        knownPublishers[0] = known;
      }
      return known;
    }
  }
  const text = uid.toString();
  const node = nodeOf(text);
  const publisher = { uid: text, node: isNodeId(node) ? node : undefined, direct: node + DIRECT_LANE };
  if (text.length <= MAX_KNOWN_UID_LENGTH) {
    knownPublishers.unshift(publisher);
    knownPublishers.length = Math.min(knownPublishers.length, MAX_KNOWN_PUBLISHERS);
  }
  return publisher;
}

function namespaceOf(): string {
  if (!nsp.is(lastNamespace)) {
    lastNamespace = nsp.toString();
  }
  return lastNamespace;
}

function countIn(span: TextSpan): number | undefined {
  const count = span.isSet ? span.toWholeNumber() : NaN;
  return Number.isSafeInteger(count) ? count : undefined;
}

function originOf({ node, direct }: Publisher): Origin | undefined {
  const isDirect = seq.beginsWith(DIRECT_LANE);
  const number = seq.toWholeNumber(isDirect ? DIRECT_LANE.length : 0);
  return node === undefined || !Number.isSafeInteger(number) || number < 1
    ? undefined
    : { node: isDirect ? direct : node, seq: number };
}

/** How many lists of rooms are known, at most. */
const MAX_KNOWN_ROOMS = 4_096;
const knownRooms = new Map<string, readonly string[]>();

/**
 * The same rooms recur, and many entries are kept for a while: they share these arrays. If the field cannot be understood,
 * decoding shows the rooms.
 */
function roomsOf(): readonly string[] | undefined {
  const text = rooms.toString();
  let known = knownRooms.get(text);
  if (!known) {
    known = parseRooms(text);
    if (!known) {
      return undefined;
    }
    if (knownRooms.size === MAX_KNOWN_ROOMS) {
      knownRooms.clear();
    }
    if (text.length < 256) {
      knownRooms.set(text, known);
    }
  }
  return known;
}

function parseRooms(text: string): readonly string[] | undefined {
  try {
    return toTargets(JSON.parse(text));
  } catch {
    return undefined;
  }
}
