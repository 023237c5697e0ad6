import { RESP } from './resp-cursor.js';
import { RespError } from './resp-error.js';

const CR = '\r'.charCodeAt(0);
const LF = '\n'.charCodeAt(0);
const MINUS = '-'.charCodeAt(0);
const ZERO = '0'.charCodeAt(0);
const KNOWN: ReadonlySet<number> = new Set(Object.values(RESP));
/** No line of a length or a number is longer. */
const MAX_HEADER_BYTES = 32;

/**
 * Finds out where one reply ends and the next begins, in bytes that come in pieces. It looks at lengths only.
 *
 * A reply that came in one piece is handed on as a part of it, without a copy; one that did not is gathered in memory that
 * grows by doubling, so that large replies are copied a few times, not once with each piece, and handed on in memory of its
 * size, since whoever is given it may keep it for long.
 */
export class ReplySplitter {
  /** What has come of replies that are not complete, from the beginning of the first. */
  private bytes: Buffer = Buffer.alloc(0);
  /** Where the first reply that is not complete begins in them. */
  private start = 0;
  /** Where they end. */
  private end = 0;
  /** Whether `bytes` is memory in which pieces are gathered. */
  private isOwn = false;
  /** How far the first reply was looked through. */
  private at = 0;
  /** How many of its values are still to come. */
  private missing = 1;

  /** @param onReply - given the bytes in which a complete reply lies, and where; it may keep them */
  constructor(private readonly onReply: (bytes: Buffer, start: number, end: number) => void) {}

  /** @throws RespError if it is not RESP */
  push(piece: Buffer): void {
    if (this.start === this.end) {
      this.bytes = piece;
      this.start = this.at = 0;
      this.end = piece.length;
      this.isOwn = false;
    } else {
      this.gather(piece);
    }
    while (this.start < this.end && this.scan()) {
      const { bytes, start, at } = this;
      this.start = at;
      this.missing = 1;
      if (this.isOwn) {
        this.onReply(copyOf(bytes, start, at), 0, at - start);
      } else {
        this.onReply(bytes, start, at);
      }
    }
    if (this.start < this.end && !this.isOwn) {
      this.own(this.end - this.start); // a piece belongs to the socket, and would be kept whole for its last bytes
    }
  }

  private gather(piece: Buffer): void {
    const length = this.end - this.start + piece.length;
    if (!this.isOwn || this.end + piece.length > this.bytes.length) {
      this.own(2 * length);
    }
    piece.copy(this.bytes, this.end);
    this.end += piece.length;
  }

  /** Moves what there is of the first reply to memory of our own. */
  private own(capacity: number): void {
    const bytes = Buffer.allocUnsafeSlow(Math.max(capacity, 1_024));
    this.bytes.copy(bytes, 0, this.start, this.end);
    this.at -= this.start;
    this.end -= this.start;
    this.start = 0;
    this.bytes = bytes;
    this.isOwn = true;
  }

  /** Looks on through the first reply. Returns whether it is complete: it ends at `at` then. */
  private scan(): boolean {
    const { bytes, end } = this;
    while (this.missing > 0) {
      const type = bytes[this.at]!;
      let at = this.at + 1;
      let size = 0;
      let isNegative = false;
      if (type === RESP.string || type === RESP.error || type === RESP.bigNumber || type === RESP.double) {
        at = bytes.indexOf(CR, at);
        if (at < 0 || at + 2 > end) {
          return false;
        }
      } else {
        if (this.at < end && !KNOWN.has(type)) {
          throw new RespError(`Redis sent something that is not RESP: a value that begins with the byte ${type}`);
        }
        if (at < end && bytes[at] === MINUS) {
          isNegative = true;
          at++;
        }
        while (at < end && bytes[at] !== CR) {
          size = size * 10 + (bytes[at]! - ZERO);
          if (++at - this.at > MAX_HEADER_BYTES) {
            throw new RespError('Redis sent something that is not RESP: a length that does not end');
          }
        }
      }
      if (at + 2 > end) {
        return false;
      }
      if (bytes[at + 1] !== LF) {
        throw new RespError('Redis sent something that is not RESP: a line that does not end with CR and LF');
      }
      at += 2;
      switch (isNegative ? RESP.null : type) {
        case RESP.bulk:
        case RESP.bulkError:
        case RESP.verbatim:
          at += size + 2;
          if (at > end) {
            return false;
          }
          break;
        case RESP.array:
        case RESP.set:
        case RESP.push:
          this.missing += size;
          break;
        case RESP.map:
          this.missing += 2 * size;
          break;
        case RESP.attribute:
          this.missing += 2 * size + 1; // and the value that it is about
          break;
        default:
      }
      this.missing--;
      this.at = at;
      if (at >= end && this.missing > 0) {
        return false;
      }
    }
    return true;
  }
}

function copyOf(bytes: Buffer, start: number, end: number): Buffer {
  const copy = Buffer.allocUnsafeSlow(end - start);
  bytes.copy(copy, 0, start, end);
  return copy;
}
