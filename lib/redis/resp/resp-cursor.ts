/** First bytes of the values of RESP2 and RESP3. */
export const RESP = {
  string: '+'.charCodeAt(0),
  error: '-'.charCodeAt(0),
  integer: ':'.charCodeAt(0),
  bulk: '$'.charCodeAt(0),
  array: '*'.charCodeAt(0),
  null: '_'.charCodeAt(0),
  boolean: '#'.charCodeAt(0),
  double: ','.charCodeAt(0),
  bigNumber: '('.charCodeAt(0),
  bulkError: '!'.charCodeAt(0),
  verbatim: '='.charCodeAt(0),
  map: '%'.charCodeAt(0),
  set: '~'.charCodeAt(0),
  push: '>'.charCodeAt(0),
  attribute: '|'.charCodeAt(0),
} as const;

const MINUS = '-'.charCodeAt(0);
const ZERO = '0'.charCodeAt(0);
const CR = '\r'.charCodeAt(0);
/** Bytes of the marker before the text of a verbatim string: `txt:`. */
const VERBATIM_MARKER_BYTES = 4;

/**
 * Walks through a reply, value by value, without making anything of what it passes: the bytes between `from` and `to` are
 * the value that it stands on.
 *
 * @see https://redis.io/docs/latest/develop/reference/protocol-spec/
 */
export class RespCursor {
  /** The type of the value: see {@link RESP}. */
  type = 0;
  /** Where the text of a value begins, if it has one. */
  from = 0;
  /** Where it ends. */
  to = 0;
  /** How many values an aggregate holds, keys and values of a map counted each; -1: null. */
  size = 0;

  /** @param at - where the next value begins */
  constructor(
    readonly bytes: Buffer,
    public at = 0,
  ) {}

  /** Steps on the next value, or into it if it is an aggregate. The reply must be complete. */
  next(): void {
    const { bytes } = this;
    const type = (this.type = bytes[this.at]!);
    let at = this.at + 1;
    if (type === RESP.bulk || type === RESP.array || isSized(type)) {
      let size = 0;
      const isNegative = bytes[at] === MINUS;
      for (let byte = bytes[isNegative ? ++at : at]!; byte !== CR; byte = bytes[++at]!) {
        size = size * 10 + (byte - ZERO);
      }
      at += 2;
      this.size = isNegative ? -1 : type === RESP.map || type === RESP.attribute ? 2 * size : size;
      if (type === RESP.bulk || type === RESP.bulkError || type === RESP.verbatim) {
        this.from = at + (type === RESP.verbatim ? VERBATIM_MARKER_BYTES : 0);
        this.to = isNegative ? this.from : at + size;
        at = isNegative ? at : this.to + 2;
      }
    } else {
      this.from = at;
      this.to = this.at = bytes.indexOf(CR, at);
      this.size = type === RESP.null ? -1 : 0;
      at = this.to + 2;
    }
    this.at = at;
  }

  get isNull(): boolean {
    return this.size < 0;
  }

  text(): string {
    return this.bytes.toString('utf8', this.from, this.to);
  }

  /**
   * Makes a value of what comes next, as RESP2 knows it: maps and sets are arrays, numbers that are not whole are strings.
   *
   * @param asBytes - whether strings are their bytes
   */
  decode(asBytes: boolean): unknown {
    this.next();
    switch (this.type) {
      case RESP.bulk:
      case RESP.verbatim:
        return this.isNull ? null : asBytes ? this.bytes.subarray(this.from, this.to) : this.text();
      case RESP.integer:
        return Number(this.text());
      case RESP.error:
      case RESP.bulkError:
        return new Error(this.text());
      case RESP.null:
        return null;
      case RESP.boolean:
        return this.text() === 't' ? 1 : 0;
      case RESP.string:
      case RESP.double:
      case RESP.bigNumber:
        return this.text();
      case RESP.attribute: // says something about the value that follows
        for (let left = this.size; left > 0; left--) {
          this.decode(true);
        }
        return this.decode(asBytes);
      default: {
        const { size } = this;
        if (size < 0) {
          return null;
        }
        const values: unknown[] = [];
        for (let left = size; left > 0; left--) {
          values.push(this.decode(asBytes));
        }
        return values;
      }
    }
  }
}

/** Whether a length stands before what follows. */
function isSized(type: number): boolean {
  return (
    type === RESP.map ||
    type === RESP.set ||
    type === RESP.push ||
    type === RESP.verbatim ||
    type === RESP.bulkError ||
    type === RESP.attribute
  );
}
