import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { TextSpan, textIn } from '../../lib/wire/text.js';

const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.constantFrom('', 'uid', '/', '/naïve', '☃'));

function spanOf(value: unknown): TextSpan {
  const span = new TextSpan();
  span.set(value);
  return span;
}

/** The same text as bytes in the middle of others. */
function spanInBytes(value: string): TextSpan {
  const bytes = Buffer.from(value);
  const span = new TextSpan();
  span.setBytes(Buffer.concat([Buffer.from('1"'), bytes, Buffer.from('"2')]), 2, 2 + bytes.length);
  return span;
}

describe('TextSpan', () => {
  test('is the same as a string and as its bytes', () => {
    fc.assert(
      fc.property(text, text, (given, known) => {
        expect(spanOf(given).is(known)).toBe(given === known);
        const isAscii = Buffer.byteLength(given) === given.length;
        for (const span of [spanOf(Buffer.from(given)), spanInBytes(given)]) {
          expect(span.is(known)).toBe(isAscii && given === known);
        }
      }),
    );
  });

  test('is not taken for other text because its bytes are the numbers of that text’s characters', () => {
    expect(spanOf(Buffer.from([0xe9])).is('é')).toBe(false);
  });

  test('gives the text back, and so does what it is in when the span is used for another', () => {
    fc.assert(
      fc.property(text, text, (given, other) => {
        for (const span of [spanOf(given), spanInBytes(given)]) {
          expect(span.toString()).toBe(Buffer.from(given).toString());
          const { source, from, to } = span;
          span.set(other);
          expect(textIn(source, from, to)).toBe(Buffer.from(given).toString());
          span.clear();
          expect([span.isSet, span.toString(), span.length]).toEqual([false, '', 0]);
        }
      }),
    );
  });

  test('is no text of what is neither a string nor bytes', () => {
    expect([undefined, null, 1, {}, ['a']].map((value) => spanOf(value).isSet)).toEqual(Array(5).fill(false));
    expect(['', Buffer.alloc(0)].map((value) => spanOf(value).isSet)).toEqual([true, true]);
  });

  test('is a whole number only if it has digits and nothing else', () => {
    fc.assert(
      fc.property(fc.oneof(fc.nat().map(String), fc.constantFrom('', '-1', '1.5', '1e3', ' 1', '٣'), text), (given) => {
        const expected = /^[0-9]+$/.test(given) ? Number(given) : NaN;
        for (const span of [spanOf(given), spanInBytes(given)]) {
          expect(span.toWholeNumber()).toBe(expected);
        }
        for (const span of [spanOf(`~${given}`), spanInBytes(`~${given}`)]) {
          expect(span.beginsWith('~')).toBe(true);
          expect(span.toWholeNumber(1)).toBe(expected);
        }
      }),
    );
  });
});
