const ZERO = '0'.charCodeAt(0);
const NINE = '9'.charCodeAt(0);
const LAST_ASCII = 0x7f;

/**
 * Text in a reply of Redis: a string, or bytes (UTF-8) in a larger piece. Making a string of bytes costs more than comparing
 * them, and most of the text of an entry is the same as in the one before.
 *
 * It can be used again and again.
 */
export class TextSpan {
  /** The text as a string, if it was given as one or was made one. */
  private text: string | undefined = undefined;
  /** What the text lies in, if it was given as bytes. */
  private bytes: Buffer | undefined = undefined;
  /** Where the text begins in the bytes. */
  from = 0;
  /** Where it ends. */
  to = 0;

  /** Whether there is a text. */
  get isSet(): boolean {
    return this.text !== undefined || this.bytes !== undefined;
  }

  /** Characters, or bytes. */
  get length(): number {
    return this.text?.length ?? this.to - this.from;
  }

  clear(): void {
    this.text = this.bytes = undefined;
    this.from = this.to = 0;
  }

  /** @param value - a string or bytes; anything else is no text */
  set(value: unknown): void {
    this.clear();
    if (typeof value === 'string') {
      this.text = value;
    } else if (Buffer.isBuffer(value)) {
      this.setBytes(value, 0, value.length);
    }
  }

  setBytes(bytes: Buffer, from: number, to: number): void {
    this.text = undefined;
    this.bytes = bytes;
    this.from = from;
    this.to = to;
  }

  /** What the text is in: the bytes, or a string that is the text. */
  get source(): Buffer | string {
    return this.bytes ?? this.text ?? '';
  }

  /** Whether it is this text. For text that is not ASCII, the answer may be false although it is. */
  is(text: string): boolean {
    const { bytes, from } = this;
    if (!bytes) {
      return this.text === text;
    }
    if (this.to - from !== text.length) {
      return false;
    }
    for (let i = 0; i < text.length; i++) {
      const byte = bytes[from + i]!;
      if (byte !== text.charCodeAt(i) || byte > LAST_ASCII) {
        return false;
      }
    }
    return true;
  }

  /** @param character - one of ASCII */
  beginsWith(character: string): boolean {
    return this.bytes
      ? this.to > this.from && this.bytes[this.from] === character.charCodeAt(0)
      : this.text?.startsWith(character) === true;
  }

  /**
   * A whole number in decimal digits, as Redis or this package writes it; NaN if it is none.
   *
   * @param start - how many characters are left out
   */
  toWholeNumber(start = 0): number {
    const { bytes, text } = this;
    if (!bytes) {
      const digits = text?.slice(start) ?? '';
      return /^\d+$/.test(digits) ? Number(digits) : NaN;
    }
    let number = this.from + start < this.to ? 0 : NaN;
    for (let i = this.from + start; i < this.to; i++) {
      const byte = bytes[i]!;
      number = byte >= ZERO && byte <= NINE ? number * 10 + (byte - ZERO) : NaN;
    }
    return number;
  }

  toString(): string {
    return textIn(this.source, this.from, this.to);
  }
}

/** The text that is in bytes from `from` to `to`, or the string. */
export function textIn(source: Buffer | string, from: number, to: number): string {
  return typeof source === 'string' ? source : source.toString('utf8', from, to);
}
