/**
 * Text in a reply of Redis: a string, or its bytes (UTF-8). Making a string of bytes costs more than comparing them, and
 * most of the text of an entry is the same as in the one before.
 */
export type Text = string | Buffer;

export function isText(value: unknown): value is Text {
  return typeof value === 'string' || Buffer.isBuffer(value);
}

/** Whether a value is this text, which is not for sure told of text that is not ASCII. */
export function isSameText(value: unknown, text: string): boolean {
  if (!Buffer.isBuffer(value)) {
    return value === text;
  }
  if (value.length !== text.length) {
    return false;
  }
  for (let i = 0; i < text.length; i++) {
    const byte = value[i]!;
    if (byte !== text.charCodeAt(i) || byte > 0x7f) {
      return false;
    }
  }
  return true;
}

/** A whole number in decimal digits, as Redis or this package writes it; NaN if it is none. */
export function toWholeNumber(text: Text): number {
  if (typeof text === 'string') {
    return /^\d+$/.test(text) ? Number(text) : NaN;
  }
  let number = text.length > 0 ? 0 : NaN;
  for (let i = 0; i < text.length; i++) {
    const byte = text[i]!;
    number = byte >= 0x30 && byte <= 0x39 ? number * 10 + (byte - 0x30) : NaN;
  }
  return number;
}

/** Makes strings of text that is mostly the same as the last time, which is then the same string. */
export class RecurringText {
  private last = '';

  stringOf(text: Text): string {
    if (!isSameText(text, this.last)) {
      this.last = text.toString();
    }
    return this.last;
  }
}
